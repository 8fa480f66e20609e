"""Removing edges of a mesh, so that the faces on their two sides become one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from splinecam._kernels.arrays import Mesh
from splinecam._kernels.dissolve import (
    ONE_SIDED,
    SOUND,
    STAYS,
    UNUSED,
    number_parts,
    trace_loops,
    unite_faces,
)
from splinecam.cutting.mesh import Shared
from splinecam.errors import InvariantError


class Dissolved(NamedTuple):
    """What is left of a mesh."""

    mesh: Mesh
    shared: Shared
    vertices: np.ndarray
    """(V,) int32: the number of each old vertex, ascending; -1 where it vanished."""


def dissolve(mesh: Mesh, shared: Shared, removed: np.ndarray, kept: np.ndarray) -> Dissolved:
    """Remove inner edges, then every vertex that is left with no edge or with just two.

    Two edges that become one separate the same two regions, so they lie on one line and have the
    same hinges. The new edge has the direction, the label and the shared hinges of the first of
    its pieces. Vertices, edges and faces stay in the old order, faces by the first of their parts
    that has a corner left.

    Parameters
    ----------
    mesh : Mesh
    shared : Shared
        Of its edges.
    removed : ndarray
        (E,) bool, inner edges.
    kept : ndarray
        (V,) bool: vertices that stay with two edges, as the corners of the slice do.

    Returns
    -------
    Dissolved
        If nothing is removed, the mesh as it is.

    Raises
    ------
    InvariantError
        If an outer edge is removed, an edge stays both of whose sides become one region, or a
        region gets a hole.

    Examples
    --------
    >>> import numpy as np
    >>> from splinecam.cutting.mesh import NOTHING_SHARED, polygon_mesh
    >>> square = polygon_mesh(np.array([(0, 0), (1, 0), (1, 1), (0, 1)]))
    >>> halves = square._replace(
    ...     edges=np.array([(0, 1), (1, 2), (2, 3), (3, 0), (0, 2)], np.int32),
    ...     edge_faces=np.array([(0, -1), (0, -1), (1, -1), (1, -1), (1, 0)], np.int32),
    ...     edge_labels=np.array([-1, -2, -3, -4, 7], np.int32),
    ...     widths=np.zeros(5),
    ...     face_offsets=np.array([0, 3, 6], np.int32),
    ...     face_halfedges=np.array([0, 2, 9, 4, 6, 8], np.int32),
    ... )
    >>> whole = dissolve(halves, NOTHING_SHARED, halves.edge_labels == 7, np.ones(4, bool)).mesh
    >>> whole.face_offsets.tolist(), whole.face_halfedges.tolist()
    ([0, 4], [0, 2, 4, 6])
    """
    edges = np.flatnonzero(removed)
    if not len(edges):
        return Dissolved(mesh, shared, np.arange(len(mesh.vertices), dtype=np.int32))
    outer = edges[mesh.edge_faces[edges, 1] < 0]
    if len(outer):
        raise InvariantError(f"edge {outer[0]} is to be removed, but it is an outer one")
    halfedges = 2 * edges.astype(np.int32)
    pairs = np.stack([halfedges, halfedges + np.int32(1)], axis=1)
    return dissolve_pairs(mesh, shared, pairs, np.empty(0, np.int64), kept)


def dissolve_pairs(
    mesh: Mesh, shared: Shared, pairs: np.ndarray, unused: np.ndarray, kept: np.ndarray
) -> Dissolved:
    """Join faces across pairs of half-edges; see `dissolve`.

    Parameters
    ----------
    mesh : Mesh
        It may be in parts that only the pairs connect.
    shared : Shared
    pairs : ndarray
        (n, 2) int32: half-edges that lie on each other in opposite directions, those of an inner
        edge or of two outer ones. Their edges vanish.
    unused : ndarray
        (m,) edges that are in no loop.
    kept : ndarray
        (V,) bool.
    """
    states = np.full(len(mesh.edges), STAYS, np.int32)
    states[pairs[:, 0] >> 1] = states[pairs[:, 1] >> 1] = np.arange(len(pairs))
    states[unused] = UNUSED
    parents = np.arange(len(mesh.face_offsets) - 1, dtype=np.int32)
    n_faces = len(parents) - unite_faces(pairs, mesh.edge_faces, parents)
    vertices = np.empty(len(mesh.vertices), np.int32)
    edges = np.empty(len(mesh.edges), np.int32)
    numbering = (mesh.edges, mesh.edge_faces, states, kept, vertices, edges)
    n_vertices, n_edges, n_halfedges = number_parts(*numbering)
    stay = vertices >= 0
    new = Mesh(
        vertices=mesh.vertices[stay],
        edges=np.empty((n_edges, 2), np.int32),
        edge_faces=np.empty((n_edges, 2), np.int32),
        edge_labels=np.empty(n_edges, np.int32),
        radii=mesh.radii[stay],
        widths=np.empty(n_edges),
        face_offsets=np.empty(n_faces + 1, np.int32),
        face_halfedges=np.empty(n_halfedges, np.int32),
    )
    sources = np.empty(n_edges, np.int32)
    state = trace_loops(mesh, pairs, states, parents, vertices, edges, sources, new)
    if state == ONE_SIDED:
        raise InvariantError("an edge is to stay, but its two sides become one region")
    if state != SOUND or n_vertices - n_edges + n_faces != 1:
        raise InvariantError("the edges that stay do not bound regions without holes")
    return Dissolved(new, _follow(shared, edges, sources), vertices)


def _follow(shared: Shared, edges: np.ndarray, sources: np.ndarray) -> Shared:
    """What the new edges share: the same as the first of their pieces."""
    if not len(shared.edges):
        return shared
    followed = edges[shared.edges]
    first = (followed >= 0) & (sources[followed] == shared.edges)
    return Shared(followed[first].astype(np.int64), shared.codes[first])
