"""Carrying values to new vertices.

A value that depends on the old faces' activations is affine on every part of a refined face, and
along an old edge or a chord it is linear but for a kink at each crossing: there its slope changes
by (slope of the hinge along the line) x (column of the hinge). So the values at the ends and one
rank-one correction per crossing give the values at all crossings, in O(D) each.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import CONTRACTED, INLINED, JIT


@njit(**INLINED)
def _value_at(vertex, hinge, edges, cuts, values):
    """Value of a hinge of the old values at an old vertex or a cut, which lies on an old edge."""
    k = vertex - values.shape[0]
    if k < 0:
        return values[vertex, hinge]
    a = values[edges[cuts.edges[k], 0], hinge]
    b = values[edges[cuts.edges[k], 1], hinge]
    return a + cuts.params[k] * (b - a)


@njit(**JIT)
def carry_along_edges(start, stop, edges, cuts, targets, values, kinks, carried):
    """Fill the rows of `carried` that belong to the cuts of a range of old edges.

    `targets` (C,) are the cuts of the refined mesh that these cuts, not yet merged, became; it is
    empty where none was merged. Other parameters: `values` (V, H) of the cutting hinges at old
    vertices; `kinks` (H, D): what a unit change of slope of each hinge adds to the slope of each
    carried value; `carried` (V', D).
    """
    slopes = np.empty(_longest(start, stop, cuts.offsets), np.float64)
    line = np.empty((2, carried.shape[1]), np.float64)
    _carry_along_edges(start, stop, edges, cuts, targets, values, kinks, carried, slopes, line)


@njit(**CONTRACTED)
def _carry_along_edges(start, stop, edges, cuts, targets, values, kinks, carried, slopes, line):
    n_old = values.shape[0]
    value = line[0]
    slope = line[1]
    for e in range(start, stop):
        first = cuts.offsets[e]
        n = cuts.offsets[e + 1] - first
        if n == 0:
            continue
        a = edges[e, 0]
        b = edges[e, 1]
        for i in range(n):
            h = cuts.codes[first + i] >> 1
            slopes[i] = abs(values[b, h] - values[a, h])
        if n == 1:
            h = cuts.codes[first] >> 1
            v = n_old + (targets[first] if targets.shape[0] else first)
            _carry_to_point(a, b, cuts.params[first], slopes[0], h, v, kinks, carried)
            continue
        _start_line(a, b, carried, value, slope)
        for i in range(n):
            weight = (1.0 - cuts.params[first + i]) * slopes[i]
            _bend(-weight, cuts.codes[first + i] >> 1, kinks, slope)
        reached = 0.0
        for i in range(n):
            advance = cuts.params[first + i] - reached
            reached = cuts.params[first + i]
            v = n_old + (targets[first + i] if targets.shape[0] else first + i)
            _advance(advance, slopes[i], cuts.codes[first + i] >> 1, kinks, value, slope)
            _write(value, v, carried)


@njit(**JIT)
def carry_along_chords(start, stop, edges, cuts, chords, values, kinks, carried):
    """Fill the rows of `carried` that belong to the crossings of a range of chords.

    The rows of all cuts must have been filled before; parameters as for `carry_along_edges`.
    """
    slopes = np.empty(_longest(start, stop, chords.offsets), np.float64)
    line = np.empty((2, carried.shape[1]), np.float64)
    _carry_along_chords(start, stop, edges, cuts, chords, values, kinks, carried, slopes, line)


@njit(**CONTRACTED)
def _carry_along_chords(start, stop, edges, cuts, chords, values, kinks, carried, slopes, line):
    value = line[0]
    slope = line[1]
    for i in range(start, stop):
        first = chords.offsets[i]
        last = chords.offsets[i + 1] - 1
        while last >= first and chords.vertices[last] < 0:
            last -= 1
        if last < first:
            continue
        p = chords.ends[i, 0]
        q = chords.ends[i, 1]
        end = chords.offsets[i + 1]
        for m in range(first, end):
            at_p = _value_at(p, chords.hinges[m], edges, cuts, values)
            at_q = _value_at(q, chords.hinges[m], edges, cuts, values)
            slopes[m - first] = abs(at_q - at_p)
        if end == first + 1:
            t = chords.params[first]
            v = chords.vertices[first]
            _carry_to_point(p, q, t, slopes[0], chords.hinges[first], v, kinks, carried)
            continue
        _start_line(p, q, carried, value, slope)
        for m in range(first, end):
            weight = (1.0 - chords.params[m]) * slopes[m - first]
            _bend(-weight, chords.hinges[m], kinks, slope)
        reached = 0.0
        for m in range(first, last + 1):
            advance = chords.params[m] - reached
            reached = chords.params[m]
            _advance(advance, slopes[m - first], chords.hinges[m], kinks, value, slope)
            if chords.vertices[m] >= 0:
                _write(value, chords.vertices[m], carried)


@njit(**JIT)
def _longest(start, stop, offsets):
    longest = 1
    for i in range(start, stop):
        longest = max(longest, offsets[i + 1] - offsets[i])
    return longest


@njit(**INLINED)
def _carry_to_point(a, b, t, slope, hinge, target, kinks, carried):
    """The value at parameter t between vertices a and b, where one hinge bends it."""
    kink = t * (1.0 - t) * slope
    rest = 1.0 - t
    for d in range(carried.shape[1]):
        carried[target, d] = (rest * carried[a, d] + t * carried[b, d]) - kink * kinks[hinge, d]


@njit(**INLINED)
def _start_line(a, b, carried, value, slope):
    """The value at vertex a and, but for kinks, the slope towards vertex b."""
    for d in range(value.shape[0]):
        value[d] = carried[a, d]
        slope[d] = carried[b, d] - carried[a, d]


@njit(**INLINED)
def _bend(weight, hinge, kinks, slope):
    for d in range(slope.shape[0]):
        slope[d] += weight * kinks[hinge, d]


@njit(**INLINED)
def _advance(step, weight, hinge, kinks, value, slope):
    """Go on to a crossing, and bend there."""
    for d in range(slope.shape[0]):
        value[d] += step * slope[d]
        slope[d] += weight * kinks[hinge, d]


@njit(**INLINED)
def _write(value, vertex, carried):
    for d in range(value.shape[0]):
        carried[vertex, d] = value[d]
