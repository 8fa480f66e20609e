"""Cutting edges: where the zero lines of hinges cross them."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from splinecam._kernels.arrays import JIT
from splinecam._kernels.words import BITS, popcount, trailing_zeros

INSERTION_SORT_LENGTH = 32


@njit(**JIT)
def sort_by_key(keys, payload, start, stop):
    """Sort both arrays on ``start:stop`` by ascending key."""
    if stop - start > INSERTION_SORT_LENGTH:
        order = np.argsort(keys[start:stop])
        keys[start:stop] = keys[start:stop][order]
        payload[start:stop] = payload[start:stop][order]
        return
    for i in range(start + 1, stop):
        key = keys[i]
        item = payload[i]
        j = i - 1
        while j >= start and keys[j] > key:
            keys[j + 1] = keys[j]
            payload[j + 1] = payload[j]
            j -= 1
        keys[j + 1] = key
        payload[j + 1] = item


@njit(**JIT)
def accumulate(offsets):
    """Turn counts, stored one place to the right, into offsets; return the total."""
    total = np.int64(0)
    for i in range(offsets.shape[0]):
        total += offsets[i]
        offsets[i] = total
    return total


@njit(**JIT)
def count_cuts(start, stop, edges, signs, chosen, offsets):
    """How many chosen hinges have different signs at the two ends of each edge."""
    for e in range(start, stop):
        a = edges[e, 0]
        b = edges[e, 1]
        count = 0
        for w in range(signs.shape[1]):
            count += popcount((signs[a, w] ^ signs[b, w]) & chosen[w])
        offsets[e + 1] = count


@njit(**JIT)
def find_cuts(start, stop, edges, signs, values, chosen, cuts):
    """Fill `cuts` for a range of edges, sorted along each edge."""
    for e in range(start, stop):
        k = cuts.offsets[e]
        if k == cuts.offsets[e + 1]:
            continue
        a = edges[e, 0]
        b = edges[e, 1]
        for w in range(signs.shape[1]):
            changed = (signs[a, w] ^ signs[b, w]) & chosen[w]
            while changed != uint64(0):
                bit = trailing_zeros(changed)
                changed &= changed - uint64(1)
                h = w * BITS + bit
                falling = (signs[a, w] >> uint64(bit)) & uint64(1)
                cuts.codes[k] = 2 * h + 1 - np.int64(falling)
                cuts.params[k] = values[a, h] / (values[a, h] - values[b, h])
                cuts.edges[k] = e
                k += 1
        sort_by_key(cuts.params, cuts.codes, cuts.offsets[e], cuts.offsets[e + 1])


@njit(**JIT)
def split_edges(start, stop, old, cuts, new):
    """Write the pieces of old edges, and the vertices between them, into the refined mesh."""
    n_old = old.vertices.shape[0]
    for e in range(start, stop):
        a = old.edges[e, 0]
        b = old.edges[e, 1]
        x = old.vertices[a, 0]
        y = old.vertices[a, 1]
        dx = old.vertices[b, 0] - x
        dy = old.vertices[b, 1] - y
        piece = e + cuts.offsets[e]
        before = a
        for k in range(cuts.offsets[e], cuts.offsets[e + 1]):
            v = n_old + k
            new.vertices[v, 0] = x + cuts.params[k] * dx
            new.vertices[v, 1] = y + cuts.params[k] * dy
            _write_edge(new, piece, before, v, old.edge_labels[e])
            before = v
            piece += 1
        _write_edge(new, piece, before, b, old.edge_labels[e])


@njit(**JIT)
def _write_edge(mesh, edge, origin, target, label):
    mesh.edges[edge, 0] = origin
    mesh.edges[edge, 1] = target
    mesh.edge_faces[edge, 0] = -1
    mesh.edge_faces[edge, 1] = -1
    mesh.edge_labels[edge] = label
