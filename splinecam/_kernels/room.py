"""Room for what a refinement makes: arrays of the exact sizes, still to be filled.

The functions run in the interpreter and, called by kernels, compiled.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numba.extending import register_jitable

from splinecam._kernels.arrays import BORROWING, Chords, Cuts, FaceOffsets, Mesh


@register_jitable
def empty_cuts(counts: np.ndarray) -> Cuts:
    """Room for cuts, given their number one place to the right of each edge."""
    offsets = np.cumsum(counts)
    n = offsets[-1]
    return Cuts(
        offsets,
        np.empty(n, np.int32),
        np.empty(n, np.float64),
        np.empty(n, np.int32),
        np.empty(n, np.float64),
        np.empty(n, np.float64),
        np.empty(n, np.float64),
    )


@register_jitable
def zero_counts(n_faces: int) -> FaceOffsets:
    """Counts of what faces become, one place to the right of each face."""
    counts = np.zeros((6, n_faces + 1), np.int64)
    return FaceOffsets(counts[0], counts[1], counts[2], counts[3], counts[4], counts[5])


@register_jitable
def to_offsets(counts: FaceOffsets) -> FaceOffsets:
    """Add counts up to offsets."""
    return FaceOffsets(
        np.cumsum(counts.crossings),
        np.cumsum(counts.faces),
        np.cumsum(counts.edges),
        np.cumsum(counts.halfedges),
        np.cumsum(counts.chords),
        np.cumsum(counts.entries),
    )


@register_jitable
def empty_mesh(old: Mesh, cuts: Cuts, offsets: FaceOffsets) -> Mesh:
    """Room for the refined mesh; the old vertices stay the first ones."""
    n_old = old.vertices.shape[0]
    n_cuts = cuts.codes.shape[0]
    n_faces = old.face_offsets.shape[0] - 1
    n_edges = old.edges.shape[0] + n_cuts + offsets.edges[n_faces]
    n_vertices = n_old + n_cuts + offsets.crossings[n_faces]
    vertices = np.empty((n_vertices, 2), np.float64)
    radii = np.empty(n_vertices, np.float64)
    _keep_vertices(old.vertices, old.radii, vertices, radii)
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


@njit(**BORROWING)
def _keep_vertices(old_vertices, old_radii, vertices, radii):
    # Compiling assignments to slices would take a hundred times as long.
    for v in range(old_vertices.shape[0]):
        vertices[v, 0] = old_vertices[v, 0]
        vertices[v, 1] = old_vertices[v, 1]
        radii[v] = old_radii[v]


@register_jitable
def empty_chords(offsets: FaceOffsets, with_chords: bool) -> Chords:
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
