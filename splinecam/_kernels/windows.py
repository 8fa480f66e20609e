"""What is inside discs around many points: segments, and parts of a convex polygon.

All decisions about a point and a segment are made by one formula from these two alone, so that a
result does not depend on which other points are asked for, or in which order.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from splinecam._kernels.arrays import INLINED, JIT

SHORTEST = 1e-150
"""Segments that are shorter, whose squared length is no normal number, are taken for points."""


class Strips(NamedTuple):
    """Points in horizontal strips of equal height, sorted by x inside each strip."""

    x: np.ndarray  # (n,) float64
    y: np.ndarray  # (n,) float64
    offsets: np.ndarray  # (m + 1,) int64: where each strip begins
    bottom: float  # of the lowest strip
    per_height: float  # strips per unit of y


@njit(**JIT)
def count_near(start, stop, strips, segments, radius, reach, counts):
    """Count the segments (k, 2, 2) that are nearer than `radius` to the points of some strips.

    `reach` is the radius and what rounding may add to it: points further away are not looked at.
    """
    for s in range(segments.shape[0]):
        ax, ay, dx, dy, inverse = _line(segments, s)
        low, high = _strip_range(ay, dy, reach, strips)
        for strip in range(max(low, start), min(high, stop)):
            i, j = _run(ax, dx, reach, strips, strip)
            _count_one(ax, ay, dx, dy, inverse, radius, strips.x[i:j], strips.y[i:j], counts[i:j])


@njit(**JIT)
def _count_one(ax, ay, dx, dy, inverse, radius, x, y, counts):
    """Count one segment at each of the points to which it is nearer than the radius."""
    squared_radius = radius * radius
    for i in range(x.shape[0]):
        px = ax - x[i]
        py = ay - y[i]
        t = min(max(-(px * dx + py * dy) * inverse, 0.0), 1.0)
        squared = (px + t * dx) ** 2 + (py + t * dy) ** 2
        counts[i] += squared < squared_radius


@njit(**JIT)
def add_lengths(start, stop, strips, segments, radius, reach, lengths):
    """Add up how much of the segments is in the discs around the points of some strips."""
    for s in range(segments.shape[0]):
        ax, ay, dx, dy, inverse = _line(segments, s)
        low, high = _strip_range(ay, dy, reach, strips)
        for strip in range(max(low, start), min(high, stop)):
            i, j = _run(ax, dx, reach, strips, strip)
            _add_one(ax, ay, dx, dy, inverse, radius, strips.x[i:j], strips.y[i:j], lengths[i:j])


@njit(**JIT)
def _add_one(ax, ay, dx, dy, inverse, radius, x, y, lengths):
    """Add what is in each point's disc of one segment."""
    length = np.sqrt(dx * dx + dy * dy)
    for i in range(x.shape[0]):
        enters, leaves = _chord(ax - x[i], ay - y[i], dx, dy, inverse, radius)
        lengths[i] += (leaves - enters) * length


@njit(**JIT)
def measure_discs(start, stop, points, corners, radius, areas):
    """Area that the disc around each of a range of points has in common with a convex polygon.

    The sum over the polygon's sides of the signed area that lies between the side and the point,
    inside the disc: a triangle over the chord, and sectors over what is left of the side.
    """
    squared_radius = radius * radius
    for i in range(start, stop):
        doubled = 0.0
        for k in range(corners.shape[0]):
            ax = corners[k - 1, 0] - points[i, 0]
            ay = corners[k - 1, 1] - points[i, 1]
            bx = corners[k, 0] - points[i, 0]
            by = corners[k, 1] - points[i, 1]
            dx = bx - ax
            dy = by - ay
            enters, leaves = _chord(ax, ay, dx, dy, 1.0 / (dx * dx + dy * dy), radius)
            px = ax + enters * dx
            py = ay + enters * dy
            qx = ax + leaves * dx
            qy = ay + leaves * dy
            doubled += px * qy - py * qx
            doubled += squared_radius * (_angle(ax, ay, px, py) + _angle(qx, qy, bx, by))
        areas[i] = 0.5 * doubled


@njit(**INLINED)
def _line(segments, s):
    """Start, direction and inverse of the squared length (0 for a point) of a segment."""
    ax = segments[s, 0, 0]
    ay = segments[s, 0, 1]
    dx = segments[s, 1, 0] - ax
    dy = segments[s, 1, 1] - ay
    squared = dx * dx + dy * dy
    inverse = 1.0 / squared if squared > SHORTEST * SHORTEST else 0.0
    return ax, ay, dx, dy, inverse


@njit(**INLINED)
def _strip_range(ay, dy, reach, strips):
    """First strip within reach of a segment, and the first above that is not."""
    top = strips.offsets.shape[0] - 2.0
    low = (ay + min(dy, 0.0) - reach - strips.bottom) * strips.per_height
    high = (ay + max(dy, 0.0) + reach - strips.bottom) * strips.per_height
    return np.int64(min(max(low, 0.0), top)), np.int64(min(max(high, 0.0), top)) + 1


@njit(**INLINED)
def _run(ax, dx, reach, strips, strip):
    """The points of a strip that are within reach along x: the first, and the one after them."""
    begin = strips.offsets[strip]
    end = strips.offsets[strip + 1]
    left = _bisect(strips.x, begin, end, ax + min(dx, 0.0) - reach)
    return left, _bisect(strips.x, left, end, ax + max(dx, 0.0) + reach)


@njit(**INLINED)
def _bisect(ascending, begin, end, value):
    """First place in ``begin:end`` that does not hold less than `value`."""
    while begin < end:
        middle = (begin + end) >> 1
        if ascending[middle] < value:
            begin = middle + 1
        else:
            end = middle
    return begin


@njit(**INLINED)
def _chord(ax, ay, dx, dy, inverse, radius):
    """Between which parameters, 0 to 1, a segment is in the disc around the origin.

    Where it is outside both are that of the segment's point that is next to the line's chord, or to
    the line's nearest point.
    """
    foot = -(ax * dx + ay * dy) * inverse
    squared = (ax + foot * dx) ** 2 + (ay + foot * dy) ** 2
    half = np.sqrt(max(radius * radius - squared, 0.0) * inverse)
    return min(max(foot - half, 0.0), 1.0), min(max(foot + half, 0.0), 1.0)


@njit(**INLINED)
def _angle(ax, ay, bx, by):
    return np.arctan2(ax * by - ay * bx, ax * bx + ay * by)
