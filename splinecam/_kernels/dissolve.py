"""Removing edges: faces become one, and so do two edges that are left alone at a vertex.

Half-edges are removed in pairs, each of which lies on both sides of one line: those of an inner
edge, or two outer edges where two polygons meet. A loop that comes to a removed half-edge goes on
behind its partner.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import INLINED, JIT

SOUND = 0
NO_LOOP = 1
"""A loop does not return, or a face has none or several."""
ONE_SIDED = 2
"""An edge that stays has the same face on both sides."""

STAYS = -1
"""State of an edge that is not removed; of a removed one, its pair."""
UNUSED = -2
"""State of an edge that is in no loop."""


@njit(**INLINED)
def _find(parents, i):
    """The root of a tree, each of which is the least of its members."""
    while parents[i] != i:
        parents[i] = parents[parents[i]]
        i = parents[i]
    return i


@njit(**INLINED)
def _unite(parents, i, j):
    """Join two trees; return whether they were two."""
    a = _find(parents, i)
    b = _find(parents, j)
    parents[max(a, b)] = min(a, b)
    return a != b


@njit(**JIT)
def unite_faces(pairs, edge_faces, parents):
    """Join the faces at both half-edges of each pair; return how many faces there are less."""
    n_less = 0
    for k in range(pairs.shape[0]):
        g = pairs[k, 0]
        h = pairs[k, 1]
        n_less += _unite(parents, edge_faces[g >> 1, g & 1], edge_faces[h >> 1, h & 1])
    return n_less


@njit(**JIT)
def number_parts(edges, edge_faces, states, kept, vertex_numbers, edge_numbers):
    """Number the vertices and edges that are left, in the old order; -1 for those that vanish.

    A vertex stays if it is kept or has other than none or two edges left. Edges that become one
    have the same number. Returns how many vertices, edges and half-edges of loops there are.
    """
    n_ends = np.zeros(kept.shape[0], np.uint8)
    for e in range(edges.shape[0]):
        edge_numbers[e] = e
        if states[e] == STAYS:
            for side in range(2):
                v = edges[e, side]
                n_ends[v] = min(n_ends[v] + 1, 3)  # 3 stands for any more, so odd ones stay
    n_joints = 0
    n_vertices = 0
    for v in range(kept.shape[0]):
        vertex_numbers[v] = -1
        if kept[v] or n_ends[v] & 1:
            vertex_numbers[v] = n_vertices
            n_vertices += 1
        elif n_ends[v] == 2:
            n_joints += 1
    if n_joints:
        _unite_edges(edges, states, vertex_numbers, edge_numbers)
    n_edges = 0
    n_halfedges = 0
    for e in range(edges.shape[0]):
        if states[e] != STAYS:
            edge_numbers[e] = -1
        elif edge_numbers[e] == e:
            edge_numbers[e] = n_edges
            n_edges += 1
            n_halfedges += 1 + (edge_faces[e, 1] >= 0)
        else:  # a lower edge, which has its number already
            edge_numbers[e] = edge_numbers[edge_numbers[e]]
    return n_vertices, n_edges, n_halfedges


@njit(**INLINED)
def _unite_edges(edges, states, vertex_numbers, parents):
    """Join the two edges at each vertex that vanishes."""
    first = np.full(vertex_numbers.shape[0], -1, np.int32)
    for e in range(edges.shape[0]):
        if states[e] == STAYS:
            for side in range(2):
                v = edges[e, side]
                if vertex_numbers[v] < 0:
                    if first[v] < 0:
                        first[v] = e
                    else:
                        _unite(parents, first[v], e)


@njit(**JIT)
def trace_loops(old, pairs, states, parents, vertex_numbers, edge_numbers, sources, new):
    """Write the edges and loops that are left, all but the vertices.

    A face is numbered when the first half-edge of it that stays is met. `parents` are the old
    faces', joined; `sources` takes, for each new edge, the first of the old ones. Returns whether
    all is sound.
    """
    _write_pieces(old, edge_numbers, sources, new)
    places = _find_places(old, pairs, states)
    numbered = np.zeros(parents.shape[0], np.bool_)
    n_faces = 0
    n = 0
    for f in range(parents.shape[0]):
        root = _find(parents, f)
        start = -1 if numbered[root] else _first_corner(f, old, vertex_numbers, edge_numbers)
        if start < 0:
            continue
        if n_faces == new.face_offsets.shape[0] - 1:
            return NO_LOOP
        numbered[root] = True
        new.face_offsets[n_faces] = n
        i = start
        origin = -1
        parity = 0
        while i != start or origin < 0:
            h = old.face_halfedges[i]
            m = edge_numbers[h >> 1]
            v = vertex_numbers[old.edges[h >> 1, h & 1]]
            w = vertex_numbers[old.edges[h >> 1, 1 - (h & 1)]]
            if v >= 0:
                origin = v
            if sources[m] == h >> 1:
                parity = h & 1
            if w >= 0:
                if n == new.face_halfedges.shape[0]:
                    return NO_LOOP
                if new.edge_faces[m, 1 - parity] == n_faces:
                    return ONE_SIDED
                new.edges[m, parity] = origin
                new.edges[m, 1 - parity] = w
                new.edge_faces[m, parity] = n_faces
                new.face_halfedges[n] = 2 * m + parity
                n += 1
            i = _step(i, old, pairs, states, places)
            if i < 0:
                return NO_LOOP
        n_faces += 1
    new.face_offsets[n_faces] = n
    is_full = n == new.face_halfedges.shape[0] and n_faces == new.face_offsets.shape[0] - 1
    return SOUND if is_full else NO_LOOP


@njit(**JIT)
def _write_pieces(old, edge_numbers, sources, new):
    """Write what new edges have from the old ones that they consist of."""
    new.edge_faces[:] = -1
    new.widths[:] = 0.0
    n_edges = 0
    for e in range(old.edges.shape[0]):
        m = edge_numbers[e]
        if m >= 0:
            if m == n_edges:
                sources[m] = e
                new.edge_labels[m] = old.edge_labels[e]
                n_edges += 1
            new.widths[m] = max(new.widths[m], old.widths[e])


@njit(**INLINED)
def _find_places(old, pairs, states):
    """Where the half-edges of each pair are in the loops."""
    places = np.full(pairs.shape, -1, np.int32)
    for i in range(old.face_halfedges.shape[0]):
        h = old.face_halfedges[i]
        k = states[h >> 1]
        if k >= 0:
            places[k, 0 if pairs[k, 0] == h else 1] = i
    return places


@njit(**INLINED)
def _first_corner(face, old, vertex_numbers, edge_numbers):
    """Where, in a face's loop, a half-edge stays and leaves a vertex that stays; or -1."""
    for i in range(old.face_offsets[face], old.face_offsets[face + 1]):
        h = old.face_halfedges[i]
        if edge_numbers[h >> 1] >= 0 and vertex_numbers[old.edges[h >> 1, h & 1]] >= 0:
            return i
    return -1


@njit(**JIT)
def _step(i, old, pairs, states, places):
    """Where the loop goes on after place i; -1 if it does not."""
    n_steps = 0
    while n_steps <= 2 * pairs.shape[0]:
        h = old.face_halfedges[i]
        face = old.edge_faces[h >> 1, h & 1]
        i += 1
        if i == old.face_offsets[face + 1]:
            i = old.face_offsets[face]
        h = old.face_halfedges[i]
        k = states[h >> 1]
        if k == STAYS:
            return i
        i = places[k, 1 if pairs[k, 0] == h else 0]
        if i < 0:
            return -1
        n_steps += 1
    return -1
