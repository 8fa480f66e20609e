"""The array bundles that kernels exchange, and the way kernels are compiled."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

JIT: dict[str, Any] = {"cache": True, "nogil": True}
"""Compilation options of every kernel."""

INLINED: dict[str, Any] = {**JIT, "inline": "always"}
"""For the parts of a kernel that run once for each face or chord: calls would cost as much."""

BORROWING: dict[str, Any] = {**JIT, "_nrt": False}
"""For kernels that allocate nothing: they borrow the caller's arrays.

Otherwise each use of a bundle's array in a loop counts references up and down, atomically, which
takes several times as long as the work.
"""

CONTRACTED: dict[str, Any] = {**BORROWING, "fastmath": {"contract"}}
"""For kernels that carry values: a product may be fused with the sum that takes it."""


class Mesh(NamedTuple):
    """A planar subdivision of a convex polygon into convex faces.

    Half-edge ``2 e`` runs along edge ``e`` and has the face left of the edge on its left;
    half-edge ``2 e + 1`` runs against it. An interior edge lies on the zero line of a hinge (a
    unit at one of its breakpoints) and is directed so that the hinge is positive on its left; an
    outer edge has the polygon on its left.
    """

    vertices: np.ndarray  # (V, 2) float64
    edges: np.ndarray  # (E, 2) int32: the vertices it runs from and to
    edge_faces: np.ndarray  # (E, 2) int32: the faces left and right; -1 outside the polygon
    edge_labels: np.ndarray  # (E,) int32: the hinge that made it, or -1 - (side of the polygon)
    radii: np.ndarray  # (V,) float64: how far a stored vertex is from the true one at most
    widths: np.ndarray  # (E,) float64: how far an edge's true line is from the stored one at most
    face_offsets: np.ndarray  # (F + 1,) int32: into face_halfedges
    face_halfedges: np.ndarray  # counter-clockwise loops, int32


class Cuts(NamedTuple):
    """Where hinges cut edges, edge by edge, in order along each edge.

    Cut ``k`` becomes vertex ``V + k`` of the refined mesh.
    """

    offsets: np.ndarray  # (E + 1,) int64: into the arrays below
    codes: np.ndarray  # (C,) int32: 2 * hinge + (1 where the hinge rises along the edge)
    params: np.ndarray  # (C,) float64: position between the edge's ends, 0 to 1
    edges: np.ndarray  # (C,) int32
    slacks: np.ndarray  # (C,) float64: error of params at most
    doubts: np.ndarray  # (C,) float64: error of the hinge's value along the edge at most
    slopes: np.ndarray  # (C,) float64: by how much the hinge's value changes per unit of length


class Bounds(NamedTuple):
    """How far the float64 values of hinges may be from the true ones: `reach` × distance + `noise`.

    The distance is that of the point where the value is taken from the true one.
    """

    reach: np.ndarray  # (H,) float64: Lipschitz constant on the slice at most
    noise: np.ndarray  # (H,) float64


class Zeros(NamedTuple):
    """Which hinges vanish exactly at which vertices; both arrays are empty if none does."""

    rows: np.ndarray  # (V,) int32: the vertex's row in `words`, or -1
    words: np.ndarray  # (n, W) uint64


class FaceSigns(NamedTuple):
    """Which hinges are positive, and which negative, at some corner of each face."""

    positive: np.ndarray  # (F, W) uint64
    negative: np.ndarray  # (F, W) uint64


class FaceOffsets(NamedTuple):
    """Where each old face's share of the refinement begins, each (F + 1,) int64."""

    crossings: np.ndarray  # points where two chords cross: new vertices
    faces: np.ndarray
    edges: np.ndarray  # edges inside the old face
    halfedges: np.ndarray
    chords: np.ndarray
    entries: np.ndarray  # of crossings along chords


class Chords(NamedTuple):
    """All chords, with their crossings in order along each.

    A chord is the part of a hinge's zero line inside one face; entries are its crossings.
    """

    offsets: np.ndarray  # (K + 1,) int64: into the entries
    ends: np.ndarray  # (K, 2) int32: vertices
    params: np.ndarray  # float64: position between the chord's ends
    hinges: np.ndarray  # int32: the hinge of the other chord
    vertices: np.ndarray  # int32: the crossing, or -1 where another entry speaks for it
