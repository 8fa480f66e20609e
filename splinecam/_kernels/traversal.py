"""Walking from region to region across edges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from splinecam._kernels.arrays import JIT
from splinecam._kernels.words import BITS, trailing_zeros


class Flips(NamedTuple):
    """Which units change across edges, and how, going from right to left.

    The first unit of an edge rises by one; the others, of which few edges have any, rise or fall.
    """

    units: np.ndarray  # (E,) int32: counted through the network; -1 on the boundary
    shared_offsets: np.ndarray  # (E + 1,) int64: into the arrays below; empty if there are none
    shared_units: np.ndarray  # int32
    shared_steps: np.ndarray  # int8: 1 or -1


@njit(**JIT)
def _cross(pattern, halfedge, flips):
    """Change the pattern of the region left of a half-edge to that of the region on its right."""
    edge = halfedge >> 1
    step = 2 * (halfedge & 1) - 1
    pattern[flips.units[edge]] += step
    if flips.shared_offsets.shape[0] > 0:
        for i in range(flips.shared_offsets[edge], flips.shared_offsets[edge + 1]):
            pattern[flips.shared_units[i]] += step * flips.shared_steps[i]


@njit(**JIT)
def collect_patterns(root, pattern, offsets, halfedges, edge_regions, flips, rows, patterns, first):
    """Write the activation patterns of wanted regions, from unit `first` on.

    Walks a depth-first spanning tree from region `root`, keeping the pattern of the current region
    in `pattern` (in: the root's) and changing it by what flips across each edge. `rows` holds, for
    each region, its row in `patterns`, or -1 where it is not wanted.
    """
    n_regions = offsets.shape[0] - 1
    entered = np.full(n_regions, -2, np.int32)  # the half-edge by which a region was entered
    cursors = offsets[:-1].copy()
    entered[root] = -1
    region = root
    if rows[root] >= 0:
        patterns[rows[root]] = pattern[first : first + patterns.shape[1]]
    while True:
        if cursors[region] == offsets[region + 1]:
            back = entered[region]
            if back < 0:
                return
            _cross(pattern, back, flips)
            region = edge_regions[back >> 1, 1 - (back & 1)]
            continue
        h = halfedges[cursors[region]]
        cursors[region] += 1
        neighbour = edge_regions[h >> 1, 1 - (h & 1)]
        if neighbour < 0 or entered[neighbour] != -2:
            continue
        _cross(pattern, h, flips)
        entered[neighbour] = h ^ 1
        region = neighbour
        if rows[region] >= 0:
            patterns[rows[region]] = pattern[first : first + patterns.shape[1]]


@njit(**JIT)
def incident_edges(wanted, edges, found):
    """List up to ``found.shape[1]`` edges at each wanted vertex; -1 where there are fewer.

    `wanted` holds, for each vertex, its row in `found`, or -1.
    """
    found[:] = -1
    for e in range(edges.shape[0]):
        for side in range(2):
            row = wanted[edges[e, side]]
            if row >= 0:
                for i in range(found.shape[1]):
                    if found[row, i] < 0:
                        found[row, i] = e
                        break


@njit(**JIT)
def vanishing_edges(mesh, signs, zeros, found, hinges):
    """List the inner edges along which a hinge vanishes while its sign differs on the two sides.

    Writes edges and hinges (2 h + 1 where it is positive on the right) as far as there is room,
    and returns how many there are.
    """
    count = 0
    for e in range(mesh.edges.shape[0]):
        a = zeros.rows[mesh.edges[e, 0]]
        b = zeros.rows[mesh.edges[e, 1]]
        if a < 0 or b < 0 or mesh.edge_faces[e, 1] < 0:
            continue
        for w in range(zeros.words.shape[1]):
            both = zeros.words[a, w] & zeros.words[b, w]
            if both == uint64(0):
                continue
            left = _positive_word(mesh, mesh.edge_faces[e, 0], w, signs, zeros)
            right = _positive_word(mesh, mesh.edge_faces[e, 1], w, signs, zeros)
            both &= left ^ right
            while both != uint64(0):
                bit = trailing_zeros(both)
                both &= both - uint64(1)
                if count < found.shape[0]:
                    found[count] = e
                    hinges[count] = 2 * (w * BITS + bit) + ((right >> uint64(bit)) & uint64(1))
                count += 1
    return count


@njit(**JIT)
def _positive_word(mesh, face, w, signs, zeros):
    """Word of the hinges that are positive at a corner of a face."""
    word = uint64(0)
    for i in range(mesh.face_offsets[face], mesh.face_offsets[face + 1]):
        h = mesh.face_halfedges[i]
        v = mesh.edges[h >> 1, h & 1]
        positive = signs[v, w]
        if zeros.rows[v] >= 0:
            positive &= ~zeros.words[zeros.rows[v], w]
        word |= positive
    return word
