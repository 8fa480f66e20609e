"""The array bundles that kernels exchange, and the way kernels are compiled."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

JIT: dict[str, Any] = {"cache": True, "nogil": True}
"""Compilation options of every kernel."""

INLINED: dict[str, Any] = {**JIT, "inline": "always"}
"""For the parts of a kernel that run once for each face or chord: calls would cost as much."""

CONTRACTED: dict[str, Any] = {**JIT, "fastmath": {"contract"}}
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


class FaceOffsets(NamedTuple):
    """Where each old face's share of the refined mesh begins, each (F + 1,) int64."""

    crossings: np.ndarray  # points where two chords cross: new vertices
    faces: np.ndarray
    edges: np.ndarray  # edges inside the old face
    halfedges: np.ndarray


class Chords(NamedTuple):
    """All chords, with their crossings in order along each.

    A chord is the part of a hinge's zero line inside one face; entries are its crossings.
    """

    offsets: np.ndarray  # (K + 1,) int64: into the entries
    ends: np.ndarray  # (K, 2) int32: vertices
    params: np.ndarray  # (2 X,) float64: position between the chord's ends
    hinges: np.ndarray  # (2 X,) int32: the hinge of the other chord
    vertices: np.ndarray  # (2 X,) int32: the crossing, or -1 where the other chord speaks for it
