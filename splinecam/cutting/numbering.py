"""A numbering of meshes that does not depend on how they were made."""

from __future__ import annotations

import numpy as np

from splinecam._kernels.arrays import Mesh
from splinecam._kernels.numbering import number_by_walk
from splinecam.cutting.mesh import Shared
from splinecam.errors import InvariantError


def renumber(mesh: Mesh, shared: Shared) -> tuple[Mesh, Shared]:
    """Number a mesh canonically: meshes of the same structure get the same integer arrays.

    Numbers are given in the order of a breadth-first walk over faces. It begins at the slice's
    corner 0 with the first piece of side 0, which becomes edge 0, and goes round each face from
    the half-edge by which it was reached; there the face's loop begins. The slice's corners stay
    vertices 0 … n - 1. Each edge is labelled with the least of its hinges, and shared hinges
    ascend.

    Parameters
    ----------
    mesh : Mesh
        Its first vertices are the slice's corners, counter-clockwise; outer edges are labelled
        with their sides.
    shared : Shared
        Of its edges, in any order.

    Returns
    -------
    Mesh
    Shared

    Raises
    ------
    InvariantError
        If the corners are not as they should be, or a face cannot be reached.

    Examples
    --------
    >>> import numpy as np
    >>> from splinecam.cutting.mesh import NOTHING_SHARED, polygon_mesh
    >>> triangle = polygon_mesh(np.array([(0, 0), (1, 0), (0, 1)]))
    >>> turned = triangle._replace(face_halfedges=np.array([4, 0, 2], np.int32))
    >>> renumber(turned, NOTHING_SHARED)[0].face_halfedges.tolist()
    [0, 2, 4]
    """
    if len(shared.edges):
        mesh, shared = _label_by_least(mesh, shared)
    n_faces = len(mesh.face_offsets) - 1
    starts = np.flatnonzero((mesh.edges[:, 0] == 0) & (mesh.edge_labels == -1))
    if len(starts) != 1:
        raise InvariantError(f"{len(starts)} pieces of side 0 begin at vertex 0")
    new = Mesh(*map(np.empty_like, mesh))
    vertices = np.empty(len(mesh.vertices), np.int32)
    edges = np.empty(len(mesh.edges), np.int32)
    n_corners = -int(mesh.edge_labels.min())
    n_reached = number_by_walk(mesh, 2 * starts[0], n_corners, vertices, edges, new)
    if n_reached < n_faces:
        raise InvariantError(f"{n_faces - n_reached} of {n_faces} regions are not connected")
    if not len(shared.edges):
        return new, shared
    numbers = edges[shared.edges].astype(np.int64)
    order = np.lexsort([shared.codes, numbers])
    return new, Shared(numbers[order], shared.codes[order])


def _label_by_least(mesh: Mesh, shared: Shared) -> tuple[Mesh, Shared]:
    """Label every edge with the least of its hinges, which is then positive on its left."""
    order = np.lexsort([shared.codes, shared.edges])
    edges, codes = shared.edges[order], shared.codes[order]
    least = np.flatnonzero(np.diff(edges, prepend=-1))
    least = least[codes[least] >> 1 < mesh.edge_labels[edges[least]]]
    if not len(least):
        return mesh, shared
    changed = edges[least]
    turned = np.zeros(len(mesh.edges), bool)
    turned[changed] = codes[least] & 1
    labels = mesh.edge_labels.copy()
    labels[changed] = codes[least] >> 1
    codes[least] = 2 * mesh.edge_labels[changed]
    new = mesh._replace(
        edges=np.where(turned[:, None], mesh.edges[:, ::-1], mesh.edges),
        edge_faces=np.where(turned[:, None], mesh.edge_faces[:, ::-1], mesh.edge_faces),
        edge_labels=labels,
        face_halfedges=mesh.face_halfedges ^ turned[mesh.face_halfedges >> 1],
    )
    return new, Shared(edges, codes ^ turned[edges])
