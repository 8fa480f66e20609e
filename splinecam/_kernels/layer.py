"""One layer in one call, for meshes too small to be worth several threads."""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import JIT, Zeros
from splinecam._kernels.carry import carry_along_chords, carry_along_edges
from splinecam._kernels.edges import count_cuts, find_cuts, split_edges
from splinecam._kernels.faces import count_faces, fill_faces, workspace_for
from splinecam._kernels.room import empty_chords, empty_cuts, empty_mesh, to_offsets, zero_counts
from splinecam._kernels.words import pack_signs, sign_limits


@njit(**JIT)
def cut_layer(
    mesh, values, bounds, chosen, label, rounding, usual_radius, most_vertices, known, kinks
):
    """Refine a mesh by chosen hinges and carry values, if float64 decides everything.

    Runs the kernels of `splinecam.cutting.refine.Cutter` in its order, on all edges and faces at
    once. Both exist because passing through the interpreter for each kernel takes longer than the
    work on a few hundred faces, while large meshes need threads and some need exact decisions:
    where one is, this gives up and leaves the mesh to the `Cutter`.

    Parameters
    ----------
    mesh, values, bounds, chosen, label, rounding
        As for `Cutter`.
    usual_radius : float
        As for `sign_limits`.
    most_vertices : int
        Give up if the mesh grows beyond it.
    known : ndarray
        (V, D) float64: values at the vertices, to be carried; D may be 0.
    kinks : ndarray
        (H, D) float64: as for `carry_along_edges`.

    Returns
    -------
    done : bool
        If False, the rest is not meant.
    refined : Mesh
    carried : ndarray
        (V', D) float64.
    """
    start = np.int64(0)  # no literal: kernels would be compiled once more for it
    n_vertices, n_hinges = values.shape
    n_edges = mesh.edges.shape[0]
    n_faces = mesh.face_offsets.shape[0] - 1
    signs = np.empty((n_vertices, chosen.shape[0]), np.uint64)
    counts = np.empty(n_vertices, np.int32)
    limits = sign_limits(bounds, chosen, usual_radius)
    pack_signs(
        *(start, n_vertices, values, mesh.radii, bounds, limits, usual_radius, signs, counts)
    )
    if counts.any():
        return False, mesh, known
    zeros = Zeros(np.empty(0, np.int32), np.empty((0, chosen.shape[0]), np.uint64))
    cut_counts = np.zeros(n_edges + 1, np.int64)
    count_cuts(start, n_edges, mesh.edges, signs, zeros, chosen, cut_counts)
    cuts = empty_cuts(cut_counts)
    unsure = np.zeros(n_edges, np.bool_)
    find_cuts(*(start, n_edges, mesh, signs, zeros, values, bounds, chosen, rounding, cuts, unsure))
    special = np.zeros(n_faces, np.bool_)
    face_counts = zero_counts(n_faces)
    count_faces(start, n_faces, mesh, cuts, n_hinges, special, face_counts)
    offsets = to_offsets(face_counts)
    n_new = cuts.codes.shape[0] + offsets.crossings[n_faces]
    if unsure.any() or n_vertices + n_new > most_vertices:
        return False, mesh, known
    with_chords = known.shape[1] > 0
    new = empty_mesh(mesh, cuts, offsets)
    chords = empty_chords(offsets, with_chords)
    split_edges(start, n_edges, mesh, cuts, rounding, new)
    work = workspace_for(start, n_faces, mesh, offsets, special, n_hinges)
    n_wrong = fill_faces(
        *(start, n_faces, work, mesh, cuts, offsets),
        *(label, rounding, special, special, new, chords, with_chords),
    )
    if n_wrong or special.any():
        return False, mesh, known
    carried = np.empty((new.vertices.shape[0], known.shape[1]), np.float64)
    if with_chords:
        _carry(start, mesh.edges, cuts, chords, values, kinks, known, carried)
    return True, new, carried


@njit(**JIT)
def _carry(start, edges, cuts, chords, values, kinks, known, carried):
    for v in range(known.shape[0]):
        for d in range(known.shape[1]):
            carried[v, d] = known[v, d]
    targets = np.empty(0, np.int64)
    carry_along_edges(start, edges.shape[0], edges, cuts, targets, values, kinks, carried)
    n_chords = chords.ends.shape[0]
    carry_along_chords(start, n_chords, edges, cuts, chords, values, kinks, carried)
