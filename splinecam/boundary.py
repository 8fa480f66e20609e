"""Where the winning output changes: decision boundaries and level sets, exactly.

On a region every output is an affine function, so the class (the greatest output, the lowest of
several) is constant on convex pieces: the upper envelope of a few affine functions. Most regions
have one class at all their vertices, by a clear lead; such a region is one piece. Only the others
are cut.

**Rounding.** The map of a region, ``z = a u + b v + c``, is known to a few units of 2⁻⁵³ of the sum
of its terms' magnitudes, ``|a u| + |b v| + |c|``, for each layer that it was composed of; the
vertex at which it is evaluated likewise, which adds as much of ``|a u| + |b v|``. `ROUNDING` takes
512 of them altogether; the maps of neighbouring regions differ at their vertices by up to 5 in
small networks and up to 310 in ones of 15 layers. Two outputs closer than that count as equal at a
vertex, in all its regions alike. So classes that tie over an area, or along an edge, do so in
float64 too, and a boundary that passes through a vertex leaves no sliver there. Where rounding is
worse, the result is still a cut of every region, with slivers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral, Real

import numpy as np
from numpy.typing import NDArray

from splinecam._kernels.envelope import Loops, Pieces, cut_regions, evaluate_maps
from splinecam._workers import Workers
from splinecam.errors import InvalidArgumentError
from splinecam.partition import Partition
from splinecam.planar import PlanarNetwork

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ROUNDING = 2.0**-44
"""Margin of an output's rounding, relative to the magnitudes of its terms."""

CLEAR_LEAD = 2.0**-30
"""Lead over the runner-up that needs no closer look, relative to the outputs on the slice."""

SHORT = 2.0**-40
"""Share of an edge that is no part of the boundary but rounding of where it is crossed."""

ACTIVATION_ENTRIES = 2**22
"""Activations, of many vertices in one layer, that are held at a time."""

MAP_ENTRIES = 2**22
"""Affine maps, of many regions for each class, that are held at a time."""

REGION_GRAIN = 512
"""Least number of regions that is worth a range of its own."""


@dataclass(frozen=True, eq=False, repr=False)
class DecisionBoundary:
    """The classes on a slice and the boundary between them.

    Made by `decision_boundary` and `level_set`; every array is read-only.

    Parameters
    ----------
    partition : Partition
        The partition whose regions were cut.
    n_classes : int
        Number of classes.
    segments : ndarray
        (S, 2, 2) float64, ends of the boundary's segments in plane coordinates, directed so that
        the first class of `classes` is on the left.
    regions : ndarray
        (S,) int64, the region that holds each segment; the one on its left where it runs along an
        edge.
    classes : ndarray
        (S, 2) int64, the classes left and right of each segment; the left one is the lower.
    piece_regions : ndarray
        (P,) int64, ascending: the region that each piece is part of.
    piece_classes : ndarray
        (P,) int64.
    piece_areas : ndarray
        (P,) float64, in plane coordinates.
    piece_offsets : ndarray
        (P + 1,) int64, where each piece begins in `piece_vertices`.
    piece_vertices : ndarray
        (N, 2) float64, plane coordinates of the pieces' corners, counter-clockwise.
    """

    partition: Partition
    n_classes: int
    segments: Floats
    regions: Integers
    classes: Integers
    piece_regions: Integers
    piece_classes: Integers
    piece_areas: Floats
    piece_offsets: Integers
    piece_vertices: Floats

    def __post_init__(self) -> None:
        for array in vars(self).values():
            if isinstance(array, np.ndarray):
                array.setflags(write=False)

    def __repr__(self) -> str:
        return (
            f"<DecisionBoundary: {len(self.segments):,} segments of total length "
            f"{self.length:.6g}; {len(self.piece_regions):,} pieces of {self.n_classes:,} classes>"
        )

    @cached_property
    def lengths(self) -> Floats:
        """(S,) float64: lengths of the segments in plane coordinates."""
        along = self.segments[:, 1] - self.segments[:, 0]
        lengths = np.hypot(along[:, 0], along[:, 1])
        lengths.setflags(write=False)
        return lengths

    @property
    def length(self) -> float:
        """Total length of the boundary in plane coordinates."""
        return float(self.lengths.sum())

    @cached_property
    def class_areas(self) -> Floats:
        """(n_classes,) float64: how much of the slice each class has, in plane coordinates."""
        areas = np.bincount(self.piece_classes, self.piece_areas, self.n_classes)
        areas.setflags(write=False)
        return areas


def decision_boundary(partition: Partition) -> DecisionBoundary:
    """Find where the model's decision changes, exactly.

    Two or more outputs: the class is the greatest output, and the boundary between two classes is
    where they are the top two, not just equal (SplineCam, Humayun et al., CVPR 2023, draws all
    pairs' zero sets, which is more). A single output: class 0 where it is 0 or less, class 1 where
    it is positive. Of outputs that tie over an area the lowest is the class, as for `torch.argmax`.

    Parameters
    ----------
    partition : Partition

    Returns
    -------
    DecisionBoundary

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> model = torch.nn.Linear(2, 2)
    >>> with torch.no_grad():
    ...     _ = model.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]])), model.bias.zero_()
    >>> p = sc.compute_partition(model, sc.Slice.box((0, 1), (0, 1)))
    >>> boundary = decision_boundary(p)
    >>> boundary.segments.tolist(), boundary.classes.tolist()
    ([[[0.0, 0.0], [1.0, 1.0]]], [[0, 1]])
    >>> boundary.class_areas.tolist()
    [0.5, 0.5]
    """
    if partition.network.n_outputs == 1:
        return level_set(partition, 0, 0.0)
    return _decide(partition, partition.network)


def level_set(partition: Partition, output: int, value: float) -> DecisionBoundary:
    """Find where one output has a value, exactly.

    Class 0 is where the output is at most `value`, class 1 where it exceeds it; an area where they
    are equal belongs to class 0.

    Parameters
    ----------
    partition : Partition
    output : int
        Which of the flattened outputs.
    value : float

    Returns
    -------
    DecisionBoundary

    Raises
    ------
    InvalidArgumentError
        If there is no such output, or `value` is not a finite number.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> model = torch.nn.Linear(2, 1)
    >>> with torch.no_grad():
    ...     _ = model.weight.copy_(torch.tensor([[1.0, 0.0]])), model.bias.zero_()
    >>> p = sc.compute_partition(model, sc.Slice.box((0, 1), (0, 1)))
    >>> level_set(p, 0, 0.25)
    <DecisionBoundary: 1 segments of total length 1; 2 pieces of 2 classes>
    """
    network = partition.network
    if not isinstance(output, Integral) or not 0 <= output < network.n_outputs:
        raise InvalidArgumentError(
            f"output is {output!r}; accepted: an integer, 0 to {network.n_outputs - 1}"
        )
    if not isinstance(value, Real) or not math.isfinite(value):
        raise InvalidArgumentError(f"value is {value!r}; accepted: a finite number")
    weight = np.stack([np.zeros_like(network.weight[output]), network.weight[output]])
    bias = np.array([float(value), network.bias[output]])
    return _decide(partition, PlanarNetwork(network.layers, weight, bias))


def _decide(partition: Partition, network: PlanarNetwork) -> DecisionBoundary:
    """Cut the regions by the greatest output of a network that shares the partition's layers."""
    # An output that repeats a lower one never wins.
    rows = np.column_stack([network.weight, network.bias])
    kept = np.sort(np.unique(rows, axis=0, return_index=True)[1])
    contest = replace(
        partition,
        network=PlanarNetwork(network.layers, network.weight[kept], network.bias[kept]),
    )
    region_classes = _classes_of_clear_regions(contest)
    cut = _cut(contest, np.flatnonzero(region_classes < 0))
    inner = _inner_segments(cut)
    outer = _segments_on_edges(contest, cut, region_classes)
    segments, regions, classes = map(np.concatenate, zip(inner, outer, strict=True))
    offsets, vertices, owners, piece_classes, areas = _all_pieces(contest, cut, region_classes)
    return DecisionBoundary(
        partition=partition,
        n_classes=network.n_outputs,
        segments=segments,
        regions=regions,
        classes=kept[classes],
        piece_regions=owners,
        piece_classes=kept[piece_classes],
        piece_areas=areas,
        piece_offsets=offsets,
        piece_vertices=vertices,
    )


# --- Which regions are to be cut -------------------------------------------------------------


def _classes_of_clear_regions(contest: Partition) -> Integers:
    """(R,): the class of a region with a clear winner, the same at all vertices; -1 for others."""
    winners = _clear_winners(contest.network, contest.vertices)[contest.region_vertices]
    lowest = np.minimum.reduceat(winners, contest.region_offsets[:-1])
    highest = np.maximum.reduceat(winners, contest.region_offsets[:-1])
    return np.where(lowest == highest, lowest, -1)


def _clear_winners(network: PlanarNetwork, vertices: Floats) -> Integers:
    """(V,): the greatest output at each vertex; -1 where another one is close."""
    if network.n_outputs == 1:
        return np.zeros(len(vertices), np.int64)
    winners, runners = np.empty((2, len(vertices)), np.int64)
    leads = np.empty(len(vertices))
    scales = np.zeros(network.n_outputs)
    step = max(1, ACTIVATION_ENTRIES // max([*network.layer_sizes, network.n_outputs]))
    for start in range(0, len(vertices), step):
        part = slice(start, start + step)
        outputs = network(vertices[part])
        scales = np.maximum(scales, np.abs(outputs).max(axis=0))
        rows = np.arange(len(outputs))
        winners[part] = outputs.argmax(axis=1)
        greatest = outputs[rows, winners[part]]
        outputs[rows, winners[part]] = -np.inf
        runners[part] = outputs.argmax(axis=1)
        leads[part] = greatest - outputs[rows, runners[part]]
    # Relative to the whole slice: where all units are off, what is left is nothing but rounding.
    return np.where(leads > CLEAR_LEAD * (scales[winners] + scales[runners]), winners, -1)


# --- Cutting regions -------------------------------------------------------------------------


def _cut(contest: Partition, regions: Integers) -> Pieces:
    """Cut regions into pieces; regions ascend and so do the pieces'."""
    loops = _loops(contest)
    step = max(1, MAP_ENTRIES // contest.network.n_outputs)
    parts = [cut_regions(0, 0, regions, loops, np.empty(0, np.int64), *np.empty((2, 0, 0)))]
    with Workers() as workers:
        for start in range(0, len(regions), step):
            held = regions[start : start + step]
            known = _evaluate(contest, loops, regions, held)
            parts += workers.run(cut_regions, len(held), held, loops, *known, grain=REGION_GRAIN)
    return Pieces(*map(np.concatenate, zip(*parts, strict=True)))


def _loops(partition: Partition) -> Loops:
    return Loops(
        partition.vertices, partition.edges, partition.region_offsets, partition.region_halfedges
    )


def _evaluate(
    contest: Partition, loops: Loops, regions: Integers, held: Integers
) -> tuple[Integers, Floats, Floats]:
    """Values of the classes and their margins at the vertices of held regions.

    Returns the row of each vertex and the (rows, classes) values and margins. They come from the
    maps of all `regions` round a vertex, held or not, so that they are the same in every call.
    """
    wanted = np.zeros(contest.n_vertices, bool)
    wanted[contest.region_vertices[_in_loops(contest, held)]] = True
    rows = np.where(wanted, np.cumsum(wanted) - 1, -1)
    touching = np.logical_or.reduceat(wanted[contest.region_vertices], contest.region_offsets[:-1])
    around = regions[touching[regions]]
    shape = (np.count_nonzero(wanted), contest.network.n_outputs)
    values, margins = np.empty(shape), np.full(shape, -1.0)
    maps = contest.affine_maps(around)
    evaluate_maps(around, loops, rows, *maps, ROUNDING, values, margins)
    return rows, values, margins


def _in_loops(partition: Partition, regions: Integers) -> NDArray[np.bool_]:
    """Which entries of `region_vertices` are of given regions."""
    chosen = np.zeros(partition.n_regions, bool)
    chosen[regions] = True
    return np.repeat(chosen, np.diff(partition.region_offsets))


# --- Putting the result together -------------------------------------------------------------

Segments = tuple[Floats, Integers, Integers]
"""Ends (S, 2, 2), regions (S,) and classes (S, 2)."""


def _inner_segments(cut: Pieces) -> Segments:
    """The boundary inside regions: sides of pieces with a higher class across."""
    owners = np.repeat(np.arange(len(cut.sizes)), cut.sizes)
    following = np.arange(1, len(owners) + 1)
    ends = np.cumsum(cut.sizes)
    following[ends - 1] = ends - cut.sizes
    sides = np.flatnonzero(cut.beyond > cut.classes[owners])
    segments = cut.corners[np.stack([sides, following[sides]], axis=1)]
    classes = np.stack([cut.classes[owners[sides]], cut.beyond[sides]], axis=1)
    return segments, cut.regions[owners[sides]], classes


def _segments_on_edges(contest: Partition, cut: Pieces, region_classes: Integers) -> Segments:
    """The boundary along edges: where the pieces left and right of an edge differ in class."""
    edges, sides, params, classes = _pieces_on_edges(contest, cut, region_classes)
    order = np.lexsort((params, edges))
    edges, sides, params, classes = (a[order] for a in (edges, sides, params, classes))
    numbers = np.arange(len(edges))
    # A piece lasts until the next one on the same side of its edge begins.
    here = [np.maximum.accumulate(np.where(sides == side, numbers, 0)) for side in (0, 1)]
    left, right = classes[here[0]], classes[here[1]]
    ends = np.ones(len(edges))
    ends[:-1] = np.where(edges[1:] == edges[:-1], params[1:], 1.0)
    parts = np.flatnonzero((left != right) & (ends - params > SHORT))
    backward = left[parts] > right[parts]
    spans = np.stack([params[parts], ends[parts]], axis=1)
    spans[backward] = spans[backward, ::-1]
    ends_of_edges = contest.vertices[contest.edges[edges[parts]]]
    shares = spans[:, :, None]
    segments = (1.0 - shares) * ends_of_edges[:, :1] + shares * ends_of_edges[:, 1:]
    regions = contest.edge_regions[edges[parts], backward.astype(int)].astype(np.int64)
    pairs = np.stack([left[parts], right[parts]], axis=1)
    return segments, regions, np.sort(pairs, axis=1)


def _pieces_on_edges(
    contest: Partition, cut: Pieces, region_classes: Integers
) -> tuple[Integers, Integers, Floats, Integers]:
    """Which pieces lie on edges with more than one class.

    Returns, for each place where a piece lies on an edge, the edge, the side (0 left, 1 right),
    where the piece begins in the edge's direction, and its class.
    """
    corners = np.flatnonzero(cut.halfedges >= 0)
    edges, sides = cut.halfedges[corners] >> 1, cut.halfedges[corners] & 1
    classes = np.repeat(cut.classes, cut.sizes)[corners]
    across = contest.edge_regions[edges, 1 - sides]
    across_classes = np.where(across >= 0, region_classes[across], -1)
    # Neighbours that were not cut have one class all along the edge.
    clear = np.flatnonzero(across_classes >= 0)
    inner = np.flatnonzero(across >= 0)
    edges = np.concatenate([edges[inner], edges[clear]])
    sides = np.concatenate([sides[inner], 1 - sides[clear]])
    params = np.concatenate([cut.params[corners[inner]], np.zeros(len(clear))])
    classes = np.concatenate([classes[inner], across_classes[clear]])
    lowest = np.full(contest.n_edges, contest.network.n_outputs)
    highest = np.full(contest.n_edges, -1)
    np.minimum.at(lowest, edges, classes)
    np.maximum.at(highest, edges, classes)
    mixed = (lowest < highest)[edges]
    return edges[mixed], sides[mixed], params[mixed], classes[mixed]


def _all_pieces(
    contest: Partition, cut: Pieces, region_classes: Integers
) -> tuple[Integers, Floats, Integers, Integers, Floats]:
    """Clear regions and pieces of the others, by region.

    Returns offsets, corners, regions, classes and areas.
    """
    clear = np.flatnonzero(region_classes >= 0)
    loop_sizes = np.diff(contest.region_offsets)
    owners = np.concatenate([clear, cut.regions])
    order = np.argsort(owners, kind="stable")
    classes = np.concatenate([region_classes[clear], cut.classes])[order]
    areas = np.concatenate([contest.areas[clear], cut.areas])[order]
    sizes = np.concatenate([loop_sizes[clear], cut.sizes])[order]
    # Loops of all regions, then the cut pieces' corners, as one list of points.
    loops = len(contest.region_vertices)
    starts = np.concatenate(
        [contest.region_offsets[clear], loops + np.cumsum(cut.sizes) - cut.sizes]
    )[order]
    points = np.concatenate(
        [contest.region_vertices, contest.n_vertices + np.arange(len(cut.corners))]
    )
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    entries = np.repeat(starts - offsets[:-1], sizes) + np.arange(offsets[-1])
    corners = np.concatenate([contest.vertices, cut.corners])[points[entries]]
    return offsets, corners, owners[order], classes, areas
