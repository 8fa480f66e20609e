"""Special faces: hinges through corners, several through one point, near coincidences.

Signs at corners are exact here, zero included, and cuts of several hinges at one point are one
place. A hinge cuts the face if and only if it is positive at one corner and negative at another;
its zero line then meets the walk round the face at exactly two places. Chords with the same two
places are one chord of several hinges; two chords cross if and only if their places strictly
interleave (`splinecam._kernels.crossings`); where rounding leaves the order of crossings open,
exact arithmetic decides it before the face is subdivided (`splinecam._kernels.subdivide`).

Several kernels describe many faces at once, each with the sizes that the one before has found.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, uint64
from numba.extending import register_jitable

from splinecam._kernels.arrays import BORROWING, JIT
from splinecam._kernels.chords import count_face_cuts
from splinecam._kernels.words import BITS, popcount, trailing_zeros


class SpecialFace(NamedTuple):
    """A special face before it is cut: its walk, its chords, and where these cross."""

    places: np.ndarray  # (B,) int32: vertices of the refined mesh round the face
    halfedges: np.ndarray  # (B,) int32: from each place to the next, in the refined mesh
    first: np.ndarray  # (K,) int32: places that each chord joins, first < second
    second: np.ndarray  # (K,) int32
    widths: np.ndarray  # (K,) float64
    member_offsets: np.ndarray  # (K + 1,) int32
    members: np.ndarray  # int32: 2 * hinge + (1 where it is positive from first to second)
    offsets: np.ndarray  # (K + 1,) int32: into the entries of each chord
    params: np.ndarray  # (2 X,) float64
    crossings: np.ndarray  # (2 X,) int32
    unsure: np.ndarray  # (2 X,) bool: maybe not after the entry before it
    lower: np.ndarray  # (X,) int32: the chords of each crossing
    upper: np.ndarray  # (X,) int32
    points: np.ndarray  # (X, 2) float64
    radii: np.ndarray  # (X,) float64


class Outlines(NamedTuple):
    """Several special faces: their walks and their chords.

    `n_chords` (n,) are those of each face, which has room for one for each hinge that cuts it; in
    `member_offsets` a face has one entry more than chords.
    """

    faces: np.ndarray  # (n,) int64: their numbers in the old mesh
    place_starts: np.ndarray  # (n + 1,) int64: each face's part of the arrays that follow
    chord_starts: np.ndarray  # (n + 1,) int64
    n_chords: np.ndarray  # (n,) int64
    n_crossings: np.ndarray  # (n,) int64
    places: np.ndarray
    halfedges: np.ndarray
    first: np.ndarray
    second: np.ndarray
    widths: np.ndarray
    member_offsets: np.ndarray
    members: np.ndarray


class Crossings(NamedTuple):
    """Where the chords of several special faces cross; fields as in `SpecialFace`."""

    starts: np.ndarray  # (n + 1,) int64: each face's crossings; it has twice as many entries
    offsets: np.ndarray  # as many as in `Outlines.member_offsets`
    params: np.ndarray
    crossings: np.ndarray
    unsure: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    points: np.ndarray
    radii: np.ndarray


@register_jitable
def special_face(outlines: Outlines, crossings: Crossings, i: int) -> SpecialFace:
    """The parts that belong to special face number `i`; not copied."""
    p, q = outlines.place_starts[i], outlines.place_starts[i + 1]
    c = outlines.chord_starts[i]
    d, n = c + outlines.n_chords[i], outlines.chord_starts[i + 1]
    x, y = crossings.starts[i], crossings.starts[i + 1]
    return SpecialFace(
        outlines.places[p:q],
        outlines.halfedges[p:q],
        outlines.first[c:d],
        outlines.second[c:d],
        outlines.widths[c:d],
        outlines.member_offsets[c + i : d + i + 1],
        outlines.members[c:n],
        crossings.offsets[c + i : d + i + 1],
        crossings.params[2 * x : 2 * y],
        crossings.crossings[2 * x : 2 * y],
        crossings.unsure[2 * x : 2 * y],
        crossings.lower[x:y],
        crossings.upper[x:y],
        crossings.points[x:y],
        crossings.radii[x:y],
    )


@njit(**BORROWING)
def mark_merged(start, stop, mesh, merged, special):
    """Mark faces with a side where cuts were merged."""
    for f in range(start, stop):
        for i in range(mesh.face_offsets[f], mesh.face_offsets[f + 1]):
            if merged[mesh.face_halfedges[i] >> 1]:
                special[f] = True


@njit(**BORROWING)
def mark_cut_corners(start, stop, mesh, faces, zeros, special):
    """Mark faces that a hinge cuts through a corner.

    A hinge that vanishes at corners of a face but has, elsewhere on it, one sign only, is affine
    on the face and so has that sign or vanishes everywhere in it. It neither cuts the face nor,
    since no side has ends of opposite signs, any of its sides: the face is cut as if it were not.
    """
    for f in range(start, stop):
        for w in range(zeros.words.shape[1]):
            cutting = faces.positive[f, w] & faces.negative[f, w]
            if cutting == uint64(0):
                continue
            for i in range(mesh.face_offsets[f], mesh.face_offsets[f + 1]):
                h = mesh.face_halfedges[i]
                row = zeros.rows[mesh.edges[h >> 1, h & 1]]
                if row >= 0 and zeros.words[row, w] & cutting:
                    special[f] = True


@njit(**JIT)
def measure_special(start, stop, faces, old, cuts, signs, zeros, chosen, n_places, n_cutting):
    """Count the places round special faces, and the hinges that cut them.

    Both are written one place to the right of each face.
    """
    for i in range(start, stop):
        f = faces[i]
        n_sides = old.face_offsets[f + 1] - old.face_offsets[f]
        n_places[i + 1] = n_sides + count_face_cuts(old, cuts, f)
        n_cutting[i + 1] = 0
        for w in range(chosen.shape[0]):
            n_cutting[i + 1] += popcount(_cutting_word(f, w, old, signs, zeros, chosen))


@njit(**JIT)
def outline_special(
    start,
    stop,
    outlines,
    old,
    cuts,
    codes,
    code_offsets,
    signs,
    zeros,
    chosen,
    radii,
):
    """Describe the walks round special faces and their chords; return the first that contradicts.

    `codes` are those of all cuts, merged ones too; cut ``k`` has those from ``code_offsets[k]``
    on. `radii` are those of old vertices and cuts. Where all is well, -1 is returned.
    """
    opened = np.full(chosen.shape[0] * BITS, -1, np.int32)
    for i in range(start, stop):
        f = outlines.faces[i]
        places = outlines.places[outlines.place_starts[i] : outlines.place_starts[i + 1]]
        halfedges = outlines.halfedges[outlines.place_starts[i] : outlines.place_starts[i + 1]]
        _walk_places(f, old, cuts, places, halfedges)
        cutting = np.empty(chosen.shape[0], np.uint64)
        for w in range(chosen.shape[0]):
            cutting[w] = _cutting_word(f, w, old, signs, zeros, chosen)
        c = outlines.chord_starts[i]
        keys = np.empty(outlines.chord_starts[i + 1] - c, np.int64)
        n_old = old.vertices.shape[0]
        n_met = _meet_all(places, n_old, cutting, codes, code_offsets, zeros, opened, keys)
        if n_met != 2 * keys.shape[0]:
            return f
        part = slice(c, outlines.chord_starts[i + 1])
        first = outlines.first[part]
        second = outlines.second[part]
        members = outlines.members[part]
        offsets = outlines.member_offsets[c + i : outlines.chord_starts[i + 1] + i + 1]
        n_chords = _group(keys, places.shape[0], opened.shape[0], first, second, offsets, members)
        chords = (n_chords, first, second, offsets, members)
        if not _sign_members(*chords, places, n_old, signs, zeros):
            return f
        outlines.n_chords[i] = n_chords
        for j in range(n_chords):
            width = max(radii[places[first[j]]], radii[places[second[j]]])
            outlines.widths[c + j] = width
        outlines.n_crossings[i] = _count_crossings(first, second, n_chords)
    return np.int64(-1)


@njit(**JIT)
def _walk_places(face, old, cuts, places, halfedges):
    n_old = old.vertices.shape[0]
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


@njit(**JIT)
def _cutting_word(face, w, mesh, signs, zeros, chosen):
    """Word of the hinges that are positive at one corner of a face and negative at another."""
    positive = uint64(0)
    negative = uint64(0)
    for i in range(mesh.face_offsets[face], mesh.face_offsets[face + 1]):
        h = mesh.face_halfedges[i]
        corner = mesh.edges[h >> 1, h & 1]
        strict = chosen[w]
        if zeros.rows.shape[0] > 0 and zeros.rows[corner] >= 0:
            strict &= ~zeros.words[zeros.rows[corner], w]
        positive |= signs[corner, w] & strict
        negative |= ~signs[corner, w] & strict
    return positive & negative


@njit(**JIT)
def _meet_all(places, n_old, cutting, codes, code_offsets, zeros, opened, keys):
    """Write a key for each hinge from the two places where its zero line meets the walk.

    Returns how often such a line was met, or -1 if one was not met twice.
    """
    n = 0
    n_met = 0
    for place in range(places.shape[0]):
        v = places[place]
        if v >= n_old:
            for m in range(code_offsets[v - n_old], code_offsets[v - n_old + 1]):
                n_met += 1
                n = _meet(codes[m] >> 1, place, places.shape[0], opened, keys, n)
        elif zeros.rows.shape[0] > 0 and zeros.rows[v] >= 0:
            for w in range(cutting.shape[0]):
                word = zeros.words[zeros.rows[v], w] & cutting[w]
                while word != uint64(0):
                    h = w * BITS + trailing_zeros(word)
                    word &= word - uint64(1)
                    n_met += 1
                    n = _meet(h, place, places.shape[0], opened, keys, n)
    return n_met if n == keys.shape[0] else -1


@njit(**JIT)
def _meet(h, place, n_places, opened, keys, n):
    """Note that the zero line of hinge `h` meets the walk; the second time it is a chord."""
    if opened[h] < 0:
        opened[h] = place
        return n
    if n < keys.shape[0]:
        keys[n] = (np.int64(opened[h]) * n_places + place) * opened.shape[0] + h
    opened[h] = -1
    return n + 1


@njit(**JIT)
def _group(keys, n_places, n_hinges, first, second, offsets, members):
    """Write chords, from the hinges with the same two places; both ascend. Returns how many."""
    keys.sort()
    offsets[0] = 0
    count = 0
    for i in range(keys.shape[0]):
        members[i] = keys[i] % n_hinges
        ends = keys[i] // n_hinges
        if i == 0 or ends != keys[i - 1] // n_hinges:
            first[count] = ends // n_places
            second[count] = ends % n_places
            count += 1
        offsets[count] = i + 1
    return count


@njit(**JIT)
def _sign_members(n_chords, first, second, offsets, members, places, n_old, signs, zeros):
    """Turn the hinges of chords into codes; return whether each has a corner that tells."""
    for c in range(n_chords):
        for m in range(offsets[c], offsets[c + 1]):
            sign = 0
            for place in range(first[c] + 1, second[c]):
                if places[place] < n_old and sign == 0:
                    sign = _strict_sign(places[place], members[m], signs, zeros)
            if sign == 0:
                return False
            members[m] = 2 * members[m] + (sign > 0)
    return True


@njit(**JIT)
def _strict_sign(v, h, signs, zeros):
    bit = uint64(h % BITS)
    has_zeros = zeros.rows.shape[0] > 0 and zeros.rows[v] >= 0
    if has_zeros and (zeros.words[zeros.rows[v], h // BITS] >> bit) & uint64(1):
        return 0
    return 1 if (signs[v, h // BITS] >> bit) & uint64(1) else -1


@njit(**JIT)
def interleave(first, second, i, j):
    """Whether chord i crosses the later chord j; a common end is no crossing."""
    return first[i] < first[j] and first[j] < second[i] and second[i] < second[j]


@njit(**JIT)
def _count_crossings(first, second, n_chords):
    count = 0
    for j in range(1, n_chords):
        for i in range(j):
            count += interleave(first, second, i, j)
    return count
