"""The planar subdivision and its primitive: refining it by the zero lines of hinges.

A *hinge* is a unit at one of its breakpoints; on every face it is an affine function whose sign
says on which side of the breakpoint the unit is. `plan` finds where hinges cut the edges and how
much every face becomes; `refine` makes the refined mesh; `carry` brings values that are known at
the old vertices to the new ones.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from splinecam._kernels.arrays import Chords, Cuts, FaceOffsets, Mesh
from splinecam._kernels.carry import carry_along_chords, carry_along_edges
from splinecam._kernels.edges import count_cuts, find_cuts, split_edges
from splinecam._kernels.faces import build_faces, count_faces
from splinecam._kernels.loops import count_unsound
from splinecam._kernels.refine import (
    accumulate_counts,
    empty_chords,
    empty_cuts,
    empty_mesh,
    plan_serially,
    refine_serially,
    zero_counts,
)
from splinecam._kernels.words import pack_signs
from splinecam._workers import Workers
from splinecam.errors import InvariantError

SMALL = 4096
"""Meshes with fewer edges, or refinements with fewer half-edges, are not worth several threads."""

EDGE_GRAIN = 8192
"""Least number of edges that is worth a range of its own."""

FACE_GRAIN = 4096
"""Least number of half-edges of faces that is worth a range of its own."""

VALUE_GRAIN = 65536
"""Least number of values, at vertices, that is worth a range of its own."""


class Plan(NamedTuple):
    """A refinement before it is carried out: its exact size is known."""

    cuts: Cuts
    offsets: FaceOffsets

    @property
    def n_faces(self) -> int:
        """Faces of the refined mesh."""
        return int(self.offsets.faces[-1])

    @property
    def n_halfedges(self) -> int:
        """Half-edges of the refined mesh."""
        return int(self.offsets.halfedges[-1])


class Refinement(NamedTuple):
    """A refined mesh and how its new vertices lie on the old one."""

    mesh: Mesh
    cuts: Cuts
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
        face_offsets=np.array([0, n], np.int32),
        face_halfedges=2 * corners,
    )


def check_mesh(mesh: Mesh, workers: Workers) -> None:
    """Raise `InvariantError` unless loops are closed, areas positive and Euler's formula holds."""
    n_faces = len(mesh.face_offsets) - 1
    euler = len(mesh.vertices) - len(mesh.edges) + n_faces
    if euler != 1:
        raise InvariantError(f"V - E + R is {euler}; it is 1 for every subdivision of a polygon")
    loops = (mesh.vertices, mesh.edges, mesh.face_offsets, mesh.face_halfedges)
    n_unsound = sum(workers.run(count_unsound, n_faces, *loops, grain=FACE_GRAIN))
    if n_unsound:
        raise InvariantError(
            f"{n_unsound} of {n_faces} regions have no positive area in float64: "
            "the network is degenerate on this slice"
        )


def plan(mesh: Mesh, values: np.ndarray, chosen: np.ndarray, workers: Workers) -> Plan:
    """Find where hinges cut the mesh.

    Parameters
    ----------
    mesh : Mesh
    values : ndarray
        (V, hinges) float64: the hinges' values at the vertices.
    chosen : ndarray
        (words,) uint64: the hinges that may cut.
    workers : Workers
    """
    n_edges = len(mesh.edges)
    if n_edges < SMALL:
        return Plan(*plan_serially(mesh, values, chosen))
    signs = np.empty((len(values), len(chosen)), np.uint64)
    workers.run(pack_signs, len(values), values, signs, grain=VALUE_GRAIN // values.shape[1] + 1)
    edge_offsets = np.zeros(n_edges + 1, np.int64)
    workers.run(count_cuts, n_edges, mesh.edges, signs, chosen, edge_offsets, grain=EDGE_GRAIN)
    cuts = empty_cuts(edge_offsets)
    workers.run(find_cuts, n_edges, mesh.edges, signs, values, chosen, cuts, grain=EDGE_GRAIN)
    offsets = zero_counts(len(mesh.face_offsets) - 1)
    workers.run_balanced(
        count_faces, mesh.face_offsets, mesh, cuts, values.shape[1], offsets, grain=FACE_GRAIN
    )
    accumulate_counts(offsets)
    return Plan(cuts, offsets)


def refine(
    mesh: Mesh, plan: Plan, n_hinges: int, label: int, workers: Workers, *, with_chords: bool
) -> Refinement:
    """Cut the mesh as planned.

    Parameters
    ----------
    mesh : Mesh
    plan : Plan
    n_hinges : int
        How many hinges there were to choose from.
    label : int
        The label of hinge 0; new edges are labelled with their hinge.
    workers : Workers
    with_chords : bool
        Whether values are to be carried afterwards.

    Raises
    ------
    InvariantError
        Where float64 coordinates contradict the order of the crossings.
    """
    cuts, offsets = plan
    if plan.n_halfedges < SMALL:
        new, chords, n_wrong = refine_serially(mesh, cuts, offsets, n_hinges, label, with_chords)
    else:
        new = empty_mesh(mesh, cuts, offsets)
        chords = empty_chords(offsets, with_chords)
        workers.run(split_edges, len(mesh.edges), mesh, cuts, new, grain=EDGE_GRAIN)
        n_wrong = sum(
            workers.run_balanced(
                build_faces,
                offsets.halfedges,
                *(mesh, cuts, offsets, n_hinges, label, new, chords, with_chords),
                grain=FACE_GRAIN,
            )
        )
    if n_wrong:
        raise InvariantError(
            f"{n_wrong} crossings of unit boundaries cannot be ordered in float64: "
            "the network is degenerate on this slice"
        )
    return Refinement(new, cuts, chords)


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
    _, cuts, chords = refinement
    width = carried.shape[1]
    grain = VALUE_GRAIN // width + 1
    workers.run_balanced(
        carry_along_edges, cuts.offsets, old.edges, cuts, values, kinks, carried, grain=grain
    )
    workers.run_balanced(
        carry_along_chords,
        chords.offsets,
        *(old.edges, cuts, chords, values, kinks, carried),
        grain=grain,
    )
