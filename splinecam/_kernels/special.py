"""Describing special faces: hinges through corners, several through one point, near coincidences.

Signs at corners are exact here, zero included, and cuts of several hinges at one point are one
place. A hinge cuts the face if and only if it is positive at one corner and negative at another;
its zero line then meets the walk round the face at exactly two places. Chords with the same two
places are one chord of several hinges; two chords cross if and only if their places strictly
interleave; where rounding leaves the order of crossings open, exact arithmetic decides it before
`splinecam._kernels.subdivide` takes the description.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from splinecam._kernels.arrays import JIT
from splinecam._kernels.chords import count_face_cuts
from splinecam._kernels.edges import UNBOUNDED
from splinecam._kernels.words import BITS, popcount, trailing_zeros


class SpecialFace(NamedTuple):
    """A special face before it is cut: its walk, its chords, and where these cross."""

    places: np.ndarray  # (B,) int32: vertices of the refined mesh round the face
    halfedges: np.ndarray  # (B,) int32: from each place to the next, in the refined mesh
    first: np.ndarray  # (K,) int32: places that each chord joins, first < second
    second: np.ndarray  # (K,) int32
    member_offsets: np.ndarray  # (K + 1,) int32
    members: np.ndarray  # int32: 2 * hinge + (1 where it is positive from first to second)
    widths: np.ndarray  # (K,) float64
    offsets: np.ndarray  # (K + 1,) int32: into the entries of each chord
    params: np.ndarray  # (2 X,) float64
    crossings: np.ndarray  # (2 X,) int32
    unsure: np.ndarray  # (2 X,) bool: maybe not after the entry before it
    lower: np.ndarray  # (X,) int32: the chords of each crossing
    upper: np.ndarray  # (X,) int32
    points: np.ndarray  # (X, 2) float64
    radii: np.ndarray  # (X,) float64


@njit(**JIT)
def mark_special(start, stop, mesh, zeros, merged, special):
    """Mark faces with a corner where a hinge vanishes or a side where cuts were merged."""
    for f in range(start, stop):
        for i in range(mesh.face_offsets[f], mesh.face_offsets[f + 1]):
            h = mesh.face_halfedges[i]
            corner = mesh.edges[h >> 1, h & 1]
            if zeros.rows.shape[0] > 0 and zeros.rows[corner] >= 0:
                special[f] = True
            if merged.shape[0] > 0 and merged[h >> 1]:
                special[f] = True


@njit(**JIT)
def _strict_sign(v, h, signs, zeros):
    bit = uint64(h % BITS)
    has_zeros = zeros.rows.shape[0] > 0 and zeros.rows[v] >= 0
    if has_zeros and (zeros.words[zeros.rows[v], h // BITS] >> bit) & uint64(1):
        return 0
    return 1 if (signs[v, h // BITS] >> bit) & uint64(1) else -1


@njit(**JIT)
def describe_special(
    face,
    old,
    cuts,
    codes,
    member_offsets,
    signs,
    zeros,
    chosen,
    points,
    radii,
    rounding,
):
    """Describe a special face; also return the number of contradictions found, 0.

    `codes` are those of all cuts, merged ones too; cut ``k`` has those from ``member_offsets[k]``
    on. `points` and `radii` are those of old vertices and cuts.
    """
    n_old = old.vertices.shape[0]
    places, halfedges = _walk_places(face, old, cuts)
    n_places = places.shape[0]
    cutting = _cutting_words(places, n_old, signs, zeros, chosen)
    n_cutting = 0
    for w in range(cutting.shape[0]):
        n_cutting += popcount(cutting[w])
    n_hinges = cutting.shape[0] * BITS
    opened = np.full(n_hinges, -1, np.int32)
    keys = np.empty(n_cutting, np.int64)
    n = 0
    n_met = 0
    for place in range(n_places):
        v = places[place]
        if v < n_old:
            if zeros.rows.shape[0] == 0 or zeros.rows[v] < 0:
                continue
            for w in range(cutting.shape[0]):
                word = zeros.words[zeros.rows[v], w] & cutting[w]
                while word != uint64(0):
                    h = w * BITS + trailing_zeros(word)
                    word &= word - uint64(1)
                    n_met += 1
                    n = _meet(h, place, n_places, opened, keys, n)
        else:
            for m in range(member_offsets[v - n_old], member_offsets[v - n_old + 1]):
                n_met += 1
                n = _meet(codes[m] >> 1, place, n_places, opened, keys, n)
    n_wrong = np.int64(n != n_cutting or n_met != 2 * n_cutting)
    first, second, offsets, members = _group(keys[: min(n, n_cutting)], n_places, n_hinges)
    for c in range(first.shape[0]):
        for m in range(offsets[c], offsets[c + 1]):
            sign = 0
            for place in range(first[c] + 1, second[c]):
                if places[place] < n_old and sign == 0:
                    sign = _strict_sign(places[place], members[m], signs, zeros)
            n_wrong += sign == 0
            members[m] = 2 * members[m] + (sign > 0)
    crossing = _cross(places, first, second, points, radii, rounding)
    return SpecialFace(places, halfedges, first, second, offsets, members, *crossing), n_wrong


@njit(**JIT)
def _walk_places(face, old, cuts):
    n_old = old.vertices.shape[0]
    n_sides = old.face_offsets[face + 1] - old.face_offsets[face]
    count = n_sides + count_face_cuts(old, cuts, face)
    places = np.empty(count, np.int32)
    halfedges = np.empty(count, np.int32)
    n = 0
    for i in range(old.face_offsets[face], old.face_offsets[face + 1]):
        side = old.face_halfedges[i] & 1
        e = old.face_halfedges[i] >> 1
        start = cuts.offsets[e]
        stop = cuts.offsets[e + 1]
        halfedge = 2 * (e + (stop if side else start)) + side
        places[n] = old.edges[e, side]
        halfedges[n] = halfedge
        n += 1
        for m in range(stop - start):
            halfedge += -2 if side else 2
            places[n] = n_old + (stop - 1 - m if side else start + m)
            halfedges[n] = halfedge
            n += 1
    return places, halfedges


@njit(**JIT)
def _cutting_words(places, n_old, signs, zeros, chosen):
    """Words of the hinges that are positive at one corner of a face and negative at another."""
    n_words = chosen.shape[0]
    positive = np.zeros(n_words, np.uint64)
    negative = np.zeros(n_words, np.uint64)
    for v in places:
        if v >= n_old:
            continue
        for w in range(n_words):
            strict = chosen[w]
            if zeros.rows.shape[0] > 0 and zeros.rows[v] >= 0:
                strict &= ~zeros.words[zeros.rows[v], w]
            positive[w] |= signs[v, w] & strict
            negative[w] |= ~signs[v, w] & strict
    return positive & negative


@njit(**JIT)
def _meet(h, place, n_places, opened, keys, n):
    """Note that the zero line of hinge `h` meets the walk; the second time it is a chord."""
    if opened[h] < 0:
        opened[h] = place
        return n
    if n < keys.shape[0]:
        keys[n] = (np.int64(opened[h]) * n_places + place) * opened.shape[0] + h
    return n + 1


@njit(**JIT)
def _group(keys, n_places, n_hinges):
    """Chords from the hinges that have the same two places; both in ascending order."""
    ordered = np.sort(keys)
    n = ordered.shape[0]
    first = np.empty(n, np.int32)
    second = np.empty(n, np.int32)
    offsets = np.zeros(n + 1, np.int32)
    members = np.empty(n, np.int32)
    count = 0
    for i in range(n):
        members[i] = ordered[i] % n_hinges
        ends = ordered[i] // n_hinges
        if i == 0 or ends != ordered[i - 1] // n_hinges:
            first[count] = ends // n_places
            second[count] = ends % n_places
            count += 1
        offsets[count] = i + 1
    return first[:count].copy(), second[:count].copy(), offsets[: count + 1].copy(), members


@njit(**JIT)
def _interleave(first, second, i, j):
    """Whether chord i crosses the later chord j; a common end is no crossing."""
    return first[i] < first[j] and first[j] < second[i] and second[i] < second[j]


@njit(**JIT)
def _cross(places, first, second, points, radii, rounding):
    """Crossings of the chords in float64, with error bounds: the last fields of SpecialFace."""
    n_chords = first.shape[0]
    offsets = np.zeros(n_chords + 1, np.int32)
    n_crossings = 0
    for j in range(1, n_chords):
        for i in range(j):
            if _interleave(first, second, i, j):
                n_crossings += 1
                offsets[i + 1] += 1
                offsets[j + 1] += 1
    for i in range(n_chords):
        offsets[i + 1] += offsets[i]
    cursors = offsets.copy()
    widths = np.empty(n_chords, np.float64)
    for i in range(n_chords):
        widths[i] = max(radii[places[first[i]]], radii[places[second[i]]])
    lower = np.empty(n_crossings, np.int32)
    upper = np.empty(n_crossings, np.int32)
    crossing_points = np.empty((n_crossings, 2), np.float64)
    crossing_radii = np.empty(n_crossings, np.float64)
    params = np.empty(2 * n_crossings, np.float64)
    slacks = np.empty(2 * n_crossings, np.float64)
    crossings = np.empty(2 * n_crossings, np.int32)
    x = 0
    for j in range(1, n_chords):
        for i in range(j):
            if not _interleave(first, second, i, j):
                continue
            p = points[places[first[i]]]
            along_i = points[places[second[i]]] - p
            r = points[places[first[j]]]
            along_j = points[places[second[j]]] - r
            t, u, slack = _intersect(p, along_i, r, along_j, widths[i] + widths[j])
            lower[x] = i
            upper[x] = j
            crossing_points[x] = p + t * along_i
            length_i = max(np.hypot(along_i[0], along_i[1]), rounding)
            length_j = max(np.hypot(along_j[0], along_j[1]), rounding)
            spread = max(widths[i], widths[j]) + slack * length_i * length_j
            crossing_radii[x] = min(UNBOUNDED, spread)
            params[cursors[i]] = t
            params[cursors[j]] = u
            slacks[cursors[i]] = slack * length_j
            slacks[cursors[j]] = slack * length_i
            crossings[cursors[i]] = x
            crossings[cursors[j]] = x
            cursors[i] += 1
            cursors[j] += 1
            x += 1
    unsure = _sort_entries(offsets, params, slacks, crossings)
    return (
        *(widths, offsets, params, crossings, unsure),
        *(lower, upper, crossing_points, crossing_radii),
    )


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
def _sort_entries(offsets, params, slacks, crossings):
    """Sort the entries along each chord; return which are maybe not after the one before."""
    unsure = np.zeros(params.shape[0], np.bool_)
    for i in range(offsets.shape[0] - 1):
        start = offsets[i]
        stop = offsets[i + 1]
        order = np.argsort(params[start:stop])
        params[start:stop] = params[start:stop][order]
        slacks[start:stop] = slacks[start:stop][order]
        crossings[start:stop] = crossings[start:stop][order]
        reached = -1.0
        for entry in range(start, stop):
            if entry > start and not params[entry] - slacks[entry] > reached:
                unsure[entry] = True
            reached = max(reached, params[entry] + slacks[entry])
    return unsure
