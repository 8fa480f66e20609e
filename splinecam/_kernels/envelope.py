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

NARROW = 2.0**-40
"""Size of a part, relative to its region's, that without an area is nothing but rounding."""


class Loops(NamedTuple):
    """The regions of a partition, as far as the kernels need them."""

    vertices: np.ndarray  # (V, 2) float64
    edges: np.ndarray  # (E, 2) int32
    offsets: np.ndarray  # (R + 1,) int32: into halfedges
    halfedges: np.ndarray  # counter-clockwise loops, int32


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

    Where regions meet, the first one listed gives the value; the margin is wide enough for each.

    Parameters
    ----------
    regions : the regions, each with its maps ``slopes`` (k, C, 2) and ``constants`` (k, C).
    rows : for each vertex, its row in `values` and `margins`, or -1 where it is not wanted.
    rounding : what a value may be off, relative to the sum of its terms' magnitudes; to that comes
        by how much the maps of two regions differ at their common vertex.
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
                value = along_u + along_v + constants[k, i]
                if first:
                    values[row, i] = value
                margin = rounding * (abs(along_u) + abs(along_v) + abs(constants[k, i]))
                margin += abs(value - values[row, i])
                margins[row, i] = max(margins[row, i], margin)


@njit(**JIT)
def cut_regions(start, stop, regions, loops, rows, values, margins):
    """Cut a range of regions into pieces, one for each class that is the greatest somewhere.

    Where classes are equal throughout a region, the lowest counts as the greatest.

    Parameters
    ----------
    regions : the regions of which a range is to be cut.
    rows : for each vertex, its row in `values` and `margins` (rows, C).

    Returns
    -------
    sides : (N, 4) int64, one row for each side of a piece, counter-clockwise, piece by piece: the
        region, the class, the half-edge on which the side runs (-1 inside the region), and the
        class across it (-1 on an edge).
    corners : (N, 3) float64: the corner where the side begins, and where on its edge, in the
        edge's direction, the side begins.
    """
    sides = np.empty((16, 4), np.int64)
    corners = np.empty((16, 3), np.float64)
    count = 0
    for k in range(start, stop):
        region = regions[k]
        found = _corner_rows(region, loops, rows)
        rivals = _undominated(found, values, margins)
        whole = _outline(region, found, rivals, loops, values, margins)
        before = count
        for i in range(len(rivals)):
            part = _winning_part(i, whole, region, loops)
            if _is_part(part, whole):
                sides = _grown(sides, count + len(part.sides))
                corners = _grown(corners, count + len(part.sides))
                count = _append(part, i, rivals, region, loops, sides, corners, count)
        if count == before:
            sides = _grown(sides, count + len(whole.sides))
            corners = _grown(corners, count + len(whole.sides))
            count = _append(whole, 0, rivals, region, loops, sides, corners, count)
    return sides[:count], corners[:count]


@njit(**JIT)
def _corner_rows(region, loops, rows):
    """Where the values at a region's vertices stand."""
    first = loops.offsets[region]
    found = np.empty(loops.offsets[region + 1] - first, np.int64)
    for m in range(len(found)):
        h = loops.halfedges[first + m]
        found[m] = rows[loops.edges[h >> 1, h & 1]]
    return found


@njit(**JIT)
def _undominated(found, values, margins):
    """The classes, ascending, that no other one equals or exceeds at all vertices of a region.

    Compared with those kept so far only, so that at least one is left whatever rounding does.
    """
    kept = np.empty(values.shape[1], np.int64)
    count = 0
    for k in range(values.shape[1]):
        is_rival = True
        for m in range(count):
            is_rival = is_rival and _exceeds(k, kept[m], found, values, margins)
        if not is_rival:
            continue
        n_left = 0
        for m in range(count):
            if _exceeds(kept[m], k, found, values, margins):
                kept[n_left] = kept[m]
                n_left += 1
        kept[n_left] = k
        count = n_left + 1
    return kept[:count]


@njit(**JIT)
def _exceeds(i, j, found, values, margins):
    """Whether class `i` is greater than class `j` at some vertex, beyond rounding."""
    exceeds = False
    for row in found:
        margin = margins[row, i] + margins[row, j]
        exceeds = exceeds or values[row, i] - values[row, j] > margin
    return exceeds


@njit(**JIT)
def _new_outline(n_corners, n_rivals):
    points = np.empty((n_corners, 2), np.float64)
    values = np.empty((n_corners, n_rivals), np.float64)
    margins = np.empty((n_corners, n_rivals), np.float64)
    sides = np.empty(n_corners, np.int64)
    params = np.empty(n_corners, np.float64)
    return Outline(points, values, margins, sides, params)


@njit(**JIT)
def _outline(region, found, rivals, loops, values, margins):
    """The outline of a whole region."""
    outline = _new_outline(len(found), len(rivals))
    for m in range(len(found)):
        h = loops.halfedges[loops.offsets[region] + m]
        vertex = loops.edges[h >> 1, h & 1]
        outline.points[m, 0] = loops.vertices[vertex, 0]
        outline.points[m, 1] = loops.vertices[vertex, 1]
        for i in range(len(rivals)):
            outline.values[m, i] = values[found[m], rivals[i]]
            outline.margins[m, i] = margins[found[m], rivals[i]]
        outline.sides[m] = m
        outline.params[m] = -1.0
    return outline


@njit(**JIT)
def _lead(outline, m, i, j):
    """By how much rival `i` exceeds rival `j` at a corner; 0 within rounding."""
    lead = outline.values[m, i] - outline.values[m, j]
    return lead if abs(lead) > outline.margins[m, i] + outline.margins[m, j] else 0.0


@njit(**JIT)
def _are_opposite(a, b):
    return (a < 0.0 and b > 0.0) or (a > 0.0 and b < 0.0)


@njit(**JIT)
def _winning_part(i, whole, region, loops):
    """The part of a region's outline in which rival `i` is the greatest."""
    part = whole
    for j in range(whole.values.shape[1]):
        if j != i:
            part = _clip(part, i, j, whole, region, loops)
    return part


@njit(**JIT)
def _clip(outline, i, j, whole, region, loops):
    """The part of an outline in which rival `i` exceeds rival `j`; without corners if none.

    By the signs at the corners (Sutherland & Hodgman, Comm. ACM 17, 1974).
    """
    n = len(outline.sides)
    leads = np.empty(n, np.float64)
    n_positive = 0
    n_negative = 0
    n_crossings = 0
    for m in range(n):
        leads[m] = _lead(outline, m, i, j)
        n_positive += leads[m] > 0.0
        n_negative += leads[m] < 0.0
    for m in range(n):
        n_crossings += _are_opposite(leads[m], leads[(m + 1) % n])
    if n_negative == 0 and (n_positive > 0 or i < j):
        return outline
    if n_positive == 0:
        return _new_outline(0, outline.values.shape[1])
    new = _new_outline(n - n_negative + n_crossings, outline.values.shape[1])
    at = 0
    for m in range(n):
        following = (m + 1) % n
        if leads[m] >= 0.0:
            _write_corner(outline, m, m, 0.0, new, at)
            new.params[at] = outline.params[m]
            leaves = leads[m] == 0.0 and leads[following] < 0.0
            new.sides[at] = -1 if leaves else outline.sides[m]
            at += 1
        if _are_opposite(leads[m], leads[following]):
            if outline.sides[m] >= 0:
                _cross_edge(outline, m, i, j, whole, region, loops, new, at)
            else:
                share = leads[m] / (leads[m] - leads[following])
                _write_corner(outline, m, following, share, new, at)
                new.params[at] = -1.0
            new.values[at, j] = new.values[at, i]
            new.sides[at] = -1 if leads[m] > 0.0 else outline.sides[m]
            at += 1
    return new


@njit(**JIT)
def _write_corner(outline, a, b, share, new, at):
    """Write the corner that divides the way from corner `a` of an outline to corner `b`."""
    rest = 1.0 - share
    for d in range(2):
        new.points[at, d] = rest * outline.points[a, d] + share * outline.points[b, d]
    for i in range(outline.values.shape[1]):
        new.values[at, i] = rest * outline.values[a, i] + share * outline.values[b, i]
        new.margins[at, i] = rest * outline.margins[a, i] + share * outline.margins[b, i]


@njit(**JIT)
def _cross_edge(outline, m, i, j, whole, region, loops, new, at):
    """Write where rivals `i` and `j` are equal on an edge of the region, from the edge's ends."""
    side = outline.sides[m]
    backward = loops.halfedges[loops.offsets[region] + side] & 1
    a = (side + backward) % len(whole.sides)
    b = (side + 1 - backward) % len(whole.sides)
    at_a = whole.values[a, i] - whole.values[a, j]
    at_b = whole.values[b, i] - whole.values[b, j]
    param = at_a / (at_a - at_b) if at_a != at_b else 0.0
    # Near a third rival's crossing, rounding may put it beyond the end of what is left.
    low, high = _span(outline, m, backward)
    param = min(max(param, low), high)
    _write_corner(whole, a, b, param, new, at)
    new.params[at] = param


@njit(**JIT)
def _span(outline, m, backward):
    """Which part of its edge the outer side `m` covers, in the edge's direction."""
    begin = outline.params[m]
    end = outline.params[(m + 1) % len(outline.sides)]
    begin = begin if begin >= 0.0 else 1.0 * backward
    end = end if end >= 0.0 else 1.0 - backward
    return min(begin, end), max(begin, end)


@njit(**JIT)
def _is_part(part, whole):
    """Whether a part is there: it has an area or, as in regions too narrow for that, a length."""
    points = part.points
    double_area = 0.0
    for m in range(1, len(points) - 1):
        double_area += (points[m, 0] - points[0, 0]) * (points[m + 1, 1] - points[0, 1])
        double_area -= (points[m, 1] - points[0, 1]) * (points[m + 1, 0] - points[0, 0])
    return double_area > 0.0 or _perimeter(points) > NARROW * _perimeter(whole.points)


@njit(**JIT)
def _perimeter(points):
    perimeter = 0.0
    for m in range(len(points)):
        following = (m + 1) % len(points)
        perimeter += abs(points[following, 0] - points[m, 0])
        perimeter += abs(points[following, 1] - points[m, 1])
    return perimeter


@njit(**JIT)
def _grown(array, size):
    """The array, or a longer copy where it has no room for `size` rows."""
    if size <= len(array):
        return array
    longer = np.empty((2 * size, array.shape[1]), array.dtype)
    for m in range(len(array)):
        for d in range(array.shape[1]):
            longer[m, d] = array[m, d]
    return longer


@njit(**JIT)
def _append(part, i, rivals, region, loops, sides, corners, at):
    """Write a piece, in which rival `i` wins; return where it ends."""
    for m in range(len(part.sides)):
        following = (m + 1) % len(part.sides)
        sides[at, 0] = region
        sides[at, 1] = rivals[i]
        sides[at, 2] = -1
        sides[at, 3] = -1
        corners[at, 0] = part.points[m, 0]
        corners[at, 1] = part.points[m, 1]
        corners[at, 2] = 0.0
        if part.sides[m] >= 0:
            halfedge = loops.halfedges[loops.offsets[region] + part.sides[m]]
            sides[at, 2] = halfedge
            corners[at, 2] = _span(part, m, halfedge & 1)[0]
        else:
            other = _beyond(part, m, following, i)
            sides[at, 3] = rivals[other] if other >= 0 else -1
        at += 1
    return at


@njit(**JIT)
def _beyond(part, m, following, i):
    """The rival across an inner side of the part in which rival `i` wins.

    Of those that equal `i` along the side it is the one that falls off the most on this side of
    it, since it grows the most on the other.
    """
    best = -1
    deepest = -np.inf
    for j in range(part.values.shape[1]):
        if j == i or _lead(part, m, i, j) != 0.0 or _lead(part, following, i, j) != 0.0:
            continue
        depth = 0.0
        for c in range(len(part.sides)):
            depth += part.values[c, i] - part.values[c, j]
        if depth > deepest:
            deepest = depth
            best = j
    return best
