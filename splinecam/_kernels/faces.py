"""Subdividing faces: from cut edges to the faces of the refined mesh.

Two passes. `count_faces` finds the number of chords and crossings of every face, hence the exact
size of everything; `build_faces` then writes each face's share of the refined mesh.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import BORROWING, INLINED, JIT
from splinecam._kernels.chords import (
    chord_width,
    count_crossings,
    count_face_cuts,
    list_crossings,
    measure_chords,
    new_workspace,
    order_crossings,
    pair_chords,
    place_crossings,
    read_codes,
)


@njit(**JIT)
def count_faces(start, stop, mesh, cuts, n_hinges, special, counts):
    """Fill `counts` (one place to the right of each face) for a range of faces.

    Faces marked in `special` are left to `splinecam._kernels.subdivide`.
    """
    most = 0
    for f in range(start, stop):
        most = max(most, count_face_cuts(mesh, cuts, f))
    codes = np.empty(most, np.int32)
    first = np.empty(most // 2, np.int32)
    second = np.empty(most // 2, np.int32)
    open_chords = np.full(n_hinges, -1, np.int32)
    _count_faces(start, stop, mesh, cuts, special, counts, codes, first, second, open_chords)


@njit(**BORROWING)
def _count_faces(start, stop, mesh, cuts, special, counts, codes, first, second, open_chords):
    for f in range(start, stop):
        if special[f]:
            continue
        n_cuts = read_codes(mesh, cuts, f, codes)
        n_chords = n_cuts >> 1
        n_crossings = 0
        if n_chords > 1:
            pair_chords(codes, n_cuts, open_chords, first, second)
            n_crossings = count_crossings(first, second, n_chords)
        n_sides = mesh.face_offsets[f + 1] - mesh.face_offsets[f]
        n_edges = n_chords + 2 * n_crossings
        counts.crossings[f + 1] = n_crossings
        counts.faces[f + 1] = 1 + n_chords + n_crossings
        counts.edges[f + 1] = n_edges
        counts.halfedges[f + 1] = n_sides + n_cuts + 2 * n_edges
        counts.chords[f + 1] = n_chords
        counts.entries[f + 1] = 2 * n_crossings


@njit(**JIT)
def build_faces(
    start,
    stop,
    old,
    cuts,
    offsets,
    n_hinges,
    label,
    rounding,
    special,
    unsure,
    new,
    chords,
    with_chords,
):
    """Write the faces, inner edges and crossings that a range of old faces becomes.

    `label` is the global number of hinge 0; `chords` is filled where `with_chords` asks for it.
    Faces marked in `special` are left out; those whose crossings are too close to be ordered in
    float64 are marked in `unsure`, and what is written for them is not meant.
    Returns the number of faces whose loops are not as many as were counted: 0.
    """
    work = workspace_for(start, stop, old, offsets, special, n_hinges)
    return fill_faces(
        *(start, stop, work, old, cuts, offsets),
        *(label, rounding, special, unsure, new, chords, with_chords),
    )


@njit(**BORROWING)
def fill_faces(
    start,
    stop,
    work,
    old,
    cuts,
    offsets,
    label,
    rounding,
    special,
    unsure,
    new,
    chords,
    with_chords,
):
    """Do what `build_faces` does in the room of `work`, made by `workspace_for` for the range."""
    n_wrong = 0
    for f in range(start, stop):
        if special[f]:
            continue
        n_chords = _n_chords(offsets, f)
        if n_chords == 0:
            _keep_face(f, old, cuts, offsets, new)
            continue
        n_pieces = _walk(f, old, cuts, work)
        pair_chords(work.codes, 2 * n_chords, work.open_chords, work.first, work.second)
        if n_chords == 1:
            _split_face(f, n_pieces, old, cuts, offsets, label, rounding, new, work)
            if with_chords:
                _record_lone_chord(f, offsets, work, chords)
            continue
        n_unsure, wrong = _subdivide_face(
            f, n_chords, n_pieces, old, cuts, offsets, label, rounding, new, work
        )
        unsure[f] = n_unsure > 0
        n_wrong += wrong
        if with_chords:
            _record_chords(f, n_chords, old, cuts, offsets, work, chords)
    return n_wrong


@njit(**INLINED)
def _n_chords(offsets, face):
    return offsets.chords[face + 1] - offsets.chords[face]


@njit(**INLINED)
def workspace_for(start, stop, old, offsets, special, n_hinges):
    """Room for subdividing any of a range of faces."""
    n_chords = 1
    n_crossings = 0
    n_pieces = 0
    for f in range(start, stop):
        if special[f]:
            continue
        n_sides = old.face_offsets[f + 1] - old.face_offsets[f]
        n_chords = max(n_chords, _n_chords(offsets, f))
        n_crossings = max(n_crossings, offsets.crossings[f + 1] - offsets.crossings[f])
        n_pieces = max(n_pieces, n_sides + 2 * _n_chords(offsets, f))
    return new_workspace(n_hinges, n_chords, n_crossings, n_pieces)


@njit(**INLINED)
def _first_edge(face, old, cuts, offsets):
    """Number of the first new edge inside an old face: after all pieces of old edges."""
    return old.edges.shape[0] + cuts.codes.shape[0] + offsets.edges[face]


@njit(**INLINED)
def _first_crossing(face, old, cuts, offsets):
    """Number of the first crossing inside an old face: after old vertices and cuts."""
    return old.vertices.shape[0] + cuts.codes.shape[0] + offsets.crossings[face]


@njit(**INLINED)
def _append(new, at, halfedge, face):
    new.face_halfedges[at] = halfedge
    new.edge_faces[halfedge >> 1, halfedge & 1] = face
    return at + 1


@njit(**INLINED)
def _write_edge(new, halfedge, origin, target, label, width):
    """Write the edge of a half-edge that runs from `origin` to `target`."""
    new.widths[halfedge >> 1] = width
    new.edges[halfedge >> 1, halfedge & 1] = origin
    new.edges[halfedge >> 1, 1 - (halfedge & 1)] = target
    new.edge_labels[halfedge >> 1] = label


@njit(**INLINED)
def _keep_face(face, old, cuts, offsets, new):
    at = offsets.halfedges[face]
    number = offsets.faces[face]
    for i in range(old.face_offsets[face], old.face_offsets[face + 1]):
        halfedge = old.face_halfedges[i]
        edge = (halfedge >> 1) + cuts.offsets[halfedge >> 1]
        at = _append(new, at, 2 * edge + (halfedge & 1), number)
    new.face_offsets[number + 1] = at


@njit(**INLINED)
def _walk(face, old, cuts, work):
    """Record the pieces of a face's sides and the cuts between them; return how many pieces."""
    n_old = old.vertices.shape[0]
    n_pieces = 0
    n_cuts = 0
    for i in range(old.face_offsets[face], old.face_offsets[face + 1]):
        side = old.face_halfedges[i] & 1
        e = old.face_halfedges[i] >> 1
        start = cuts.offsets[e]
        stop = cuts.offsets[e + 1]
        halfedge = 2 * (e + (stop if side else start)) + side
        work.halfedges[n_pieces] = halfedge
        n_pieces += 1
        for m in range(stop - start):
            k = stop - 1 - m if side else start + m
            work.codes[n_cuts] = cuts.codes[k] ^ side
            work.cut_vertices[n_cuts] = n_old + k
            work.cut_pieces[n_cuts] = n_pieces
            n_cuts += 1
            halfedge += -2 if side else 2
            work.halfedges[n_pieces] = halfedge
            n_pieces += 1
    return n_pieces


@njit(**INLINED)
def _forward(edge, code):
    """The half-edge that runs along a chord, on a new edge with its hinge positive on the left.

    Where the hinge rises at the chord's first end, the walk from there to the second end, which
    lies right of the chord, is its positive side: the edge then runs against the chord.
    """
    return 2 * edge + (code & 1)


@njit(**INLINED)
def _split_face(face, n_pieces, old, cuts, offsets, label, rounding, new, work):
    """One chord: the walk falls into two faces."""
    code = work.codes[0]
    along = _forward(_first_edge(face, old, cuts, offsets), code)
    p = work.cut_vertices[0]
    q = work.cut_vertices[1]
    n_old = old.vertices.shape[0]
    width = chord_width(p - n_old, q - n_old, cuts.doubts, cuts.slopes, rounding)
    _write_edge(new, along, p, q, label + (code >> 1), width)
    number = offsets.faces[face]
    at = offsets.halfedges[face]
    a = work.cut_pieces[0]
    b = work.cut_pieces[1]
    for piece in range(a, b):
        at = _append(new, at, work.halfedges[piece], number)
    at = _append(new, at, along ^ 1, number)
    new.face_offsets[number + 1] = at
    for piece in range(b, n_pieces):
        at = _append(new, at, work.halfedges[piece], number + 1)
    for piece in range(a):
        at = _append(new, at, work.halfedges[piece], number + 1)
    at = _append(new, at, along, number + 1)
    new.face_offsets[number + 2] = at


@njit(**INLINED)
def _subdivide_face(face, n_chords, n_pieces, old, cuts, offsets, label, rounding, new, work):
    """Several chords: link half-edges round every crossing, then trace the loops."""
    first_vertex = _first_crossing(face, old, cuts, offsets)
    n_crossings = list_crossings(work, n_chords)
    measure_chords(work, n_chords, new.vertices, old.vertices.shape[0], cuts, rounding)
    n_unsure = place_crossings(work, n_crossings, new.vertices, new.radii, first_vertex, rounding)
    n_unsure += order_crossings(work, n_chords)
    for piece in range(n_pieces):
        work.successors[piece] = piece + 1
    work.successors[n_pieces - 1] = 0
    first_edge = _first_edge(face, old, cuts, offsets)
    for i in range(n_chords):
        _link_chord(i, n_pieces, first_vertex, first_edge, label, new, work)
    n_halfedges = n_pieces + 2 * (n_chords + 2 * n_crossings)
    return n_unsure, _trace_loops(face, n_halfedges, offsets, new, work)


@njit(**INLINED)
def _link_chord(i, n_pieces, first_vertex, first_edge, label, new, work):
    """Write a chord's edges and say which half-edge follows each of its half-edges.

    Part ``q`` of the chords, counted through all of them, has the local half-edges
    ``n_pieces + 2 q`` (along its chord) and ``n_pieces + 2 q + 1`` (back).
    """
    start = work.offsets[i]
    count = work.offsets[i + 1] - start
    part = start + i
    along = n_pieces + 2 * part
    code = work.codes[work.first[i]]
    into = work.cut_pieces[work.first[i]]
    out = work.cut_pieces[work.second[i]]
    successors = work.successors
    successors[into - 1] = along
    successors[along + 1] = into
    before = work.cut_vertices[work.first[i]]
    for m in range(count + 1):
        halfedge = _forward(first_edge + part + m, code)
        work.halfedges[along + 2 * m] = halfedge
        work.halfedges[along + 2 * m + 1] = halfedge ^ 1
        if m == count:
            end = work.cut_vertices[work.second[i]]
            _write_edge(new, halfedge, before, end, label + (code >> 1), work.widths[i])
            break
        x = work.crossings[start + m]
        _write_edge(new, halfedge, before, first_vertex + x, label + (code >> 1), work.widths[i])
        before = first_vertex + x
        # The upper chord crosses the lower one from right to left.
        if work.lower[x] == i:
            other = work.upper[x]
            crossed = n_pieces + 2 * (work.offsets[other] + other + work.upper_ranks[x])
            left = crossed + 2
            right = crossed + 1
        else:
            other = work.lower[x]
            crossed = n_pieces + 2 * (work.offsets[other] + other + work.lower_ranks[x])
            left = crossed + 1
            right = crossed + 2
        successors[along + 2 * m] = left
        successors[along + 2 * (m + 1) + 1] = right
    successors[along + 2 * count] = out
    successors[out - 1] = along + 2 * count + 1


@njit(**INLINED)
def _trace_loops(face, n_halfedges, offsets, new, work):
    """Follow successors into faces; return 1 if they are not as many as were counted."""
    number = offsets.faces[face]
    end = offsets.faces[face + 1]
    at = offsets.halfedges[face]
    for seed in range(n_halfedges):
        if work.successors[seed] < 0:
            continue
        if number == end:
            return 1
        h = seed
        while work.successors[h] >= 0:
            at = _append(new, at, work.halfedges[h], number)
            following = work.successors[h]
            work.successors[h] = -1
            h = following
        number += 1
        new.face_offsets[number] = at
    if number < end:
        new.face_offsets[number + 1 : end + 1] = at
        return 1
    return 0


@njit(**INLINED)
def _record_lone_chord(face, offsets, work, chords):
    """Note a chord without crossings for the carrying of values."""
    chord = offsets.chords[face]
    chords.offsets[chord] = offsets.entries[face]
    chords.ends[chord, 0] = work.cut_vertices[0]
    chords.ends[chord, 1] = work.cut_vertices[1]


@njit(**INLINED)
def _record_chords(face, n_chords, old, cuts, offsets, work, chords):
    """Note chords and their crossings for the carrying of values."""
    first_entry = offsets.entries[face]
    first_chord = offsets.chords[face]
    first_vertex = _first_crossing(face, old, cuts, offsets)
    for i in range(n_chords):
        chords.ends[first_chord + i, 0] = work.cut_vertices[work.first[i]]
        chords.ends[first_chord + i, 1] = work.cut_vertices[work.second[i]]
        chords.offsets[first_chord + i] = first_entry + work.offsets[i]
        for m in range(work.offsets[i], work.offsets[i + 1]):
            x = work.crossings[m]
            speaks = work.lower[x] == i
            other = work.upper[x] if speaks else work.lower[x]
            chords.params[first_entry + m] = work.params[m]
            chords.hinges[first_entry + m] = work.codes[work.first[other]] >> 1
            chords.vertices[first_entry + m] = first_vertex + x if speaks else -1
