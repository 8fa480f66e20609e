"""Where the chords of special faces cross, in float64 with error bounds."""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import JIT
from splinecam._kernels.edges import UNBOUNDED
from splinecam._kernels.special import interleave, special_face


@njit(**JIT)
def cross_special(start, stop, outlines, crossings, points, rounding):
    """Fill `crossings` for a range of special faces.

    `points` are the positions of old vertices and cuts.
    """
    for i in range(start, stop):
        special = special_face(outlines, crossings, i)
        _list_crossings(special)
        if special.lower.shape[0]:
            _cross(special, points, rounding)


@njit(**JIT)
def _list_crossings(special):
    """Which chords cross, and where the entries of each chord begin."""
    n_chords = special.first.shape[0]
    special.offsets[:] = 0
    x = 0
    for j in range(1, n_chords):
        for i in range(j):
            if interleave(special.first, special.second, i, j):
                special.lower[x] = i
                special.upper[x] = j
                special.offsets[i + 1] += 1
                special.offsets[j + 1] += 1
                x += 1
    for i in range(n_chords):
        special.offsets[i + 1] += special.offsets[i]


@njit(**JIT)
def _cross(special, points, rounding):
    cursors = special.offsets.copy()
    slacks = np.empty(special.params.shape[0], np.float64)
    for x in range(special.lower.shape[0]):
        i = special.lower[x]
        j = special.upper[x]
        p = points[special.places[special.first[i]]]
        along_i = points[special.places[special.second[i]]] - p
        r = points[special.places[special.first[j]]]
        along_j = points[special.places[special.second[j]]] - r
        width = special.widths[i] + special.widths[j]
        t, u, slack = _intersect(p, along_i, r, along_j, width)
        special.points[x] = p + t * along_i
        length_i = max(np.hypot(along_i[0], along_i[1]), rounding)
        length_j = max(np.hypot(along_j[0], along_j[1]), rounding)
        spread = max(special.widths[i], special.widths[j]) + slack * length_i * length_j
        special.radii[x] = min(UNBOUNDED, spread)
        special.params[cursors[i]] = t
        special.params[cursors[j]] = u
        slacks[cursors[i]] = slack * length_j
        slacks[cursors[j]] = slack * length_i
        special.crossings[cursors[i]] = x
        special.crossings[cursors[j]] = x
        cursors[i] += 1
        cursors[j] += 1
    _sort_entries(special, slacks)


@njit(**JIT)
def _intersect(p, along_i, r, along_j, width):
    """Parameters on both chords, and the parameters' error over the other chord's length."""
    turn = along_i[0] * along_j[1] - along_i[1] * along_j[0]
    longest = max(np.hypot(along_i[0], along_i[1]), np.hypot(along_j[0], along_j[1]))
    if not turn > 4.0 * width * longest:
        return 0.5, 0.5, UNBOUNDED
    wx = r[0] - p[0]
    wy = r[1] - p[1]
    t = min(max((wx * along_j[1] - wy * along_j[0]) / turn, 0.0), 1.0)
    u = min(max((wx * along_i[1] - wy * along_i[0]) / turn, 0.0), 1.0)
    return t, u, 2.0 * width / turn


@njit(**JIT)
def _sort_entries(special, slacks):
    """Sort the entries along each chord; note which are maybe not after the one before."""
    params = special.params
    for i in range(special.offsets.shape[0] - 1):
        start = special.offsets[i]
        stop = special.offsets[i + 1]
        order = np.argsort(params[start:stop])
        params[start:stop] = params[start:stop][order]
        slacks[start:stop] = slacks[start:stop][order]
        special.crossings[start:stop] = special.crossings[start:stop][order]
        reached = -1.0
        for entry in range(start, stop):
            special.unsure[entry] = entry > start and not params[entry] - slacks[entry] > reached
            reached = max(reached, params[entry] + slacks[entry])
