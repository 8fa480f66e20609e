"""The graph of neighbouring regions."""

from __future__ import annotations

import networkx as nx
import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import dijkstra

from splinecam.common.arguments import as_float64
from splinecam.errors import InvalidArgumentError
from splinecam.measures.spline import region_maps
from splinecam.partition.partition import Partition


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
        Nodes are the regions' numbers, ascending, with the attributes ``area`` (float),
        ``class`` (int, at the centroid, as in `RegionMaps.classes`) and ``slope_norm``
        (float, Frobenius norm of the region's A). Edges have ``length`` (float, of the shared
        edge), ``layer`` and ``unit`` (int: which unit of which step, an index into
        `Partition.layer_names`, changes between the two regions; the first of several), ``units``
        (tuple of (layer, unit): all of them) and ``slope_change`` (float, the Frobenius norm by
        which A differs).

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.graph import adjacency_graph
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[1.0, 0.0]])), fold[0].bias.zero_()
    >>> graph = adjacency_graph(sc.compute_partition(fold, sc.Slice.box((-1, 1), (-1, 1))))
    >>> sorted(graph.nodes[0]), sorted(norm for _, norm in graph.nodes(data="slope_norm"))
    (['area', 'class', 'slope_norm'], [0.0, 1.0])
    >>> graph.edges[0, 1]
    {'length': 2.0, 'layer': 0, 'unit': 0, 'units': ((0, 0),), 'slope_change': 1.0}
    """
    maps = region_maps(partition)
    graph = nx.Graph()
    columns = (partition.areas, maps.classes, maps.slope_norms)
    graph.add_nodes_from(
        (region, {"area": area, "class": decision, "slope_norm": norm})
        for region, (area, decision, norm) in enumerate(
            zip(*(column.tolist() for column in columns), strict=True)
        )
    )
    inner = np.flatnonzero(partition.edge_regions[:, 1] >= 0)
    columns = (
        *partition.edge_regions[inner].T,
        partition.edge_lengths[inner],
        partition.edge_layers[inner],
        partition.edge_units[inner],
        maps.slope_changes[inner],
    )
    lists = (*(column.tolist() for column in columns), _units_of_edges(partition, inner))
    graph.add_edges_from(
        (
            left,
            right,
            {
                "length": length,
                "layer": layer,
                "unit": unit,
                "units": units,
                "slope_change": change,
            },
        )
        for left, right, length, layer, unit, change, units in zip(*lists, strict=True)
    )
    return graph


def _units_of_edges(
    partition: Partition, inner: NDArray[np.intp]
) -> list[tuple[tuple[int, int], ...]]:
    """All (layer, unit) that change across each inner edge."""
    flips = partition.edge_flips
    pairs = list(zip(flips.layers.tolist(), flips.units.tolist(), strict=True))
    starts = np.searchsorted(flips.edges, inner)
    stops = np.searchsorted(flips.edges, inner, side="right")
    return [
        (pairs[start],) if stop == start + 1 else tuple(pairs[start:stop])
        for start, stop in zip(starts.tolist(), stops.tolist(), strict=True)
    ]


def hop_distances(
    partition: Partition, sources: ArrayLike, targets: ArrayLike
) -> NDArray[np.int64]:
    """Count the edges that the shortest ways between points' regions cross.

    Parameters
    ----------
    partition : Partition
    sources, targets : array_like
        (n, 2) and (m, 2), plane coordinates of points in the slice.

    Returns
    -------
    ndarray
        (n, m) int64: the least number of edges between regions that a way from each source to each
        target crosses; 0 in the same region.

    Raises
    ------
    InvalidArgumentError
        If an argument is no such array of finite numbers, or a point is outside the slice.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.graph import hop_distances
    >>> lines = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = lines[0].weight.copy_(torch.eye(2)), lines[0].bias.zero_()
    >>> p = sc.compute_partition(lines, sc.Slice.box((-1, 1), (-1, 1)))
    >>> hop_distances(p, [(-0.5, -0.5)], [(-0.1, -0.9), (0.5, -0.5), (0.5, 0.5)]).tolist()
    [[0, 1, 2]]
    """
    starts, stops = (
        _located(partition, name, points)
        for name, points in (("sources", sources), ("targets", targets))
    )
    left, right = partition.edge_regions[partition.edge_regions[:, 1] >= 0].T
    graph = coo_array((np.ones(len(left)), (left, right)), shape=2 * (partition.n_regions,))
    graph = graph.tocsr()
    regions, rows = np.unique(starts, return_inverse=True)
    hops = np.empty((len(regions), len(stops)), np.int64)
    for row, region in enumerate(regions):
        hops[row] = dijkstra(graph, directed=False, indices=region, unweighted=True)[stops]
    return hops[rows]


def _located(partition: Partition, name: str, points: ArrayLike) -> NDArray[np.int64]:
    uv = as_float64(name, points, ("n", 2), InvalidArgumentError)
    regions = partition.locate(uv)
    outside = uv[regions < 0]
    if len(outside):
        raise InvalidArgumentError(
            f"{name} holds {tuple(outside[0].tolist())}; accepted: points in the slice"
        )
    return regions
