"""Cutting regions by which of several affine functions is the greatest: their upper envelope.

Values are known at the regions' vertices, each with a margin of rounding; a difference of two
values within the sum of their margins counts as 0. A vertex has the same values and margins in all
its regions, and a crossing of an edge depends on nothing but the values at the edge's ends, so that
neighbouring regions agree on signs and on crossings to the last bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from splinecam._kernels.arrays import JIT


class Loops(NamedTuple):
    """The regions of a partition, as far as the kernels need them."""

    vertices: np.ndarray  # (V, 2) float64
    edges: np.ndarray  # (E, 2) int32
    offsets: np.ndarray  # (R + 1,) int32: into halfedges
    halfedges: np.ndarray  # counter-clockwise loops, int32


class Pieces(NamedTuple):
    """Parts of regions in which one class is the greatest, with their corners."""

    regions: np.ndarray  # (P,) int64
    classes: np.ndarray  # (P,) int64
    areas: np.ndarray  # (P,) float64
    sizes: np.ndarray  # (P,) int64: number of corners
    corners: np.ndarray  # (N, 2) float64: counter-clockwise loops, piece by piece
    halfedges: np.ndarray  # (N,) int64: on which the side from a corner on runs; -1 inside a region
    params: np.ndarray  # (N,) float64: where on its edge that side begins, in the edge's direction
    beyond: np.ndarray  # (N,) int64: the class across that side; -1 where it runs on an edge


class Outline(NamedTuple):
    """A convex polygon that is being cut, corner by corner, counter-clockwise."""

    points: np.ndarray  # (m, 2) float64
    values: np.ndarray  # (m, S) float64: of the rivals
    margins: np.ndarray  # (m, S) float64
    sides: np.ndarray  # (m,) int64: the region's side on which the next side runs; -1 inside
    params: np.ndarray  # (m,) float64: position along the edge's direction; -1: no crossing


@njit(**JIT)
def evaluate_maps(regions, loops, rows, slopes, constants, rounding, values, margins):
    """Write the values of affine maps at the vertices of regions, and their margins of rounding.

    Where regions meet, the first one listed gives the value and all of them the margin.

    Parameters
    ----------
    regions : the regions, each with its maps ``slopes`` (k, C, 2) and ``constants`` (k, C).
    rows : for each vertex, its row in `values` and `margins`, or -1 where it is not wanted.
    rounding : the margin is that many times the sum of the terms' magnitudes.
    values, margins : (rows, C), written; `margins` must come filled with -1.
    """
    for k in range(len(regions)):
        for n in range(loops.offsets[regions[k]], loops.offsets[regions[k] + 1]):
            h = loops.halfedges[n]
            vertex = loops.edges[h >> 1, h & 1]
            row = rows[vertex]
            if row < 0:
                continue
            first = margins[row, 0] < 0.0
            for i in range(values.shape[1]):
                along_u = slopes[k, i, 0] * loops.vertices[vertex, 0]
                along_v = slopes[k, i, 1] * loops.vertices[vertex, 1]
                if first:
                    values[row, i] = along_u + along_v + constants[k, i]
                margin = rounding * (abs(along_u) + abs(along_v) + abs(constants[k, i]))
                margins[row, i] = max(margins[row, i], margin)


@njit(**JIT)
def cut_regions(start, stop, regions, loops, rows, values, margins):
    """Cut a range of regions into pieces, one for each class that is the greatest somewhere.

    Where classes are equal throughout a region, the lowest counts as the greatest.

    Parameters
    ----------
    regions : the regions of which a range is to be cut.
    rows : for each vertex, its row in `values` and `margins` (rows, C).
    """
    pieces = _no_pieces()
    n_pieces = 0
    n_corners = 0
    for r in regions[start:stop]:
        corners = _corner_rows(r, loops, rows)
        rivals = _undominated(corners, values, margins)
        region = _outline(r, rivals, corners, loops, values, margins)
        before = n_pieces
        for i in range(len(rivals)):
            piece = _winning_part(i, region, r, loops)
            area = _area(piece.points)
            if area > 0.0:
                pieces = _append(pieces, n_pieces, n_corners, r, i, rivals, piece, area, loops)
                n_corners += pieces.sizes[n_pieces]
                n_pieces += 1
        if n_pieces == before:
            i = _greatest(region.values)
            area = _area(region.points)
            pieces = _append(pieces, n_pieces, n_corners, r, i, rivals, region, area, loops)
            n_corners += pieces.sizes[n_pieces]
            n_pieces += 1
    return _trimmed(pieces, n_pieces, n_corners)


@njit(**JIT)
def _corner_rows(r, loops, rows):
    """Where the values at a region's vertices stand."""
    n = loops.offsets[r + 1] - loops.offsets[r]
    found = np.empty(n, np.int64)
    for m in range(n):
        h = loops.halfedges[loops.offsets[r] + m]
        found[m] = rows[loops.edges[h >> 1, h & 1]]
    return found


@njit(**JIT)
def _undominated(corners, values, margins):
    """The classes, ascending, that no other one equals or exceeds at all corners of a region.

    Compared with those found so far only, so that at least one is left whatever rounding does.
    """
    found = np.empty(values.shape[1], np.int64)
    count = 0
    for k in range(values.shape[1]):
        is_rival = True
        for m in range(count):
            is_rival = is_rival and _exceeds(k, found[m], corners, values, margins)
        if not is_rival:
            continue
        kept = 0
        for m in range(count):
            if _exceeds(found[m], k, corners, values, margins):
                found[kept] = found[m]
                kept += 1
        found[kept] = k
        count = kept + 1
    return found[:count].copy()


@njit(**JIT)
def _exceeds(i, j, corners, values, margins):
    """Whether class `i` is greater than class `j` at some corner, beyond rounding."""
    for c in corners:
        if values[c, i] - values[c, j] > margins[c, i] + margins[c, j]:
            return True
    return False


@njit(**JIT)
def _outline(r, rivals, corners, loops, values, margins):
    """The outline of a whole region."""
    n = len(corners)
    points = np.empty((n, 2))
    own_values = np.empty((n, len(rivals)))
    own_margins = np.empty((n, len(rivals)))
    for m in range(n):
        h = loops.halfedges[loops.offsets[r] + m]
        points[m] = loops.vertices[loops.edges[h >> 1, h & 1]]
        for i in range(len(rivals)):
            own_values[m, i] = values[corners[m], rivals[i]]
            own_margins[m, i] = margins[corners[m], rivals[i]]
    return Outline(points, own_values, own_margins, np.arange(n), np.full(n, -1.0))


@njit(**JIT)
def _winning_part(i, region, r, loops):
    """The part of a region's outline in which rival `i` is the greatest."""
    part = region
    for j in range(region.values.shape[1]):
        if j != i:
            part = _clip(part, i, j, region, r, loops)
    return part


@njit(**JIT)
def _clip(outline, i, j, region, r, loops):
    """The part of an outline in which rival `i` exceeds rival `j`; without corners if none.

    By the signs at the corners (Sutherland & Hodgman, Comm. ACM 17, 1974).
    """
    n = len(outline.points)
    signs = np.empty(n)
    for m in range(n):
        signs[m] = _lead(outline, m, i, j)
    lowest = signs.min() if n else 0.0
    highest = signs.max() if n else 0.0
    if lowest >= 0.0 and (highest > 0.0 or i < j):
        return outline
    size = 2 * n if highest > 0.0 else 0
    new = _empty_outline(size, outline.values.shape[1])
    count = 0
    for m in range(n if size else 0):
        following = (m + 1) % n
        if signs[m] >= 0.0:
            _copy_corner(outline, m, new, count)
            if signs[m] == 0.0 and signs[following] < 0.0:
                new.sides[count] = -1
            count += 1
        if signs[m] * signs[following] < 0.0:
            if outline.sides[m] >= 0:
                _cross_edge(outline, m, i, j, region, r, loops, new, count)
            else:
                share = signs[m] / (signs[m] - signs[following])
                _mix(outline, m, following, share, new, count)
                new.params[count] = -1.0
            new.values[count, j] = new.values[count, i]
            new.sides[count] = -1 if signs[m] > 0.0 else outline.sides[m]
            count += 1
    return Outline(
        new.points[:count],
        new.values[:count],
        new.margins[:count],
        new.sides[:count],
        new.params[:count],
    )


@njit(**JIT)
def _lead(outline, m, i, j):
    """By how much rival `i` exceeds rival `j` at a corner; 0 within rounding."""
    difference = outline.values[m, i] - outline.values[m, j]
    margin = outline.margins[m, i] + outline.margins[m, j]
    return difference if abs(difference) > margin else 0.0


@njit(**JIT)
def _empty_outline(size, n_rivals):
    return Outline(
        np.empty((size, 2)),
        np.empty((size, n_rivals)),
        np.empty((size, n_rivals)),
        np.empty(size, np.int64),
        np.empty(size),
    )


@njit(**JIT)
def _copy_corner(outline, m, new, at):
    new.points[at] = outline.points[m]
    new.values[at] = outline.values[m]
    new.margins[at] = outline.margins[m]
    new.sides[at] = outline.sides[m]
    new.params[at] = outline.params[m]


@njit(**JIT)
def _mix(outline, a, b, share, new, at):
    """Write the corner that divides the way from corner `a` to corner `b`."""
    new.points[at] = (1.0 - share) * outline.points[a] + share * outline.points[b]
    new.values[at] = (1.0 - share) * outline.values[a] + share * outline.values[b]
    new.margins[at] = (1.0 - share) * outline.margins[a] + share * outline.margins[b]


@njit(**JIT)
def _cross_edge(outline, m, i, j, region, r, loops, new, at):
    """Write where rivals `i` and `j` are equal on an edge of the region, from the edge's ends."""
    n = len(region.points)
    side = outline.sides[m]
    backward = loops.halfedges[loops.offsets[r] + side] & 1
    a = (side + backward) % n
    b = (side + 1 - backward) % n
    low, high = _span(outline, m, backward)
    at_a = region.values[a, i] - region.values[a, j]
    at_b = region.values[b, i] - region.values[b, j]
    param = at_a / (at_a - at_b) if at_a != at_b else 0.0
    # Near a third rival's crossing, rounding may put it beyond the end of what is left.
    param = min(max(param, low), high)
    _mix(region, a, b, param, new, at)
    new.params[at] = param


@njit(**JIT)
def _span(outline, m, backward):
    """Which part of its edge an outer side covers, in the edge's direction."""
    following = (m + 1) % len(outline.points)
    begin = outline.params[m] if outline.params[m] >= 0.0 else float(backward)
    end = outline.params[following] if outline.params[following] >= 0.0 else 1.0 - backward
    return min(begin, end), max(begin, end)


@njit(**JIT)
def _area(points):
    """Area relative to the first point, so that pieces far from the origin lose nothing."""
    double_area = 0.0
    for m in range(1, len(points) - 1):
        double_area += (points[m, 0] - points[0, 0]) * (points[m + 1, 1] - points[0, 1])
        double_area -= (points[m, 1] - points[0, 1]) * (points[m + 1, 0] - points[0, 0])
    return 0.5 * double_area


@njit(**JIT)
def _greatest(values):
    """The rival that is the greatest on average."""
    return values.sum(axis=0).argmax()


@njit(**JIT)
def _beyond(outline, m, i):
    """The rival across the inner side that starts at a corner of the part of rival `i`.

    Of those that are equal to `i` along it the one that falls off the most on this side of it,
    since that grows the most on the other.
    """
    following = (m + 1) % len(outline.points)
    best = -1
    deepest = -np.inf
    for j in range(outline.values.shape[1]):
        if j == i or _lead(outline, m, i, j) != 0.0 or _lead(outline, following, i, j) != 0.0:
            continue
        depth = (outline.values[:, i] - outline.values[:, j]).sum()
        if depth > deepest:
            deepest = depth
            best = j
    return best


@njit(**JIT)
def _no_pieces():
    return Pieces(
        np.empty(16, np.int64),
        np.empty(16, np.int64),
        np.empty(16),
        np.empty(16, np.int64),
        np.empty((64, 2)),
        np.empty(64, np.int64),
        np.empty(64),
        np.empty(64, np.int64),
    )


@njit(**JIT)
def _append(pieces, n_pieces, n_corners, r, i, rivals, outline, area, loops):
    """Append a piece and its corners, without sides of length 0; returns the pieces, grown."""
    pieces = _with_room(pieces, n_pieces + 1, n_corners + len(outline.points))
    pieces.regions[n_pieces] = r
    pieces.classes[n_pieces] = rivals[i]
    pieces.areas[n_pieces] = area
    at = n_corners
    for m in range(len(outline.points)):
        following = (m + 1) % len(outline.points)
        if (outline.points[m] == outline.points[following]).all():
            continue
        side = outline.sides[m]
        pieces.corners[at] = outline.points[m]
        if side >= 0:
            halfedge = loops.halfedges[loops.offsets[r] + side]
            pieces.halfedges[at] = halfedge
            pieces.params[at] = _span(outline, m, halfedge & 1)[0]
            pieces.beyond[at] = -1
        else:
            pieces.halfedges[at] = -1
            pieces.params[at] = 0.0
            other = _beyond(outline, m, i)
            pieces.beyond[at] = rivals[other] if other >= 0 else -1
        at += 1
    pieces.sizes[n_pieces] = at - n_corners
    return pieces


@njit(**JIT)
def _with_room(pieces, n_pieces, n_corners):
    return Pieces(
        _grown(pieces.regions, n_pieces),
        _grown(pieces.classes, n_pieces),
        _grown(pieces.areas, n_pieces),
        _grown(pieces.sizes, n_pieces),
        _grown(pieces.corners, n_corners),
        _grown(pieces.halfedges, n_corners),
        _grown(pieces.params, n_corners),
        _grown(pieces.beyond, n_corners),
    )


@njit(**JIT)
def _grown(array, size):
    """The array, or a longer copy where it has no room for `size` entries."""
    while len(array) < size:
        array = np.concatenate((array, np.empty_like(array)))
    return array


@njit(**JIT)
def _trimmed(pieces, n_pieces, n_corners):
    return Pieces(
        pieces.regions[:n_pieces].copy(),
        pieces.classes[:n_pieces].copy(),
        pieces.areas[:n_pieces].copy(),
        pieces.sizes[:n_pieces].copy(),
        pieces.corners[:n_corners].copy(),
        pieces.halfedges[:n_corners].copy(),
        pieces.params[:n_corners].copy(),
        pieces.beyond[:n_corners].copy(),
    )
