"""Numbering a mesh by a walk from face to face."""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import JIT


@njit(**JIT)
def number_by_walk(old, start, n_corners, vertex_numbers, edge_numbers, new):
    """Write the mesh in the order of a breadth-first walk over faces.

    The walk begins with half-edge `start`, goes round each face from the half-edge by which it
    was reached, and visits the neighbours in this order; what it meets is numbered as it comes.
    The first `n_corners` vertices keep their numbers. Returns how many faces were reached.
    """
    n_faces = old.face_offsets.shape[0] - 1
    seen = np.zeros(n_faces, np.bool_)
    entries = np.empty(n_faces, np.int32)  # the half-edges by which faces are reached
    vertex_numbers[:] = -1
    edge_numbers[:] = -1
    new.edge_faces[:] = -1
    for v in range(n_corners):
        vertex_numbers[v] = v
        _copy_vertex(old, v, new, v)
    n_vertices = n_corners
    n_edges = 0
    n = 0
    new.face_offsets[0] = 0
    entries[0] = start
    seen[old.edge_faces[start >> 1, start & 1]] = True
    n_reached = 1
    k = 0
    while k < n_reached:
        face = old.edge_faces[entries[k] >> 1, entries[k] & 1]
        first = old.face_offsets[face]
        size = old.face_offsets[face + 1] - first
        shift = 0
        while old.face_halfedges[first + shift] != entries[k]:
            shift += 1
        for j in range(size):
            i = first + (shift + j) % size
            h = old.face_halfedges[i]
            e = h >> 1
            side = h & 1
            if edge_numbers[e] < 0:
                edge_numbers[e] = n_edges
                for end in (side, 1 - side):
                    v = old.edges[e, end]
                    if vertex_numbers[v] < 0:
                        vertex_numbers[v] = n_vertices
                        _copy_vertex(old, v, new, n_vertices)
                        n_vertices += 1
                    new.edges[n_edges, end] = vertex_numbers[v]
                new.edge_labels[n_edges] = old.edge_labels[e]
                new.widths[n_edges] = old.widths[e]
                n_edges += 1
            m = edge_numbers[e]
            new.edge_faces[m, side] = k
            new.face_halfedges[n] = 2 * m + side
            n += 1
            neighbour = old.edge_faces[e, 1 - side]
            if neighbour >= 0 and not seen[neighbour]:
                seen[neighbour] = True
                entries[n_reached] = h ^ 1
                n_reached += 1
        k += 1
        new.face_offsets[k] = n
    return n_reached


@njit(**JIT)
def _copy_vertex(old, v, new, number):
    new.vertices[number, 0] = old.vertices[v, 0]
    new.vertices[number, 1] = old.vertices[v, 1]
    new.radii[number] = old.radii[v]
