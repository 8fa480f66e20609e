"""The edges of a partition: which units and layers made them, and where zero sets bend."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from splinecam._kernels.forest import grow_forest, sum_below
from splinecam.common.types import Floats, Ints
from splinecam.cutting.mesh import places_within
from splinecam.partition.partition import Partition


def unit_statistics(partition: Partition) -> dict[str, NDArray[Any]]:
    """Say of every unit whether it is dead, always on, or cuts the slice, and where it is active.

    Parameters
    ----------
    partition : Partition
        Its units have H breakpoints in all; ReLU units, leaky ones too, have one each.

    Returns
    -------
    dict of str to ndarray
        One entry for each breakpoint of each unit, in execution order.

        ``"layer"``, ``"unit"``, ``"breakpoint"`` : (H,) int64
            The layer, an index into `Partition.layer_names`, the unit within it and the number of
            its breakpoint.
        ``"state"`` : (H,) str
            ``"dead"``, ``"always on"``, or ``"cutting"``: the breakpoint is exceeded nowhere,
            everywhere, or in some of the regions. Breakpoint j of a max group is a rise of its
            winner's index by j + 1: ``"cutting"`` or ``"steady"``.
        ``"active_share"`` : (H,) float64
            The share of the slice's area on which the breakpoint is exceeded; exactly 0 or 1 where
            the unit does not cut; NaN for max groups.
        ``"length"`` : (H,) float64
            Length of the edges across which the unit passes the breakpoint. An edge of several
            units counts for each.
        ``"n_edges"`` : (H,) int64
            How many those edges are.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.edges import unit_statistics
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = model[0].weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 1.0]]))
    ...     _ = model[0].bias.copy_(torch.tensor([0.5, -9.0, 9.0]))
    >>> p = sc.compute_partition(model, sc.Slice.box((-1, 1), (-1, 1)))
    >>> statistics = unit_statistics(p)
    >>> statistics["state"].tolist(), statistics["active_share"].tolist()
    (['cutting', 'dead', 'always on'], [0.75, 0.0, 1.0])
    """
    edges, hinges, steps = _hinges_of_edges(partition)
    layers, units = partition.network.units.hinge_layers, partition.network.units.hinge_units
    n_hinges = len(layers)
    first_units = np.cumsum([0, *partition.layer_sizes])[layers]
    flat = first_units + units
    numbers = np.zeros(n_hinges, np.int64)
    if n_hinges:
        numbers = places_within(np.bincount(flat, minlength=partition.n_units))
    n_edges = np.bincount(hinges, minlength=n_hinges)
    everywhere = partition.patterns([0])[0][flat] > numbers
    gains = np.bincount(hinges, _gains(partition)[edges] * steps, n_hinges)
    shares = np.clip(everywhere + gains / partition.areas.sum(), 0.0, 1.0)
    is_group = np.array(partition.network.units.are_groups, bool)[layers]
    shares = np.where(is_group, np.nan, np.where(n_edges > 0, shares, everywhere))
    steady = np.where(is_group, "steady", np.where(everywhere, "always on", "dead"))
    return {
        "layer": layers.astype(np.int64),
        "unit": units.astype(np.int64),
        "breakpoint": numbers,
        "state": np.where(n_edges > 0, "cutting", steady),
        "active_share": shares,
        "length": np.bincount(hinges, partition.edge_lengths[edges], n_hinges),
        "n_edges": n_edges,
    }


def layer_statistics(partition: Partition) -> dict[str, NDArray[Any]]:
    """Say of every layer what it adds to the partition by the layers before it.

    Parameters
    ----------
    partition : Partition
        By L layers.

    Returns
    -------
    dict of str to ndarray
        One entry for each layer.

        ``"layer"``, ``"n_units"``, ``"n_cutting"`` : (L,) int64
            Its number, how many units it has, and how many of them make edges.
        ``"length"``, ``"n_edges"`` : (L,) float64 and int64
            Length and number of the partition's edges that it was the first to make.
        ``"n_regions"`` : (L,) int64
            How many regions the partition by the layers up to this one has.
        ``"mean_inside"``, ``"most_inside"`` : (L,) float64 and int64
            How many of the partition's regions those hold, in the mean and at most.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.edges import layer_statistics
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(
    ...     *(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8), torch.nn.ReLU())
    ... )
    >>> statistics = layer_statistics(sc.compute_partition(model, sc.Slice.box((-1, 1), (-1, 1))))
    >>> statistics["n_regions"].tolist(), statistics["mean_inside"].round(2).tolist()
    ([8, 22], [2.75, 1.0])
    """
    n_layers = len(partition.layer_names)
    inner = partition.edge_layers >= 0
    layers = partition.edge_layers[inner]
    flips = partition.edge_flips
    is_cutting = np.zeros(partition.n_units, bool)
    first_units = np.cumsum([0, *partition.layer_sizes])
    is_cutting[first_units[flips.layers] + flips.units] = True
    of_layers = np.repeat(np.arange(n_layers), partition.layer_sizes)
    inside = [np.bincount(labels) for labels in partition.nesting.labels[1:]]
    return {
        "layer": np.arange(n_layers),
        "n_units": np.array(partition.layer_sizes, np.int64),
        "n_cutting": np.bincount(of_layers[is_cutting], minlength=n_layers),
        "length": np.bincount(layers, partition.edge_lengths[inner], n_layers),
        "n_edges": np.bincount(layers, minlength=n_layers),
        "n_regions": np.array([len(counts) for counts in inside], np.int64),
        "mean_inside": np.array([counts.mean() for counts in inside], np.float64),
        "most_inside": np.array([counts.max() for counts in inside], np.int64),
    }


def bend_angles(partition: Partition) -> dict[str, NDArray[Any]]:
    """Measure by how much the units' zero sets bend where they cross edges of earlier layers.

    Between the edges that earlier layers made, a unit is affine and its zero set straight. From
    one side of such an edge to the other its gradient n becomes n', and the zero set turns by θ
    with cos θ = ⟨n, n'⟩ / (‖n‖ ‖n'‖); θ = 0 is no bend. (Balestriero et al., "The geometry of deep
    networks: power diagram subdivision", NeurIPS 2019, study these angles; the formula is that of
    two lines' normals.) Gradients come from the regions' maps, so that edges too short to tell
    their direction have the right angle. Max groups have no such gradients; they are left out.

    Parameters
    ----------
    partition : Partition

    Returns
    -------
    dict of str to ndarray
        One entry for each of n bends. A vertex counts where exactly two edges of the unit meet,
        with edges of an earlier layer between; where its zero set branches or ends there is none.

        ``"vertex"`` : (n,) int64
            Where the bend is, an index into `Partition.vertices`.
        ``"layer"``, ``"unit"`` : (n,) int64
            What bends.
        ``"crossed_layer"``, ``"crossed_unit"`` : (n,) int64
            What it crosses there; the first of several.
        ``"angle"`` : (n,) float64
            θ in radians, 0 to π.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.edges import bend_angles
    >>> model = torch.nn.Sequential(
    ...     *(torch.nn.Linear(2, 2), torch.nn.ReLU(), torch.nn.Linear(2, 1), torch.nn.ReLU())
    ... )
    >>> with torch.no_grad():  # relu(relu(u) + (v + 9) - 9)
    ...     _ = model[0].weight.copy_(torch.eye(2)), model[2].weight.fill_(1.0)
    ...     _ = model[0].bias.copy_(torch.tensor([0.0, 9.0])), model[2].bias.fill_(-9.0)
    >>> bends = bend_angles(sc.compute_partition(model, sc.Slice.box((-1, 1), (-1, 1))))
    >>> np.degrees(bends["angle"]).round(9).tolist(), bends["crossed_unit"].tolist()
    ([45.0], [0])
    """
    edges, hinges, _ = _hinges_of_edges(partition)
    own = partition.network.units.hinge_layers[hinges] == partition.edge_layers[edges]
    own &= partition.edge_layers[edges] > 0
    own &= ~np.array([*partition.network.units.are_groups, False])[partition.edge_layers[edges]]
    edges, hinges = edges[own], hinges[own]
    layers = partition.edge_layers[edges]
    inside = np.empty(len(edges), np.int64)
    for layer, labels in enumerate(partition.nesting.labels[:-1]):
        chosen = layers == layer
        inside[chosen] = labels[partition.edge_regions[edges[chosen], 0]]
    ends = partition.edges[edges]
    # Both ends of each entry, sorted by hinge and vertex.
    keys = (hinges[:, None].astype(np.int64) * partition.n_vertices + ends).ravel()
    order = np.argsort(keys, kind="stable")
    keys, entries = keys[order], order >> 1
    starts = np.flatnonzero(np.diff(keys, prepend=-1))
    pairs = starts[np.diff(starts, append=len(keys)) == 2]
    first, second = entries[pairs], entries[pairs + 1]
    bent = inside[first] != inside[second]
    first, second, vertices = first[bent], second[bent], keys[pairs[bent]] % partition.n_vertices
    involved, places = np.unique(np.concatenate([first, second]), return_inverse=True)
    units = partition.network.units.hinge_units
    gradients = partition.map_walk().gradients(
        layers[involved],
        units[hinges[involved]],
        partition.edge_regions[edges[involved], 0].astype(np.int64),
    )
    before, after = gradients[places[: len(first)]], gradients[places[len(first) :]]
    cross = before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]
    dot = (before * after).sum(axis=1)
    crossed = _lowest_hinges(partition)[vertices]
    return {
        "vertex": vertices,
        "layer": layers[first].astype(np.int64),
        "unit": units[hinges[first]].astype(np.int64),
        "crossed_layer": partition.network.units.hinge_layers[crossed].astype(np.int64),
        "crossed_unit": units[crossed].astype(np.int64),
        "angle": np.arctan2(np.abs(cross), dot),
    }


def _hinges_of_edges(partition: Partition) -> tuple[Ints, Ints, NDArray[np.int8]]:
    """Inner edges and all hinges that change sign there: 1 if positive on the left, else -1."""
    inner = np.flatnonzero(partition.edge_hinges >= 0)
    codes = partition.shared_hinges
    edges = np.concatenate([inner, partition.shared_edges])
    hinges = np.concatenate([partition.edge_hinges[inner], codes >> 1])
    steps = np.concatenate([np.ones(len(inner), np.int8), (1 - 2 * (codes & 1)).astype(np.int8)])
    return edges, hinges, steps


def _gains(partition: Partition) -> Floats:
    """(E,): by how much area a function grows that rises by 1 from right to left of an edge.

    It is constant on the regions, and 0 in the first. On a tree of regions what changes across an
    edge changes in all regions beyond it; edges that are not in the tree have no say.
    """
    inner = np.flatnonzero(partition.edge_regions[:, 1] >= 0)
    order, _, _, predecessors, entered = grow_forest(
        partition.n_regions, partition.edge_regions[inner]
    )
    beyond = np.empty(partition.n_regions)
    sum_below(order, predecessors, partition.areas, beyond)
    gains = np.zeros(partition.n_edges)
    crossed = entered[1:]
    gains[inner[crossed >> 1]] = (1 - 2 * (crossed & 1)) * beyond[1:]
    return gains


def _lowest_hinges(partition: Partition) -> Ints:
    """(V,): the first of the hinges whose edges meet at each vertex."""
    lowest = np.full(partition.n_vertices, np.iinfo(np.int32).max, np.int32)
    inner = np.flatnonzero(partition.edge_hinges >= 0)
    np.minimum.at(lowest, partition.edges[inner], partition.edge_hinges[inner, None])
    return lowest
