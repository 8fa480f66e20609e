"""Carrying values to new vertices.

A value that depends on the old faces' activations is affine on every part of a refined face, and
along an old edge or a chord it is linear but for a kink at each crossing: there its slope changes
by (slope of the hinge along the line) x (column of the hinge). So the values at the ends and one
rank-one correction per crossing give the values at all crossings, in O(D) each.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import CONTRACTED, JIT


@njit(**JIT)
def _value_at_cut(k, hinge, edges, cuts, values):
    """Value of a hinge of the old values at cut ``k``, which lies on an old edge."""
    a = values[edges[cuts.edges[k], 0], hinge]
    b = values[edges[cuts.edges[k], 1], hinge]
    return a + cuts.params[k] * (b - a)


@njit(**JIT)
def carry_along_edges(start, stop, edges, cuts, values, kinks, carried):
    """Fill the rows of `carried` that belong to the cuts of a range of old edges.

    Parameters: `values` (V, H) of the cutting hinges at old vertices; `kinks` (H, D): what a unit
    change of slope of each hinge adds to the slope of each carried value; `carried` (V', D).
    """
    n_old = values.shape[0]
    most = 1
    for e in range(start, stop):
        most = max(most, cuts.offsets[e + 1] - cuts.offsets[e])
    hinges = np.empty(most, np.int64)
    slopes = np.empty(most, np.float64)
    targets = np.empty(most, np.int64)
    line = np.empty((2, carried.shape[1]), np.float64)
    for e in range(start, stop):
        first = cuts.offsets[e]
        n = cuts.offsets[e + 1] - first
        if n == 0:
            continue
        a = edges[e, 0]
        b = edges[e, 1]
        for i in range(n):
            h = cuts.codes[first + i] >> 1
            hinges[i] = h
            slopes[i] = abs(values[b, h] - values[a, h])
            targets[i] = n_old + first + i
        params = cuts.params[first : first + n]
        _carry_along_line(a, b, n, params, hinges, slopes, targets, kinks, carried, line)


@njit(**JIT)
def carry_along_chords(start, stop, edges, cuts, chords, values, kinks, carried):
    """Fill the rows of `carried` that belong to the crossings of a range of chords.

    The rows of all cuts must have been filled before; parameters as for `carry_along_edges`.
    """
    n_old = values.shape[0]
    most = 1
    for i in range(start, stop):
        most = max(most, chords.offsets[i + 1] - chords.offsets[i])
    slopes = np.empty(most, np.float64)
    line = np.empty((2, carried.shape[1]), np.float64)
    for i in range(start, stop):
        first = chords.offsets[i]
        n = chords.offsets[i + 1] - first
        targets = chords.vertices[first : first + n]
        if n == 0 or targets.max() < 0:
            continue
        p = chords.ends[i, 0]
        q = chords.ends[i, 1]
        hinges = chords.hinges[first : first + n]
        for m in range(n):
            at_p = _value_at_cut(p - n_old, hinges[m], edges, cuts, values)
            at_q = _value_at_cut(q - n_old, hinges[m], edges, cuts, values)
            slopes[m] = abs(at_q - at_p)
        params = chords.params[first : first + n]
        _carry_along_line(p, q, n, params, hinges, slopes, targets, kinks, carried, line)


@njit(**CONTRACTED)
def _carry_along_line(p, q, n, params, hinges, slopes, targets, kinks, carried, line):
    """Values at crossings of the line from vertex `p` to vertex `q`; negative targets are skipped.

    `slopes` are those of the crossing hinges' activations beyond the kink, per unit parameter.
    """
    width = carried.shape[1]
    if n == 1:
        t = params[0]
        rest = 1.0 - t
        kink = t * rest * slopes[0]
        h = hinges[0]
        v = targets[0]
        for d in range(width):
            carried[v, d] = (rest * carried[p, d] + t * carried[q, d]) - kink * kinks[h, d]
        return
    value = line[0]
    slope = line[1]
    for d in range(width):
        value[d] = carried[p, d]
        slope[d] = carried[q, d] - carried[p, d]
    for i in range(n):
        kink = (1.0 - params[i]) * slopes[i]
        h = hinges[i]
        for d in range(width):
            slope[d] -= kink * kinks[h, d]
    reached = 0.0
    for i in range(n):
        advance = params[i] - reached
        reached = params[i]
        h = hinges[i]
        for d in range(width):
            value[d] += advance * slope[d]
            slope[d] += slopes[i] * kinks[h, d]
        if targets[i] >= 0:
            for d in range(width):
                carried[targets[i], d] = value[d]
