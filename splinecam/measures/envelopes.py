"""Cutting regions by the greatest of several outputs.

Regions with one clear winner at all their vertices are one piece; the others are cut by the upper
envelope of their affine maps.

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

from typing import NamedTuple

import numpy as np

from splinecam._kernels.envelope import Loops, cut_regions, evaluate_maps
from splinecam._kernels.ranking import Ranks, rank_corners
from splinecam.common.types import Floats, Ints
from splinecam.common.workers import Workers
from splinecam.partition.partition import Partition

ROUNDING = 2.0**-47
"""Margin of an output's rounding, relative to the magnitudes of its terms."""

CLEAR_LEAD = 2.0**-30
"""Lead over the runner-up that needs no closer look, relative to the outputs on the slice."""

SHORT = 2.0**-40
"""Share of an edge that is no part of the boundary but rounding of where it is crossed."""

MAP_ENTRIES = 2**22
"""Affine maps, of many regions for each class, that are held at a time."""

REGION_GRAIN = 512
"""Least number of regions that is worth a range of its own."""


# --- Which regions are to be cut -------------------------------------------------------------


def classes_of_clear_regions(contest: Partition) -> Ints:
    """(R,): the class of a region with a clear winner, the same at all vertices; -1 for others."""
    winners = _clear_winners(contest)[contest.region_vertices]
    lowest = np.minimum.reduceat(winners, contest.region_offsets[:-1])
    highest = np.maximum.reduceat(winners, contest.region_offsets[:-1])
    return np.where(lowest == highest, lowest, -1)


def _clear_winners(contest: Partition) -> Ints:
    """(V,): the greatest output at each vertex; -1 where another one is close."""
    n_regions, n_vertices = contest.n_regions, contest.n_vertices
    winners, runners_up = np.empty((2, n_vertices), np.int64)
    ranks = Ranks(winners, runners_up, np.empty(n_vertices))
    # Each vertex is looked at in one of its regions, so that the order of work decides nothing.
    owners = np.full(n_vertices, n_regions)
    regions = np.repeat(np.arange(n_regions), np.diff(contest.region_offsets))
    np.minimum.at(owners, contest.region_vertices, regions)
    loops = (contest.vertices, contest.region_offsets, contest.region_vertices)
    sizes = [np.zeros(contest.network.n_outputs)]
    with Workers() as workers:
        for block, *maps in contest.output_maps.blocks(workers):
            arrays = (block, *maps, *loops, owners, ranks)
            sizes += workers.run(rank_corners, len(block), *arrays, grain=REGION_GRAIN)
    # Relative to the whole slice: where all units are off, what is left is nothing but rounding.
    scale = np.max(sizes, axis=0)
    close = CLEAR_LEAD * (scale[winners] + scale[runners_up])
    return np.where(ranks.leads > close, winners, -1)


# --- Cutting regions -------------------------------------------------------------------------


class Cut(NamedTuple):
    """Pieces of regions, by region, and their sides, counter-clockwise, piece by piece."""

    regions: Ints  # (P,)
    classes: Ints  # (P,)
    sizes: Ints  # (P,): number of sides
    owners: Ints  # (N,): the piece that each side is of
    corners: Floats  # (N, 2): where the side begins
    following: Ints  # (N,): the piece's next side
    halfedges: Ints  # (N,): on which the side runs; -1 inside the region
    params: Floats  # (N,): where on its edge the side begins, in the edge's direction
    across: Ints  # (N,): the class on the other side, if inside the region; else -1


def cut_by_class(contest: Partition, regions: Ints) -> Cut:
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
    cut = Cut(
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
    _weld(cut)
    return cut


def _weld(cut: Cut) -> None:
    """Let pieces that meet inside a region have their corner in common to the last bit.

    Three classes are equal in one point of a region at most, which each of their pieces has found
    by another way.
    """
    preceding = np.empty_like(cut.following)
    preceding[cut.following] = np.arange(len(preceding))
    across = np.stack([cut.across, cut.across[preceding]], axis=1)
    corners = np.flatnonzero((across >= 0).all(axis=1) & (across[:, 0] != across[:, 1]))
    pieces = cut.owners[corners]
    classes = np.sort(np.column_stack([cut.classes[pieces], across[corners]]), axis=1)
    keys = np.column_stack([cut.regions[pieces], classes])
    _, first, which = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    cut.corners[corners] = cut.corners[corners[first[which.ravel()]]]


def _evaluate(
    contest: Partition, loops: Loops, regions: Ints, held: Ints
) -> tuple[Ints, Floats, Floats]:
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
    maps = contest.output_maps.of(around)
    evaluate_maps(around, loops, rows, *maps, ROUNDING, values, margins)
    return rows, values, margins


# --- The boundary ----------------------------------------------------------------------------


class Segments(NamedTuple):
    """Segments of the boundary, with the lower class on the left."""

    ends: Floats  # (S, 2, 2)
    regions: Ints  # (S,)
    classes: Ints  # (S, 2)
    normals: Floats  # (S, 2): at right angles, to the left; of any length before `joined`


def joined(inside: Segments, on_edges: Segments) -> Segments:
    """All segments but for those too short to have a length in float64."""
    ends = np.concatenate([inside.ends, on_edges.ends])
    long = (ends[:, 0] != ends[:, 1]).any(axis=1)
    regions = np.concatenate([inside.regions, on_edges.regions])
    classes = np.concatenate([inside.classes, on_edges.classes])
    normals = np.concatenate([inside.normals, on_edges.normals])[long]
    normals /= np.hypot(normals[:, 0], normals[:, 1])[:, None]
    return Segments(ends[long], regions[long], classes[long], normals)


def segments_inside(contest: Partition, cut: Cut) -> Segments:
    """The boundary inside regions: sides of pieces with a higher class across."""
    own = cut.classes[cut.owners]
    sides = np.flatnonzero(cut.across > own)
    ends = cut.corners[np.stack([sides, cut.following[sides]], axis=1)]
    classes = np.stack([own[sides], cut.across[sides]], axis=1)
    regions = cut.regions[cut.owners[sides]]
    return Segments(ends, regions, classes, _leading_directions(contest, regions, classes, ends))


def _leading_directions(contest: Partition, regions: Ints, classes: Ints, ends: Floats) -> Floats:
    """(S, 2): the way to where the first class leads: the gradient of its lead.

    It is normal to the segment. Rounding may leave no gradient; then the segment has to do.
    """
    gradients = np.empty((len(regions), 2))
    step = max(1, MAP_ENTRIES // contest.network.n_outputs)
    for start in range(0, len(regions), step):
        held, pairs = regions[start : start + step], classes[start : start + step]
        wanted, rows = np.unique(held, return_inverse=True)
        slopes, _ = contest.output_maps.of(wanted)
        gradients[start : start + step] = slopes[rows, pairs[:, 0]] - slopes[rows, pairs[:, 1]]
    is_flat = ~gradients.any(axis=1)
    gradients[is_flat] = _to_left(ends[is_flat])
    return gradients


def _to_left(ends: Floats) -> Floats:
    """(S, 2): segments (S, 2, 2), as vectors, turned to the left."""
    along = ends[:, 1] - ends[:, 0]
    return np.stack([-along[:, 1], along[:, 0]], axis=1)


def segments_on_edges(contest: Partition, cut: Cut, region_classes: Ints) -> Segments:
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
    lines = contest.vertices[contest.edges[edges[parts]]]
    lines[backward] = lines[backward, ::-1]
    return Segments(ends, regions.astype(np.int64), pairs, _to_left(lines))


def _pieces_on_edges(
    contest: Partition, cut: Cut, region_classes: Ints
) -> tuple[Ints, Ints, Floats, Ints]:
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


class PieceArrays(NamedTuple):
    """All pieces by region, as `DecisionBoundary` has them."""

    regions: Ints
    classes: Ints
    areas: Floats
    offsets: Ints
    vertices: Floats


def all_pieces(contest: Partition, cut: Cut, region_classes: Ints) -> PieceArrays:
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
    return PieceArrays(regions[order], classes[order], areas[order], offsets, vertices)


def _areas(cut: Cut) -> Floats:
    """(P,): relative to a corner of each piece, so that small ones far away lose nothing."""
    first = np.cumsum(cut.sizes) - cut.sizes
    here = cut.corners - cut.corners[first[cut.owners]]
    there = here[cut.following]
    cross = here[:, 0] * there[:, 1] - here[:, 1] * there[:, 0]
    areas = np.zeros(len(cut.sizes))
    np.add.at(areas, cut.owners, 0.5 * cross)
    return areas
