"""Subdividing special faces: crossings joined to nodes, and the faces between them.

The order of half-edges round a place or a node follows from the places that they lead to.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numba.extending import register_jitable

from splinecam._kernels.arrays import JIT
from splinecam._kernels.special import Crossings, Outlines, special_face


class Nodes(NamedTuple):
    """Crossings joined to nodes, and the nodes along each chord, of several special faces.

    A face has as much room for nodes as it has crossings, and as much along its chords as it has
    entries.
    """

    counts: np.ndarray  # (n,) int64: nodes of each face
    of_crossing: np.ndarray  # int32: the node of each crossing
    crossing: np.ndarray  # int32: one crossing of each node
    offsets: np.ndarray  # int32: as many as in `Outlines.member_offsets`
    along: np.ndarray  # int32


class FaceNodes(NamedTuple):
    """The nodes of one special face."""

    of_crossing: np.ndarray  # (X,) int32
    crossing: np.ndarray  # (M,) int32
    offsets: np.ndarray  # (K + 1,) int32
    along: np.ndarray  # int32


@register_jitable
def face_nodes(outlines: Outlines, crossings: Crossings, nodes: Nodes, i: int) -> FaceNodes:
    """The parts that belong to special face number `i`; not copied."""
    c, n_chords = outlines.chord_starts[i] + i, outlines.n_chords[i]
    x, y = crossings.starts[i], crossings.starts[i + 1]
    offsets = nodes.offsets[c : c + n_chords + 1]
    return FaceNodes(
        nodes.of_crossing[x:y],
        nodes.crossing[x : x + nodes.counts[i]],
        offsets,
        nodes.along[2 * x : 2 * x + offsets[n_chords]],
    )


@njit(**JIT)
def join_special(start, stop, outlines, crossings, tied, nodes, counts):
    """Join crossings that neighbours along a chord, marked in `tied`, share to nodes.

    Also counts, for a range of special faces, what they become, as `count_faces` does.
    """
    for i in range(start, stop):
        special = special_face(outlines, crossings, i)
        c = outlines.chord_starts[i] + i
        x = crossings.starts[i]
        y = crossings.starts[i + 1]
        nodes.counts[i] = _join_crossings(
            special, tied[2 * x : 2 * y], nodes.of_crossing[x:y], nodes.crossing[x:y]
        )
        offsets = nodes.offsets[c : c + special.first.shape[0] + 1]
        n_along = _list_along(special, nodes.of_crossing[x:y], offsets, nodes.along[2 * x : 2 * y])
        f = outlines.faces[i] + 1
        n_edges = special.first.shape[0] + n_along
        counts.crossings[f] = nodes.counts[i]
        counts.faces[f] = 1 + n_edges - nodes.counts[i]
        counts.edges[f] = n_edges
        counts.halfedges[f] = special.places.shape[0] + 2 * n_edges
        counts.chords[f] = special.first.shape[0]
        counts.entries[f] = _count_entries(special)


@njit(**JIT)
def _join_crossings(special, tied, of_crossing, crossing):
    """Number the nodes; return how many there are."""
    n_crossings = of_crossing.shape[0]
    parents = np.arange(n_crossings)
    for i in range(special.offsets.shape[0] - 1):
        for entry in range(special.offsets[i] + 1, special.offsets[i + 1]):
            if tied[entry]:
                a = _root(parents, special.crossings[entry - 1])
                b = _root(parents, special.crossings[entry])
                parents[max(a, b)] = min(a, b)
    n_nodes = 0
    for x in range(n_crossings):
        root = _root(parents, x)
        if root == x:
            of_crossing[x] = n_nodes
            crossing[n_nodes] = x
            n_nodes += 1
        else:
            of_crossing[x] = of_crossing[root]
    return n_nodes


@njit(**JIT)
def _list_along(special, of_crossing, offsets, along):
    """Write the nodes along each chord; return how many there are in all."""
    offsets[0] = 0
    n = 0
    for i in range(special.offsets.shape[0] - 1):
        before = -1
        for entry in range(special.offsets[i], special.offsets[i + 1]):
            node = of_crossing[special.crossings[entry]]
            if node != before:
                along[n] = node
                n += 1
            before = node
        offsets[i + 1] = n
    return n


@njit(**JIT)
def _root(parents, x):
    while parents[x] != x:
        x = parents[x]
    return x


@njit(**JIT)
def _count_entries(special):
    """How many entries `record_special` writes."""
    count = 0
    for x in range(special.lower.shape[0]):
        for chord in (special.lower[x], special.upper[x]):
            count += special.member_offsets[chord + 1] - special.member_offsets[chord]
    return count


@njit(**JIT)
def build_special(start, stop, outlines, crossings, nodes, old, cuts, offsets, label, new):
    """Write the faces, inner edges and nodes that a range of special faces becomes.

    Returns the first face that contradicts itself, or -1.
    """
    for i in range(start, stop):
        special = special_face(outlines, crossings, i)
        own = face_nodes(outlines, crossings, nodes, i)
        if _build(outlines.faces[i], special, own, old, cuts, offsets, label, new):
            return outlines.faces[i]
    return np.int64(-1)


@njit(**JIT)
def _build(face, special, nodes, old, cuts, offsets, label, new):
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
def record_special(start, stop, outlines, crossings, nodes, old, cuts, offsets, chords):
    """Note chords and their crossings for the carrying of values.

    An entry for every hinge of every chord that crosses; the first chord of a node speaks for it.
    """
    for i in range(start, stop):
        special = special_face(outlines, crossings, i)
        own = face_nodes(outlines, crossings, nodes, i)
        _record(outlines.faces[i], special, own, old, cuts, offsets, chords)


@njit(**JIT)
def _record(face, special, nodes, old, cuts, offsets, chords):
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
