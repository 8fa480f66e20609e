"""Subdividing special faces that have been described and whose crossings are in order.

Crossings at one point are one node. The order of half-edges round a place or a node follows from
the places that they lead to; going from each half-edge to the next gives the faces.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from splinecam._kernels.arrays import JIT


class Nodes(NamedTuple):
    """Crossings joined to nodes, and the nodes along each chord."""

    of_crossing: np.ndarray  # (X,) int32
    crossing: np.ndarray  # (M,) int32: one crossing of each node
    offsets: np.ndarray  # (K + 1,) int32
    along: np.ndarray  # int32


@njit(**JIT)
def join_nodes(offsets, crossings, tied, n_crossings):
    """Join crossings that neighbours along a chord, marked in `tied`, share to nodes."""
    parents = np.arange(n_crossings)
    for i in range(offsets.shape[0] - 1):
        for entry in range(offsets[i] + 1, offsets[i + 1]):
            if tied[entry]:
                a = _root(parents, crossings[entry - 1])
                b = _root(parents, crossings[entry])
                parents[max(a, b)] = min(a, b)
    of_crossing = np.empty(n_crossings, np.int32)
    crossing = np.empty(n_crossings, np.int32)
    n_nodes = 0
    for x in range(n_crossings):
        root = _root(parents, x)
        if root == x:
            of_crossing[x] = n_nodes
            crossing[n_nodes] = x
            n_nodes += 1
        else:
            of_crossing[x] = of_crossing[root]
    along_offsets = np.zeros(offsets.shape[0], np.int32)
    along = np.empty(crossings.shape[0], np.int32)
    n = 0
    for i in range(offsets.shape[0] - 1):
        before = -1
        for entry in range(offsets[i], offsets[i + 1]):
            node = of_crossing[crossings[entry]]
            if node != before:
                along[n] = node
                n += 1
            before = node
        along_offsets[i + 1] = n
    return Nodes(of_crossing, crossing[:n_nodes].copy(), along_offsets, along[:n].copy())


@njit(**JIT)
def _root(parents, x):
    while parents[x] != x:
        x = parents[x]
    return x


@njit(**JIT)
def build_special(face, special, nodes, old, cuts, offsets, label, new):
    """Write the faces, inner edges and nodes that a special face becomes.

    Returns the number of contradictions found: 0.
    """
    n_places = special.places.shape[0]
    n_chords = special.first.shape[0]
    n_edges = n_chords + nodes.along.shape[0]
    first_vertex = old.vertices.shape[0] + cuts.codes.shape[0] + offsets.crossings[face]
    first_edge = old.edges.shape[0] + cuts.codes.shape[0] + offsets.edges[face]
    for m in range(nodes.crossing.shape[0]):
        new.vertices[first_vertex + m] = special.points[nodes.crossing[m]]
        new.radii[first_vertex + m] = special.radii[nodes.crossing[m]]
    halfedges = np.empty(n_places + 2 * n_edges, np.int32)
    halfedges[:n_places] = special.halfedges
    # One row for each half-edge that leaves a place or a node: where from, whereto (the place that
    # its chord reaches in the end, counted from there on), which, and its opposite.
    leaving = np.empty((2 * n_places + 2 * n_edges, 4), np.int64)
    n = 0
    for place in range(n_places):
        leaving[n] = (place, 0, place, -1)
        leaving[n + 1] = (place, n_places, -1, (place - 1) % n_places)
        n += 2
    part = 0
    for i in range(n_chords):
        a = special.first[i]
        b = special.second[i]
        code = special.members[special.member_offsets[i]]
        start = nodes.offsets[i]
        stop = nodes.offsets[i + 1]
        width = special.widths[i]
        for m in range(start, stop):
            width = max(width, special.radii[nodes.crossing[nodes.along[m]]])
        origin = np.int64(a)
        origin_vertex = special.places[a]
        for m in range(start, stop + 1):
            if m < stop:
                target = np.int64(n_places + nodes.along[m])
                target_vertex = first_vertex + nodes.along[m]
            else:
                target = np.int64(b)
                target_vertex = special.places[b]
            along = 2 * (first_edge + part) + (code & 1)
            new.edges[along >> 1, along & 1] = origin_vertex
            new.edges[along >> 1, 1 - (along & 1)] = target_vertex
            new.edge_labels[along >> 1] = label + (code >> 1)
            new.widths[along >> 1] = width
            forward = n_places + 2 * part
            halfedges[forward] = along
            halfedges[forward + 1] = along ^ 1
            leaving[n] = (origin, _turn(origin, b, n_places), forward, forward + 1)
            leaving[n + 1] = (target, _turn(target, a, n_places), forward + 1, forward)
            n += 2
            part += 1
            origin = target
            origin_vertex = target_vertex
    successors = _follow(leaving, n_places)
    return _trace(face, halfedges, successors, offsets, new)


@njit(**JIT)
def _turn(origin, destination, n_places):
    """Order, counter-clockwise, of the half-edge from a place or node towards a place."""
    if origin < n_places:
        return (destination - origin) % n_places
    return destination


@njit(**JIT)
def _follow(leaving, n_places):
    """Which half-edge follows each round the face on its left."""
    count = leaving.shape[0]
    base = n_places + 1
    order = np.argsort(leaving[:, 0] * base + leaving[:, 1])
    successors = np.full(count, -1, np.int32)
    start = 0
    while start < count:
        origin = leaving[order[start], 0]
        stop = start
        while stop < count and leaving[order[stop], 0] == origin:
            stop += 1
        for m in range(start, stop):
            arriving = leaving[order[m], 3]
            if origin < n_places:
                # Between the two sides at a place lies the outside: nothing goes round there.
                if m > start:
                    successors[arriving] = leaving[order[m - 1], 2]
            else:
                successors[arriving] = leaving[order[m - 1 if m > start else stop - 1], 2]
        start = stop
    return successors


@njit(**JIT)
def _trace(face, halfedges, successors, offsets, new):
    number = offsets.faces[face]
    end = offsets.faces[face + 1]
    at = offsets.halfedges[face]
    for seed in range(halfedges.shape[0]):
        if successors[seed] < 0:
            continue
        if number == end:
            return 1
        h = np.int64(seed)
        while successors[h] >= 0:
            new.face_halfedges[at] = halfedges[h]
            new.edge_faces[halfedges[h] >> 1, halfedges[h] & 1] = number
            at += 1
            following = successors[h]
            successors[h] = -1
            h = np.int64(following)
        number += 1
        new.face_offsets[number] = at
    return np.int64(number != end or at != offsets.halfedges[face + 1])


@njit(**JIT)
def record_special(face, special, nodes, old, cuts, offsets, chords):
    """Note chords and their crossings for the carrying of values.

    An entry for every hinge of every chord that crosses; the first chord of a node speaks for it.
    """
    first_vertex = old.vertices.shape[0] + cuts.codes.shape[0] + offsets.crossings[face]
    chord = offsets.chords[face]
    at = offsets.entries[face]
    spoken = np.zeros(nodes.crossing.shape[0], np.bool_)
    for i in range(special.first.shape[0]):
        chords.ends[chord + i, 0] = special.places[special.first[i]]
        chords.ends[chord + i, 1] = special.places[special.second[i]]
        chords.offsets[chord + i] = at
        for entry in range(special.offsets[i], special.offsets[i + 1]):
            x = special.crossings[entry]
            node = nodes.of_crossing[x]
            other = special.upper[x] if special.lower[x] == i else special.lower[x]
            for m in range(special.member_offsets[other], special.member_offsets[other + 1]):
                chords.params[at] = special.params[entry]
                chords.hinges[at] = special.members[m] >> 1
                chords.vertices[at] = -1
                if not spoken[node]:
                    chords.vertices[at] = first_vertex + node
                    spoken[node] = True
                at += 1


@njit(**JIT)
def count_entries(special):
    """How many entries `record_special` writes."""
    count = 0
    for x in range(special.lower.shape[0]):
        for chord in (special.lower[x], special.upper[x]):
            count += special.member_offsets[chord + 1] - special.member_offsets[chord]
    return count
