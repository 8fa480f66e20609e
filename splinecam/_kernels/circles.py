"""The largest circle in, and the smallest circle round, each of many convex faces."""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import JIT

INSIDE = 1.0 + 2.0**-40
"""Squared distances up to so many squared radii count as inside a circle."""

STEEPEST = 1e150
"""Stands for the tangent of a right angle; products of two are float64 numbers."""


@njit(**JIT)
def inscribe_circles(start, stop, vertices, offsets, loops, centres, radii):
    """Write the largest circles inside a range of faces; where there are several, one of them.

    All sides move inwards at the same speed. A side between exterior angles φ and ψ becomes
    shorter by tan(φ/2) + tan(ψ/2) in each unit of distance; one without length is dropped, and its
    neighbours meet at the angle φ + ψ. When that is π or more, nothing is left: the circle's
    centre is where the side vanished (the last event of the straight skeleton, which for a convex
    polygon is its medial axis: Aichholzer et al., J. UCS 1, 1995).
    """
    for f in range(start, stop):
        first = offsets[f]
        corners, along, lengths = _sides(vertices, loops[first : offsets[f + 1]])
        x0 = vertices[loops[first], 0]
        y0 = vertices[loops[first], 1]
        centres[f, 0] = x0
        centres[f, 1] = y0
        radii[f] = 0.0
        if len(lengths) < 3:
            continue
        last, before, after, depth = _vanishing_sides(along, lengths)
        x, y = _equidistant(corners, along, (before, last, after), depth)
        radius = np.inf
        for i in range(len(lengths)):
            to_x = x - corners[i, 0]
            to_y = y - corners[i, 1]
            radius = min(radius, along[i, 0] * to_y - along[i, 1] * to_x)
        if radius > 0.0:
            centres[f, 0] = x0 + x
            centres[f, 1] = y0 + y
            radii[f] = radius


@njit(**JIT)
def _sides(vertices, loop):
    """Where the sides of a face begin, from its first vertex; directions and lengths, if any."""
    n = len(loop)
    corners = np.empty((n, 2))
    along = np.empty((n, 2))
    lengths = np.empty(n)
    count = 0
    for i in range(n):
        here = loop[i]
        there = loop[(i + 1) % n]
        dx = vertices[there, 0] - vertices[here, 0]
        dy = vertices[there, 1] - vertices[here, 1]
        length = np.sqrt(dx * dx + dy * dy)
        if length > 0.0:
            corners[count, 0] = vertices[here, 0] - vertices[loop[0], 0]
            corners[count, 1] = vertices[here, 1] - vertices[loop[0], 1]
            along[count, 0] = dx / length
            along[count, 1] = dy / length
            lengths[count] = length
            count += 1
    return corners[:count], along[:count], lengths[:count]


@njit(**JIT)
def _vanishing_sides(along, lengths):
    """The side that vanishes last, its neighbours then, and how far the sides have moved."""
    n = len(lengths)
    left = lengths.copy()
    tangents = np.empty(n)  # of half the exterior angle where each side begins
    before = np.empty(n, np.int64)
    after = np.empty(n, np.int64)
    for i in range(n):
        before[i] = (i - 1) % n
        after[i] = (i + 1) % n
        tangents[i] = _half_tangent(along[i - 1], along[i])
    depth = 0.0
    head = 0
    while True:
        last = head
        soonest = np.inf
        i = head
        while True:
            speed = tangents[i] + tangents[after[i]]
            time = left[i] / speed if speed > 0.0 else np.inf
            if time < soonest:
                soonest = time
                last = i
            i = after[i]
            if i == head:
                break
        a = before[last]
        b = after[last]
        depth += soonest
        product = tangents[last] * tangents[b]
        if product >= 1.0 or before[a] == b:
            return last, a, b, depth
        i = head
        while True:
            left[i] = max(left[i] - soonest * (tangents[i] + tangents[after[i]]), 0.0)
            i = after[i]
            if i == head:
                break
        tangents[b] = (tangents[last] + tangents[b]) / (1.0 - product)
        after[a] = b
        before[b] = a
        head = b


@njit(**JIT)
def _half_tangent(a, b):
    """Tangent of half the angle from one direction to another, 0 to π."""
    cross = max(a[0] * b[1] - a[1] * b[0], 0.0)
    dot = a[0] * b[0] + a[1] * b[1]
    if dot > 0.0:
        return cross / (1.0 + dot)
    return min((1.0 - dot) / cross, STEEPEST) if cross > 0.0 else STEEPEST


@njit(**JIT)
def _equidistant(corners, along, sides, depth):
    """The point at a given distance from those two of three sides that meet at the best angle."""
    best = 0.0
    x = 0.0
    y = 0.0
    for m in range(3):
        i = sides[m]
        j = sides[(m + 1) % 3]
        cross = along[i, 0] * along[j, 1] - along[i, 1] * along[j, 0]
        if abs(cross) > abs(best):
            best = cross
            level_i = along[i, 0] * corners[i, 1] - along[i, 1] * corners[i, 0] + depth
            level_j = along[j, 0] * corners[j, 1] - along[j, 1] * corners[j, 0] + depth
            x = (along[j, 0] * level_i - along[i, 0] * level_j) / cross
            y = (along[j, 1] * level_i - along[i, 1] * level_j) / cross
    return x, y


@njit(**JIT)
def enclose_circles(start, stop, vertices, offsets, loops, centres, radii):
    """Write the smallest circles round a range of faces.

    Vertex by vertex: one outside the circle so far is on the new one (Welzl, 1991).
    """
    for f in range(start, stop):
        first = offsets[f]
        n = offsets[f + 1] - first
        points = np.empty((n, 2))
        unit = 0.0
        for i in range(n):
            for d in range(2):
                points[i, d] = vertices[loops[first + i], d] - vertices[loops[first], d]
                unit = max(unit, abs(points[i, d]))
        # Relative to the extent, so that no product is out of float64's range.
        points /= unit if unit > 0.0 else 1.0
        circle = (0.0, 0.0, 0.0)
        for i in range(1, n):
            if _is_outside(points[i], circle):
                circle = (points[i, 0], points[i, 1], 0.0)
                for j in range(i):
                    if _is_outside(points[j], circle):
                        circle = _circle_of_two(points[i], points[j])
                        for k in range(j):
                            if _is_outside(points[k], circle):
                                circle = _circle_of_three(points[i], points[j], points[k])
        furthest = 0.0
        for i in range(n):
            squared = (points[i, 0] - circle[0]) ** 2 + (points[i, 1] - circle[1]) ** 2
            furthest = max(furthest, squared)
        centres[f, 0] = vertices[loops[first], 0] + circle[0] * unit
        centres[f, 1] = vertices[loops[first], 1] + circle[1] * unit
        radii[f] = np.sqrt(furthest) * unit


@njit(**JIT)
def _is_outside(point, circle):
    squared = (point[0] - circle[0]) ** 2 + (point[1] - circle[1]) ** 2
    return squared > circle[2] * INSIDE


@njit(**JIT)
def _circle_of_two(a, b):
    """Centre and squared radius of the circle with a given diameter."""
    x = 0.5 * (a[0] + b[0])
    y = 0.5 * (a[1] + b[1])
    return x, y, (a[0] - x) ** 2 + (a[1] - y) ** 2


@njit(**JIT)
def _circle_of_three(a, b, c):
    """Centre and squared radius of the circle through three points; of two of them if on a line."""
    bx = b[0] - a[0]
    by = b[1] - a[1]
    cx = c[0] - a[0]
    cy = c[1] - a[1]
    double_cross = 2.0 * (bx * cy - by * cx)
    if double_cross == 0.0:
        return _widest(_circle_of_two(a, b), _circle_of_two(b, c), _circle_of_two(a, c))
    b_squared = bx * bx + by * by
    c_squared = cx * cx + cy * cy
    x = (cy * b_squared - by * c_squared) / double_cross
    y = (bx * c_squared - cx * b_squared) / double_cross
    return a[0] + x, a[1] + y, x * x + y * y


@njit(**JIT)
def _widest(a, b, c):
    widest = a
    if b[2] > widest[2]:
        widest = b
    if c[2] > widest[2]:
        widest = c
    return widest
