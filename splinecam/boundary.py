"""Where the winning output changes: decision boundaries and level sets, exactly.

On a region every output is an affine function, so the class (the greatest output, the lowest of
several) is constant on convex pieces: the upper envelope of a few affine functions. Most regions
have one class at all their vertices, by a clear lead; such a region is one piece. Only the others
are cut.

**Rounding.** Evaluating ``z = a u + b v + c`` rounds by a few units, of 2⁻⁵³ each, of
``m = |a u| + |b v| + |c|``; that the vertex ``(u, v)`` is rounded itself adds as much. The map's
coefficients come from sums over the units of each layer, whose rounding ``m`` does not bound;
measured, maps of neighbouring regions differ at their common vertices by 5 units in small networks
and by up to 310 in ones of 15 layers. So the margin of an output at a vertex is 64 units of ``m``
(`ROUNDING`), and on top of that what the maps round the vertex in fact differ by. Two outputs
closer than their margins count as equal at that vertex, in all its regions alike: classes that tie
over an area, or along an edge, do so in float64 too, and a boundary that passes through a vertex
leaves no sliver there. Where rounding is worse there are slivers, which are pieces like any other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from splinecam._kernels.envelope import Loops, cut_regions, evaluate_maps
from splinecam._workers import Workers
from splinecam.errors import InvalidArgumentError
from splinecam.partition import Partition
from splinecam.planar import PlanarNetwork

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

ROUNDING = 2.0**-47
"""Margin of an output's rounding, relative to the magnitudes of its terms."""

CLEAR_LEAD = 2.0**-30
"""Lead over the runner-up that needs no closer look, relative to the outputs on the slice."""

SHORT = 2.0**-40
"""Share of an edge that is no part of the boundary but rounding of where it is crossed."""

ROWS = 128
"""Vertices in one matrix product; a constant, so that rounding does not depend on threads."""

MAP_ENTRIES = 2**22
"""Affine maps, of many regions for each class, that are held at a time."""

REGION_GRAIN = 512
"""Least number of regions that is worth a range of its own."""


@dataclass(frozen=True, eq=False, repr=False)
class DecisionBoundary:
    """The classes on a slice and the boundary between them.

    Made by `decision_boundary` and `level_set`; every array is read-only. Segments that meet on an
    edge share their ends to the last bit there.

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
        (P,) float64, in plane coordinates; of pieces too narrow for an area, what rounding leaves.
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
        n_segments, n_pieces = len(self.segments), len(self.piece_regions)
        return (
            f"<DecisionBoundary: {n_segments:,} segment{'' if n_segments == 1 else 's'} of total "
            f"length {self.length:.6g}; {n_pieces:,} piece{'' if n_pieces == 1 else 's'} of "
            f"{self.n_classes:,} classes>"
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
        areas = np.zeros(self.n_classes)
        np.add.at(areas, self.piece_classes, self.piece_areas)
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
    ([[[1.0, 1.0], [0.0, 0.0]]], [[0, 1]])
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
    <DecisionBoundary: 1 segment of total length 1; 2 pieces of 2 classes>
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
    """Cut the regions by the greatest output of a network that has the partition's layers."""
    # An output that repeats a lower one never wins.
    rows = np.column_stack([network.weight, network.bias])
    kept = np.sort(np.unique(rows, axis=0, return_index=True)[1])
    rivals = PlanarNetwork(network.layers, network.weight[kept], network.bias[kept])
    contest = replace(partition, network=rivals)
    region_classes = _classes_of_clear_regions(contest)
    cut = _cut(contest, np.flatnonzero(region_classes < 0))
    segments = _joined(_segments_inside(cut), _segments_on_edges(contest, cut, region_classes))
    pieces = _all_pieces(contest, cut, region_classes)
    return DecisionBoundary(
        partition=partition,
        n_classes=network.n_outputs,
        segments=segments.ends,
        regions=segments.regions,
        classes=kept[segments.classes],
        piece_regions=pieces.regions,
        piece_classes=kept[pieces.classes],
        piece_areas=pieces.areas,
        piece_offsets=pieces.offsets,
        piece_vertices=pieces.vertices,
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
    winners, runners_up = np.empty((2, len(vertices)), np.int64)
    leads = np.empty(len(vertices))
    ranks = (winners, runners_up, leads)
    with Workers() as workers:
        workers.limit_blas()
        n_blocks = -(-len(vertices) // ROWS)
        scales = workers.run(_rank_outputs, n_blocks, network, vertices, *ranks, grain=1)
    # Relative to the whole slice: where all units are off, what is left is nothing but rounding.
    scale = np.max(scales, axis=0)
    return np.where(leads > CLEAR_LEAD * (scale[winners] + scale[runners_up]), winners, -1)


def _rank_outputs(
    start: int,
    stop: int,
    network: PlanarNetwork,
    vertices: Floats,
    winners: Integers,
    runners_up: Integers,
    leads: Floats,
) -> Floats:
    """Rank the outputs at a range of blocks of vertices; return how large each output is there."""
    scale = np.zeros(network.n_outputs)
    for number in range(start, stop):
        block = slice(number * ROWS, (number + 1) * ROWS)
        outputs = network(vertices[block])
        np.maximum(scale, np.abs(outputs).max(axis=0), out=scale)
        rows = np.arange(len(outputs))
        winners[block] = outputs.argmax(axis=1)
        greatest = outputs[rows, winners[block]]
        outputs[rows, winners[block]] = -np.inf
        runners_up[block] = outputs.argmax(axis=1)
        leads[block] = greatest - outputs[rows, runners_up[block]]
    return scale


# --- Cutting regions -------------------------------------------------------------------------


class _Cut(NamedTuple):
    """Pieces of regions, by region, and their sides, counter-clockwise, piece by piece."""

    regions: Integers  # (P,)
    classes: Integers  # (P,)
    sizes: Integers  # (P,): number of sides
    owners: Integers  # (N,): the piece that each side is of
    corners: Floats  # (N, 2): where the side begins
    following: Integers  # (N,): the piece's next side
    halfedges: Integers  # (N,): on which the side runs; -1 inside the region
    params: Floats  # (N,): where on its edge the side begins, in the edge's direction
    across: Integers  # (N,): the class on the other side, if inside the region; else -1


def _cut(contest: Partition, regions: Integers) -> _Cut:
    """Cut regions, in ascending order, into pieces."""
    loops = Loops(contest.vertices, contest.edges, contest.region_offsets, contest.region_halfedges)
    step = max(1, MAP_ENTRIES // contest.network.n_outputs)
    found = [(np.empty((0, 4), np.int64), np.empty((0, 3)))]
    with Workers() as workers:
        for start in range(0, len(regions), step):
            held = regions[start : start + step]
            known = _evaluate(contest, loops, regions, held)
            found += workers.run(cut_regions, len(held), held, loops, *known, grain=REGION_GRAIN)
    sides, corners = map(np.concatenate, zip(*found, strict=True))
    is_first = np.ones(len(sides), bool)
    is_first[1:] = (sides[1:, :2] != sides[:-1, :2]).any(axis=1)
    first = np.flatnonzero(is_first)
    following = np.arange(1, len(sides) + 1)
    following[np.append(first[1:], len(sides))[: len(first)] - 1] = first
    return _Cut(
        regions=sides[first, 0],
        classes=sides[first, 1],
        sizes=np.diff(first, append=len(sides)),
        owners=np.cumsum(is_first) - 1,
        corners=corners[:, :2],
        following=following,
        halfedges=sides[:, 2],
        params=corners[:, 2],
        across=sides[:, 3],
    )


def _evaluate(
    contest: Partition, loops: Loops, regions: Integers, held: Integers
) -> tuple[Integers, Floats, Floats]:
    """Values of the classes and their margins at the vertices of held regions.

    Returns the row of each vertex and the (rows, classes) values and margins. They come from the
    maps of all `regions` round a vertex, held or not, so that they are the same in every call.
    """
    is_held = np.zeros(contest.n_regions, bool)
    is_held[held] = True
    is_wanted = np.zeros(contest.n_vertices, bool)
    is_wanted[contest.region_vertices[np.repeat(is_held, np.diff(contest.region_offsets))]] = True
    touches = np.logical_or.reduceat(
        is_wanted[contest.region_vertices], contest.region_offsets[:-1]
    )
    around = regions[touches[regions]]
    rows = np.where(is_wanted, np.cumsum(is_wanted) - 1, -1)
    shape = (np.count_nonzero(is_wanted), contest.network.n_outputs)
    values, margins = np.empty(shape), np.full(shape, -1.0)
    maps = contest.affine_maps(around)
    evaluate_maps(around, loops, rows, *maps, ROUNDING, values, margins)
    return rows, values, margins


# --- The boundary ----------------------------------------------------------------------------


class _Segments(NamedTuple):
    """Segments of the boundary, with the lower class on the left."""

    ends: Floats  # (S, 2, 2)
    regions: Integers  # (S,)
    classes: Integers  # (S, 2)


def _joined(inside: _Segments, on_edges: _Segments) -> _Segments:
    """All segments but for those too short to have a length in float64."""
    ends = np.concatenate([inside.ends, on_edges.ends])
    long = (ends[:, 0] != ends[:, 1]).any(axis=1)
    regions = np.concatenate([inside.regions, on_edges.regions])
    classes = np.concatenate([inside.classes, on_edges.classes])
    return _Segments(ends[long], regions[long], classes[long])


def _segments_inside(cut: _Cut) -> _Segments:
    """The boundary inside regions: sides of pieces with a higher class across."""
    own = cut.classes[cut.owners]
    sides = np.flatnonzero(cut.across > own)
    ends = cut.corners[np.stack([sides, cut.following[sides]], axis=1)]
    classes = np.stack([own[sides], cut.across[sides]], axis=1)
    return _Segments(ends, cut.regions[cut.owners[sides]], classes)


def _segments_on_edges(contest: Partition, cut: _Cut, region_classes: Integers) -> _Segments:
    """The boundary along edges: where the pieces left and right of an edge differ in class."""
    edges, sides, starts, classes = _pieces_on_edges(contest, cut, region_classes)
    order = np.lexsort((starts, edges))
    edges, sides, starts, classes = edges[order], sides[order], starts[order], classes[order]
    # A piece lasts until the next one on the same side of its edge begins.
    numbers = np.arange(len(edges))
    left, right = (
        classes[np.maximum.accumulate(np.where(sides == side, numbers, 0))] for side in (0, 1)
    )
    is_last = np.append(edges[1:] != edges[:-1], True)[: len(edges)]
    stops = np.where(is_last, 1.0, np.roll(starts, -1))
    parts = np.flatnonzero((left != right) & (stops - starts > SHORT))
    # The lower class is to be on the left.
    backward = (left > right)[parts]
    spans = np.stack([starts[parts], stops[parts]], axis=1)
    spans[backward] = spans[backward, ::-1]
    shares = spans[:, :, None]
    origins, targets = contest.vertices[contest.edges[edges[parts]].T]
    ends = (1.0 - shares) * origins[:, None] + shares * targets[:, None]
    regions = contest.edge_regions[edges[parts], backward.astype(np.intp)]
    pairs = np.sort(np.stack([left[parts], right[parts]], axis=1), axis=1)
    return _Segments(ends, regions.astype(np.int64), pairs)


def _pieces_on_edges(
    contest: Partition, cut: _Cut, region_classes: Integers
) -> tuple[Integers, Integers, Floats, Integers]:
    """Which pieces lie on edges with more than one class.

    Returns, for each place where a piece lies on an edge, the edge, the side (0 left, 1 right),
    where the piece begins in the edge's direction, and its class.
    """
    along = np.flatnonzero(cut.halfedges >= 0)
    edges, sides = cut.halfedges[along] >> 1, cut.halfedges[along] & 1
    inner = contest.edge_regions[edges, 1] >= 0
    along, edges, sides = along[inner], edges[inner], sides[inner]
    # A neighbour that was not cut has one class, all along the edge.
    neighbour_classes = region_classes[contest.edge_regions[edges, 1 - sides]]
    clear = np.flatnonzero(neighbour_classes >= 0)
    classes = np.concatenate([cut.classes[cut.owners[along]], neighbour_classes[clear]])
    starts = np.concatenate([cut.params[along], np.zeros(len(clear))])
    sides = np.concatenate([sides, 1 - sides[clear]])
    edges = np.concatenate([edges, edges[clear]])
    lowest = np.full(contest.n_edges, contest.network.n_outputs)
    highest = np.full(contest.n_edges, -1)
    np.minimum.at(lowest, edges, classes)
    np.maximum.at(highest, edges, classes)
    mixed = (lowest < highest)[edges]
    return edges[mixed], sides[mixed], starts[mixed], classes[mixed]


# --- The pieces ------------------------------------------------------------------------------


class _PieceArrays(NamedTuple):
    """All pieces by region, as `DecisionBoundary` has them."""

    regions: Integers
    classes: Integers
    areas: Floats
    offsets: Integers
    vertices: Floats


def _all_pieces(contest: Partition, cut: _Cut, region_classes: Integers) -> _PieceArrays:
    """Clear regions, each of them one piece, and the pieces of the others."""
    clear = np.flatnonzero(region_classes >= 0)
    regions = np.concatenate([clear, cut.regions])
    order = np.argsort(regions, kind="stable")
    classes = np.concatenate([region_classes[clear], cut.classes])
    areas = np.concatenate([contest.areas[clear], _areas(cut)])
    sizes = np.concatenate([np.diff(contest.region_offsets)[clear], cut.sizes])[order]
    # One list of corners: the loops of all regions, then those of the cut pieces.
    n_loops, n_corners = len(contest.region_vertices), len(cut.corners)
    corners = np.append(contest.region_vertices, contest.n_vertices + np.arange(n_corners))
    first = n_loops + np.cumsum(cut.sizes) - cut.sizes
    starts = np.concatenate([contest.region_offsets[clear], first])[order]
    offsets = np.append(0, np.cumsum(sizes))
    entries = np.repeat(starts - offsets[:-1], sizes) + np.arange(offsets[-1])
    vertices = np.concatenate([contest.vertices, cut.corners])[corners[entries]]
    return _PieceArrays(regions[order], classes[order], areas[order], offsets, vertices)


def _areas(cut: _Cut) -> Floats:
    """(P,): relative to a corner of each piece, so that small ones far away lose nothing."""
    first = np.cumsum(cut.sizes) - cut.sizes
    here = cut.corners - cut.corners[first[cut.owners]]
    there = here[cut.following]
    cross = here[:, 0] * there[:, 1] - here[:, 1] * there[:, 0]
    areas = np.zeros(len(cut.sizes))
    np.add.at(areas, cut.owners, 0.5 * cross)
    return areas
