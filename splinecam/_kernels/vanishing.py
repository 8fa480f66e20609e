"""Hinges that vanish: with their activations, and along edges."""

from __future__ import annotations

import numpy as np
from numba import njit, uint64

from splinecam._kernels.arrays import BORROWING
from splinecam._kernels.words import BITS, trailing_zeros


@njit(**BORROWING)
def find_supported(start, stop, vertices, zero_units, are_pure, offsets, units, unsure, words):
    """Find unsure hinges at some vertices (n,) that vanish with all their activations.

    Parameters
    ----------
    zero_units : (V, W') words of the units whose activations are zero at each vertex.
    are_pure : (H,) which hinges consist of activations only.
    offsets, units : which these are, for each hinge.
    unsure : (n, W).
    words : (n, W), zeros; those that vanish are added.
    """
    for i in range(start, stop):
        v = vertices[i]
        for w in range(unsure.shape[1]):
            left = unsure[i, w]
            while left != uint64(0):
                bit = trailing_zeros(left)
                left &= left - uint64(1)
                h = w * BITS + bit
                vanishes = are_pure[h]
                for k in range(offsets[h], offsets[h + 1]):
                    word = zero_units[v, units[k] // BITS]
                    vanishes &= ((word >> uint64(units[k] % BITS)) & uint64(1)) != uint64(0)
                words[i, w] |= uint64(vanishes) << uint64(bit)


@njit(**BORROWING)
def clear_hinges(vertices, words, values, signs, unsure):
    """Set hinges, given as words (n, W) at some vertices (n,), to zero and take them for sure."""
    for i in range(vertices.shape[0]):
        v = vertices[i]
        for w in range(words.shape[1]):
            left = words[i, w]
            signs[v, w] &= ~left
            unsure[i, w] &= ~left
            while left != uint64(0):
                values[v, w * BITS + trailing_zeros(left)] = 0.0
                left &= left - uint64(1)


@njit(**BORROWING)
def collect_signs(start, stop, mesh, signs, zeros, faces):
    """Fill `FaceSigns` for a range of faces."""
    for f in range(start, stop):
        for w in range(signs.shape[1]):
            positive = uint64(0)
            negative = uint64(0)
            for i in range(mesh.face_offsets[f], mesh.face_offsets[f + 1]):
                h = mesh.face_halfedges[i]
                corner = mesh.edges[h >> 1, h & 1]
                row = zeros.rows[corner]
                zero = zeros.words[row, w] if row >= 0 else uint64(0)
                positive |= signs[corner, w] & ~zero
                negative |= ~(signs[corner, w] | zero)
            faces.positive[f, w] = positive
            faces.negative[f, w] = negative


@njit(**BORROWING)
def vanishing_edges(mesh, faces, zeros, chosen, found, hinges, sides):
    """List the edges along which a chosen hinge vanishes while its signs beside differ.

    Writes edges, hinges and the signs on the left and on the right, as far as there is room, and
    returns how many there are. A sign is 0 where the hinge vanishes on the whole face, and right of
    outer edges.
    """
    count = 0
    for e in range(mesh.edges.shape[0]):
        a = zeros.rows[mesh.edges[e, 0]]
        b = zeros.rows[mesh.edges[e, 1]]
        left = mesh.edge_faces[e, 0]
        right = mesh.edge_faces[e, 1]
        if a < 0 or b < 0:
            continue
        for w in range(zeros.words.shape[1]):
            both = zeros.words[a, w] & zeros.words[b, w] & chosen[w]
            positive, negative = faces.positive[left, w], faces.negative[left, w]
            if right >= 0:
                positive ^= faces.positive[right, w]
                negative ^= faces.negative[right, w]
            both &= positive | negative
            while both != uint64(0):
                bit = uint64(trailing_zeros(both))
                both &= both - uint64(1)
                if count < found.shape[0]:
                    found[count] = e
                    hinges[count] = w * BITS + np.int64(bit)
                    for side in range(2):
                        f = mesh.edge_faces[e, side]
                        sides[count, side] = _sign_on(faces, f, w, bit) if f >= 0 else 0
                count += 1
    return count


@njit(**BORROWING)
def _sign_on(faces, face, word, bit):
    """The sign of a hinge on a face."""
    positive = (faces.positive[face, word] >> bit) & uint64(1)
    negative = (faces.negative[face, word] >> bit) & uint64(1)
    return np.int64(positive) - np.int64(negative)
