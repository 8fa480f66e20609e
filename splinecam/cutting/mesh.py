"""The planar subdivision, and carrying values from one to its refinement.

A *hinge* is a unit at one of its breakpoints; on every face it is an affine function whose sign
says on which side of the breakpoint the unit is. `splinecam.cutting.refine` refines a mesh by the
zero lines of hinges.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from splinecam._kernels.arrays import Chords, Cuts, Mesh
from splinecam._kernels.carry import carry_along_chords, carry_along_edges
from splinecam._kernels.loops import count_unsound
from splinecam.common.workers import Workers
from splinecam.errors import InvariantError

FACE_GRAIN = 32768
"""Least number of half-edges of faces that is worth several threads."""

VALUE_GRAIN = 2**18
"""Least number of values, at vertices, that is worth several threads."""


class Shared(NamedTuple):
    """Hinges that edges have beside the one that labels them.

    While a patch is cut, outer edges have those along which they vanish and that are positive
    inside: beyond the patch they may be so or not.
    """

    edges: np.ndarray  # (n,) int64, ascending
    codes: np.ndarray  # (n,) int64: 2 * label + (1 where it is positive on the right)

    def take(self, chosen: np.ndarray) -> Shared:
        """Those that a mask (n,) chooses."""
        return Shared(self.edges[chosen], self.codes[chosen])


def places_within(counts: np.ndarray) -> np.ndarray:
    """Number the members of consecutive groups of given sizes: 0, 1, … in each."""
    return np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)


NOTHING_SHARED = Shared(np.empty(0, np.int64), np.empty(0, np.int64))


class PatternedMesh(NamedTuple):
    """A mesh, and what is needed to tell the pattern of each face."""

    mesh: Mesh
    shared: Shared
    root: np.ndarray
    """Pattern of the face left of edge 0: of all units, then of the nodes of tournaments."""


class Refinement(NamedTuple):
    """A refined mesh and how its new vertices lie on the old one."""

    mesh: Mesh
    shared: Shared
    raw_cuts: Cuts  # of each hinge by itself
    targets: np.ndarray  # the cut that each became; empty if it is the same number
    cuts: Cuts  # those at the same point are one
    chords: Chords


def polygon_mesh(polygon: np.ndarray) -> Mesh:
    """Mesh of one face from a counter-clockwise convex polygon (n, 2)."""
    n = len(polygon)
    corners = np.arange(n, dtype=np.int32)
    edges = np.stack([corners, corners + np.int32(1)], axis=1)
    edges[-1, 1] = 0
    edge_faces = np.zeros((n, 2), np.int32)
    edge_faces[:, 1] = -1
    return Mesh(
        vertices=np.array(polygon, np.float64),
        edges=edges,
        edge_faces=edge_faces,
        edge_labels=-1 - corners,
        radii=np.zeros(n),
        widths=np.zeros(n),
        face_offsets=np.array([0, n], np.int32),
        face_halfedges=2 * corners,
    )


def check_mesh(mesh: Mesh, rounding: float, workers: Workers) -> None:
    """Raise `InvariantError` unless loops are closed, none turns, and Euler's formula holds.

    Regions smaller than the errors of their corners, at least a `rounding` each, may have any area
    of that size.
    """
    n_faces = len(mesh.face_offsets) - 1
    euler = len(mesh.vertices) - len(mesh.edges) + n_faces
    if euler != 1:
        raise InvariantError(f"V - E + R is {euler}; it is 1 for every subdivision of a polygon")
    loops = (mesh.edges, mesh.face_offsets, mesh.face_halfedges)
    arguments = (mesh.vertices, mesh.radii, *loops, rounding)
    n_unsound = sum(workers.run(count_unsound, n_faces, *arguments, grain=FACE_GRAIN))
    if n_unsound:
        raise InvariantError(f"{n_unsound} of {n_faces} regions are not closed or turned over")


def carry(
    old: Mesh,
    refinement: Refinement,
    values: np.ndarray,
    kinks: np.ndarray,
    carried: np.ndarray,
    workers: Workers,
) -> None:
    """Fill the rows of `carried` that belong to new vertices.

    Parameters
    ----------
    old : Mesh
    refinement : Refinement
        Of `old`, with chords.
    values : ndarray
        (V, H) float64: values of the hinges that cut, at the old vertices.
    kinks : ndarray
        (H, D) float64: what a unit change of slope of each hinge adds to each carried value.
    carried : ndarray
        (V', D) float64, with the rows of the old vertices filled.
    workers : Workers
    """
    raw, targets, cuts, chords = refinement[2:]
    grain = VALUE_GRAIN // carried.shape[1] + 1
    workers.run_balanced(
        carry_along_edges,
        raw.offsets,
        *(old.edges, raw, targets, values, kinks, carried),
        grain=grain,
    )
    workers.run_balanced(
        carry_along_chords,
        chords.offsets,
        *(old.edges, cuts, chords, values, kinks, carried),
        grain=grain,
    )
