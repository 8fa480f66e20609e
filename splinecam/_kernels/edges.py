"""Cutting edges: where the zero lines of hinges cross them."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from splinecam._kernels.arrays import BORROWING, INLINED
from splinecam._kernels.words import BITS, popcount, trailing_zeros

GAP_RATIO = 3
"""Of successive gaps in sorting: 1, 4, 13, … (Knuth, The Art of Computer Programming 3, §5.2.1)."""

BAD = 2.0**30
"""A vertex whose radius is more roundings than this is left to exact arithmetic."""

FURTHEST = 4 * BAD
"""Roundings that a stored vertex may be away from its true place."""

UNBOUNDED = 1e200
"""An error bound that says nothing; its square is still finite in no sum that is compared."""

PARAM_ROUNDING = 6e-16
"""Error of computing a parameter from exact values, a few units of 2⁻⁵³."""


@njit(**BORROWING)
def sort_by_key(keys, payload, start, stop):
    """Sort both arrays on ``start:stop`` by ascending key.

    Shell's sort, in place; for the few items of most edges and chords it is an insertion sort.
    """
    gap = 1
    while gap < (stop - start) // GAP_RATIO**2:
        gap = GAP_RATIO * gap + 1
    while gap > 0:
        for i in range(start + gap, stop):
            key = keys[i]
            item = payload[i]
            j = i
            while j >= start + gap and keys[j - gap] > key:
                keys[j] = keys[j - gap]
                payload[j] = payload[j - gap]
                j -= gap
            keys[j] = key
            payload[j] = item
        gap //= GAP_RATIO


@njit(**INLINED)
def _changed(a, b, w, signs, chosen, zeros):
    """Word of the chosen hinges that are positive at one vertex and negative at the other."""
    changed = (signs[a, w] ^ signs[b, w]) & chosen[w]
    if zeros.rows.shape[0] > 0:
        if zeros.rows[a] >= 0:
            changed &= ~zeros.words[zeros.rows[a], w]
        if zeros.rows[b] >= 0:
            changed &= ~zeros.words[zeros.rows[b], w]
    return changed


@njit(**BORROWING)
def count_cuts(start, stop, edges, signs, zeros, chosen, offsets):
    """How many chosen hinges have opposite signs at the two ends of each edge."""
    for e in range(start, stop):
        count = 0
        for w in range(signs.shape[1]):
            count += popcount(_changed(edges[e, 0], edges[e, 1], w, signs, chosen, zeros))
        offsets[e + 1] = count


@njit(**BORROWING)
def find_cuts(start, stop, mesh, signs, zeros, values, bounds, chosen, rounding, cuts, unsure):
    """Fill `cuts` for a range of edges, sorted along each.

    Marks edges in `unsure` whose cuts are too close to be ordered or placed badly.
    """
    for e in range(start, stop):
        first = cuts.offsets[e]
        end = cuts.offsets[e + 1]
        if first == end:
            continue
        a = mesh.edges[e, 0]
        b = mesh.edges[e, 1]
        k = first
        for w in range(signs.shape[1]):
            changed = _changed(a, b, w, signs, chosen, zeros)
            while changed != uint64(0):
                bit = trailing_zeros(changed)
                changed &= changed - uint64(1)
                h = w * BITS + bit
                falling = (signs[a, w] >> uint64(bit)) & uint64(1)
                cuts.codes[k] = 2 * h + 1 - np.int64(falling)
                cuts.params[k] = values[a, h] / (values[a, h] - values[b, h])
                cuts.edges[k] = e
                k += 1
        sort_by_key(cuts.params, cuts.codes, first, end)
        dx = mesh.vertices[b, 0] - mesh.vertices[a, 0]
        dy = mesh.vertices[b, 1] - mesh.vertices[a, 1]
        length = max(np.sqrt(dx * dx + dy * dy), rounding)
        reached = -1.0
        for k in range(first, end):
            h = cuts.codes[k] >> 1
            change = abs(values[a, h] - values[b, h])
            doubt = bounds.reach[h] * mesh.widths[e] + bounds.noise[h]
            slack = 2.0 * doubt / change + PARAM_ROUNDING if change > 4.0 * doubt else UNBOUNDED
            cuts.slacks[k] = slack
            cuts.doubts[k] = doubt
            cuts.slopes[k] = change / length
            is_close = k > first and not cuts.params[k] - slack > reached
            unsure[e] |= is_close or slack * length > BAD * rounding
            reached = max(reached, cuts.params[k] + slack)


@njit(**BORROWING)
def split_edges(start, stop, old, cuts, rounding, new):
    """Write the pieces of old edges, and the vertices between them, into the refined mesh.

    `rounding` bounds the error of computing one coordinate.
    """
    n_old = old.vertices.shape[0]
    for e in range(start, stop):
        a = old.edges[e, 0]
        b = old.edges[e, 1]
        x = old.vertices[a, 0]
        y = old.vertices[a, 1]
        dx = old.vertices[b, 0] - x
        dy = old.vertices[b, 1] - y
        length = np.sqrt(dx * dx + dy * dy)
        piece = e + cuts.offsets[e]
        before = a
        for k in range(cuts.offsets[e], cuts.offsets[e + 1]):
            v = n_old + k
            new.vertices[v, 0] = x + cuts.params[k] * dx
            new.vertices[v, 1] = y + cuts.params[k] * dy
            radius = old.widths[e] + length * cuts.slacks[k] + rounding
            new.radii[v] = min(radius, UNBOUNDED)
            _write_piece(new, piece, before, v, old, e)
            before = v
            piece += 1
        _write_piece(new, piece, before, b, old, e)


@njit(**INLINED)
def _write_piece(new, piece, origin, target, old, edge):
    new.edges[piece, 0] = origin
    new.edges[piece, 1] = target
    new.edge_faces[piece, 0] = -1
    new.edge_faces[piece, 1] = -1
    new.edge_labels[piece] = old.edge_labels[edge]
    new.widths[piece] = old.widths[edge]
