"""The passes of one refinement, for small meshes in one compiled call.

`splinecam.mesh` runs the same passes side by side on large meshes; it calls the allocating
functions uncompiled, because numpy asks the system for huge pages and numba does not.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numba.extending import register_jitable

from splinecam._kernels.arrays import JIT, Chords, Cuts, FaceOffsets, Mesh
from splinecam._kernels.edges import accumulate, count_cuts, find_cuts, split_edges
from splinecam._kernels.faces import build_faces, count_faces


@register_jitable
def empty_cuts(offsets):
    """Room for the cuts that `offsets`, still counts, announces."""
    n = accumulate(offsets)
    return Cuts(
        offsets,
        np.empty(n, np.int32),
        np.empty(n, np.float64),
        np.empty(n, np.int32),
        np.empty(n, np.float64),
        np.empty(n, np.float64),
        np.empty(n, np.float64),
    )


@njit(**JIT)
def zero_counts(n_faces):
    """Counts of what faces become, one place to the right of each face."""
    return FaceOffsets(
        np.zeros(n_faces + 1, np.int64),
        np.zeros(n_faces + 1, np.int64),
        np.zeros(n_faces + 1, np.int64),
        np.zeros(n_faces + 1, np.int64),
        np.zeros(n_faces + 1, np.int64),
        np.zeros(n_faces + 1, np.int64),
    )


@njit(**JIT)
def accumulate_counts(counts):
    """Turn counts into offsets."""
    accumulate(counts.crossings)
    accumulate(counts.faces)
    accumulate(counts.edges)
    accumulate(counts.halfedges)
    accumulate(counts.chords)
    accumulate(counts.entries)


@register_jitable
def empty_mesh(old, cuts, offsets):
    """Room for the refined mesh; the old vertices stay the first ones."""
    n_old = old.vertices.shape[0]
    n_cuts = cuts.codes.shape[0]
    n_faces = old.face_offsets.shape[0] - 1
    n_edges = old.edges.shape[0] + n_cuts + offsets.edges[n_faces]
    n_vertices = n_old + n_cuts + offsets.crossings[n_faces]
    vertices = np.empty((n_vertices, 2), np.float64)
    vertices[:n_old] = old.vertices
    radii = np.empty(n_vertices, np.float64)
    radii[:n_old] = old.radii
    face_offsets = np.empty(offsets.faces[n_faces] + 1, np.int32)
    face_offsets[0] = 0
    return Mesh(
        vertices,
        np.empty((n_edges, 2), np.int32),
        np.empty((n_edges, 2), np.int32),
        np.empty(n_edges, np.int32),
        radii,
        np.empty(n_edges, np.float64),
        face_offsets,
        np.empty(offsets.halfedges[n_faces], np.int32),
    )


@register_jitable
def empty_chords(offsets, with_chords):
    """Room for all chords, or for none."""
    n_faces = offsets.faces.shape[0] - 1
    n_chords = offsets.chords[n_faces] if with_chords else 0
    n_entries = offsets.entries[n_faces] if with_chords else 0
    chord_offsets = np.empty(n_chords + 1, np.int64)
    chord_offsets[n_chords] = n_entries
    return Chords(
        chord_offsets,
        np.empty((n_chords, 2), np.int32),
        np.empty(n_entries, np.float64),
        np.empty(n_entries, np.int32),
        np.empty(n_entries, np.int32),
    )


@njit(**JIT)
def find_cuts_serially(mesh, signs, zeros, values, bounds, chosen, rounding):
    """Cuts, and which edges have some that float64 leaves open."""
    n_edges = mesh.edges.shape[0]
    offsets = np.zeros(n_edges + 1, np.int64)
    count_cuts(0, n_edges, mesh.edges, signs, zeros, chosen, offsets)
    cuts = empty_cuts(offsets)
    unsure = np.zeros(n_edges, np.bool_)
    find_cuts(0, n_edges, mesh, signs, zeros, values, bounds, chosen, rounding, cuts, unsure)
    return cuts, unsure


@njit(**JIT)
def count_faces_serially(mesh, cuts, n_hinges, special):
    """Counts of what faces become."""
    n_faces = mesh.face_offsets.shape[0] - 1
    counts = zero_counts(n_faces)
    count_faces(0, n_faces, mesh, cuts, n_hinges, special, counts)
    return counts


@njit(**JIT)
def refine_serially(old, cuts, offsets, n_hinges, label, rounding, special, unsure, with_chords):
    """The refined mesh, its chords, and the number of contradictions found."""
    new = empty_mesh(old, cuts, offsets)
    chords = empty_chords(offsets, with_chords)
    split_edges(0, old.edges.shape[0], old, cuts, rounding, new)
    n_wrong = build_faces(
        0,
        old.face_offsets.shape[0] - 1,
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
    )
    return new, chords, n_wrong
