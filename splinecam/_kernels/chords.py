"""The chords that hinges draw inside one convex face, from the order of their ends alone.

Walking round a face, each hinge that cuts it is met twice: at the ends of its chord. Two chords
cross if and only if their ends interleave on that walk, so which chords cross is decided without
any coordinate; only the order of crossings *along* a chord needs one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from splinecam._kernels.arrays import INLINED, JIT
from splinecam._kernels.edges import BAD, UNBOUNDED, sort_by_key


class Workspace(NamedTuple):
    """What one worker needs to subdivide a face, sized for the largest of its range."""

    open_chords: np.ndarray  # (hinges,): the chord that a hinge has opened, or -1
    # Walk round the face: its cuts and, between them, pieces of its sides.
    codes: np.ndarray  # (2 k,): as in Cuts, seen along the walk
    cut_vertices: np.ndarray  # (2 k,)
    cut_pieces: np.ndarray  # (2 k,): the first piece after the cut
    # Chords, in the order of their first ends.
    first: np.ndarray  # (k,): places on the walk
    second: np.ndarray  # (k,)
    offsets: np.ndarray  # (k + 1,): into the entries
    cursors: np.ndarray  # (k,)
    widths: np.ndarray  # (k,): as of edges
    lengths: np.ndarray  # (k,)
    # Crossings of a lower with an upper chord, and one entry for each chord that takes part.
    lower: np.ndarray  # (X,)
    upper: np.ndarray  # (X,)
    lower_ranks: np.ndarray  # (X,): place among the crossings of the chord
    upper_ranks: np.ndarray  # (X,)
    slacks: np.ndarray  # (X,): error of the entry's parameter, over the other chord's length
    params: np.ndarray  # (2 X,)
    crossings: np.ndarray  # (2 X,)
    # Local half-edges: pieces of the sides, then both directions of every part of a chord.
    halfedges: np.ndarray  # their numbers in the refined mesh
    successors: np.ndarray  # the next one round the new face on their left


@njit(**JIT)
def new_workspace(n_hinges, n_chords, n_crossings, n_pieces):
    """Allocate for faces with at most that many chords, crossings and pieces of sides."""
    n_halfedges = n_pieces + 2 * (n_chords + 2 * n_crossings)
    return Workspace(
        np.full(n_hinges, -1, np.int32),
        np.empty(2 * n_chords, np.int32),
        np.empty(2 * n_chords, np.int32),
        np.empty(2 * n_chords, np.int32),
        np.empty(n_chords, np.int32),
        np.empty(n_chords, np.int32),
        np.empty(n_chords + 1, np.int32),
        np.empty(n_chords, np.int32),
        np.empty(n_chords, np.float64),
        np.empty(n_chords, np.float64),
        # One place to spare: candidates are written before it is known that they cross.
        np.empty(n_crossings + 1, np.int32),
        np.empty(n_crossings + 1, np.int32),
        np.empty(n_crossings, np.int32),
        np.empty(n_crossings, np.int32),
        np.empty(n_crossings, np.float64),
        np.empty(2 * n_crossings, np.float64),
        np.empty(2 * n_crossings, np.int32),
        np.empty(n_halfedges, np.int32),
        np.empty(n_halfedges, np.int32),
    )


@njit(**INLINED)
def count_face_cuts(mesh, cuts, face):
    """How many cuts lie on the sides of a face."""
    count = 0
    for i in range(mesh.face_offsets[face], mesh.face_offsets[face + 1]):
        e = mesh.face_halfedges[i] >> 1
        count += cuts.offsets[e + 1] - cuts.offsets[e]
    return count


@njit(**INLINED)
def read_codes(mesh, cuts, face, codes):
    """Write the codes of a face's cuts in the order of the walk round it; return their number."""
    n = 0
    for i in range(mesh.face_offsets[face], mesh.face_offsets[face + 1]):
        e = mesh.face_halfedges[i] >> 1
        start = cuts.offsets[e]
        stop = cuts.offsets[e + 1]
        if mesh.face_halfedges[i] & 1:
            for k in range(stop - 1, start - 1, -1):
                codes[n] = cuts.codes[k] ^ 1
                n += 1
        else:
            for k in range(start, stop):
                codes[n] = cuts.codes[k]
                n += 1
    return n


@njit(**INLINED)
def pair_chords(codes, n_cuts, open_chords, first, second):
    """Join the cuts of each hinge into chords; return the number of chords."""
    n = 0
    for place in range(n_cuts):
        h = codes[place] >> 1
        chord = open_chords[h]
        if chord < 0:
            first[n] = place
            open_chords[h] = n
            n += 1
        else:
            second[chord] = place
            open_chords[h] = -1
    return n


@njit(**INLINED)
def count_crossings(first, second, n_chords):
    """How many pairs of chords have interleaved ends."""
    count = 0
    for j in range(1, n_chords):
        a = first[j]
        b = second[j]
        for i in range(j):
            count += (a < second[i]) & (second[i] < b)
    return count


@njit(**INLINED)
def list_crossings(work, n_chords):
    """Fill `lower`, `upper` and the chords' `offsets`; return the number of crossings."""
    for i in range(n_chords + 1):
        work.offsets[i] = 0
    n = 0
    for j in range(1, n_chords):
        a = work.first[j]
        b = work.second[j]
        before = n
        for i in range(j):
            crosses = np.int64((a < work.second[i]) & (work.second[i] < b))
            work.lower[n] = i
            work.upper[n] = j
            work.offsets[i + 1] += crosses
            n += crosses
        work.offsets[j + 1] += n - before
    for i in range(n_chords):
        work.offsets[i + 1] += work.offsets[i]
        work.cursors[i] = work.offsets[i]
    return n


@njit(**INLINED)
def chord_width(p, q, doubts, slopes, rounding):
    """How far the true line of a chord between two cuts is from the stored one at most."""
    slope = max(slopes[p], slopes[q])
    if slope <= 0.0:
        return UNBOUNDED
    return min(UNBOUNDED, max(doubts[p], doubts[q]) / slope + rounding)


@njit(**INLINED)
def measure_chords(work, n_chords, vertices, n_old, cuts, rounding):
    """Fill the chords' `widths` and `lengths`; all their ends are cuts."""
    for i in range(n_chords):
        p = work.cut_vertices[work.first[i]]
        q = work.cut_vertices[work.second[i]]
        work.widths[i] = chord_width(p - n_old, q - n_old, cuts.doubts, cuts.slopes, rounding)
        dx = vertices[q, 0] - vertices[p, 0]
        dy = vertices[q, 1] - vertices[p, 1]
        work.lengths[i] = max(np.sqrt(dx * dx + dy * dy), rounding)


@njit(**INLINED)
def place_crossings(work, n_crossings, vertices, radii, first_vertex, rounding):
    """Intersect chords: positions and radii of the new vertices, parameters of the entries.

    Returns how many crossings are placed too badly to be kept.
    """
    n_bad = 0
    for x in range(n_crossings):
        i = work.lower[x]
        j = work.upper[x]
        p = work.cut_vertices[work.first[i]]
        q = work.cut_vertices[work.second[i]]
        r = work.cut_vertices[work.first[j]]
        s = work.cut_vertices[work.second[j]]
        x0 = vertices[p, 0]
        y0 = vertices[p, 1]
        ix = vertices[q, 0] - x0
        iy = vertices[q, 1] - y0
        jx = vertices[s, 0] - vertices[r, 0]
        jy = vertices[s, 1] - vertices[r, 1]
        wx = vertices[r, 0] - x0
        wy = vertices[r, 1] - y0
        t = u = 0.5
        slack = UNBOUNDED
        turn = ix * jy - iy * jx
        width = work.widths[i] + work.widths[j] + rounding
        if turn > 4.0 * width * max(work.lengths[i], work.lengths[j]):
            scale = 1.0 / turn
            t = min(max((wx * jy - wy * jx) * scale, 0.0), 1.0)
            u = min(max((wx * iy - wy * ix) * scale, 0.0), 1.0)
            slack = 2.0 * width * scale
        v = first_vertex + x
        vertices[v, 0] = x0 + t * ix
        vertices[v, 1] = y0 + t * iy
        work.slacks[x] = slack
        along = slack * work.lengths[i] * work.lengths[j]
        radii[v] = min(UNBOUNDED, max(work.widths[i], work.widths[j]) + along + rounding)
        n_bad += radii[v] > BAD * rounding
        _add_entry(work, i, x, t)
        _add_entry(work, j, x, u)
    return n_bad


@njit(**INLINED)
def _add_entry(work, chord, crossing, param):
    entry = work.cursors[chord]
    work.params[entry] = param
    work.crossings[entry] = crossing
    work.cursors[chord] = entry + 1


@njit(**INLINED)
def order_crossings(work, n_chords):
    """Sort the entries along each chord and note each crossing's rank on both of its chords.

    Returns how many neighbours are too close to tell their order.
    """
    n_unsure = 0
    for i in range(n_chords):
        start = work.offsets[i]
        stop = work.offsets[i + 1]
        sort_by_key(work.params, work.crossings, start, stop)
        reached = -1.0
        for entry in range(start, stop):
            x = work.crossings[entry]
            if work.lower[x] == i:
                work.lower_ranks[x] = entry - start
                slack = work.slacks[x] * work.lengths[work.upper[x]]
            else:
                work.upper_ranks[x] = entry - start
                slack = work.slacks[x] * work.lengths[work.lower[x]]
            n_unsure += entry > start and not work.params[entry] - slack > reached
            reached = max(reached, work.params[entry] + slack)
    return n_unsure
