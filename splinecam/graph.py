"""The graph of neighbouring regions."""

from __future__ import annotations

import networkx as nx
import numpy as np

from splinecam.partition import Partition


def adjacency_graph(partition: Partition) -> nx.Graph:
    """Make the graph whose nodes are regions and whose edges join regions that share an edge.

    Two convex regions share one edge at most, so that it is a simple graph; as regions that share
    no more than a vertex are not joined, it is planar. It is connected.

    Parameters
    ----------
    partition : Partition
        The partition.

    Returns
    -------
    networkx.Graph
        Nodes are the regions' numbers, ascending, with the attribute ``area`` (float). Edges have
        ``length`` (float, of the shared edge), ``layer`` and ``unit`` (int): which unit of which
        step, an index into `Partition.layer_names`, changes between the two regions.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.graph import adjacency_graph
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[1.0, 0.0]])), fold[0].bias.zero_()
    >>> graph = adjacency_graph(sc.compute_partition(fold, sc.Slice.box((-1, 1), (-1, 1))))
    >>> graph.nodes(data=True)
    NodeDataView({0: {'area': 2.0}, 1: {'area': 2.0}})
    >>> graph.edges[0, 1]
    {'length': 2.0, 'layer': 0, 'unit': 0}
    """
    graph = nx.Graph()
    areas = partition.areas.tolist()
    graph.add_nodes_from((region, {"area": area}) for region, area in enumerate(areas))
    inner = np.flatnonzero(partition.edge_regions[:, 1] >= 0)
    ends = partition.vertices[partition.edges[inner]]
    lengths = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
    columns = (
        *partition.edge_regions[inner].T.tolist(),
        lengths.tolist(),
        partition.edge_layers[inner].tolist(),
        partition.edge_units[inner].tolist(),
    )
    graph.add_edges_from(
        (left, right, {"length": length, "layer": layer, "unit": unit})
        for left, right, length, layer, unit in zip(*columns, strict=True)
    )
    return graph
