"""Walking along the sides of polygons that a mesh consists of."""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import JIT


@njit(**JIT)
def follow_sides(mesh, starts, stops, labels, offsets, pieces):
    """List the outer edges on each side of polygons, in their direction.

    Side ``k`` runs from vertex ``starts[k]`` to ``stops[k]`` and its edges have label
    ``labels[k]``. Fills `offsets` and, as far as they say, `pieces`; returns the first side that
    is not a chain of such edges, or the number of sides.
    """
    leaving = np.full(mesh.vertices.shape[0], -1, np.int32)
    for e in range(mesh.edges.shape[0]):
        if mesh.edge_faces[e, 1] < 0:
            leaving[mesh.edges[e, 0]] = e
    n = 0
    offsets[0] = 0
    for k in range(starts.shape[0]):
        v = starts[k]
        while v != stops[k]:
            e = leaving[v]
            if e < 0 or mesh.edge_labels[e] != labels[k] or n == pieces.shape[0]:
                return k
            pieces[n] = e
            n += 1
            v = mesh.edges[e, 1]
        offsets[k + 1] = n
    return starts.shape[0]
