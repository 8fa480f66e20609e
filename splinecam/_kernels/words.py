"""Sets of hinges as machine words, and the packing of signs into them."""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import njit, types, uint64
from numba.extending import intrinsic

from splinecam._kernels.arrays import BORROWING, JIT

BITS = 64


@intrinsic
def popcount(typing_context, word):
    """Count the set bits of a word."""

    def generate(context, builder, signature, arguments):
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@intrinsic
def trailing_zeros(typing_context, word):
    """Count the zero bits below the lowest set bit of a word that is not zero."""

    def generate(context, builder, signature, arguments):
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


def n_words(n_hinges: int) -> int:
    """How many words hold one bit for each hinge."""
    return -(-n_hinges // BITS)


def pack_set(members: np.ndarray) -> np.ndarray:
    """Pack a boolean mask over hinges into words."""
    padded = np.zeros(n_words(len(members)) * BITS, bool)
    padded[: len(members)] = members
    return np.packbits(padded, bitorder="little").view(np.uint64)


def unpack_set(words: np.ndarray, n_hinges: int) -> np.ndarray:
    """Unpack words into a boolean mask over hinges."""
    return np.unpackbits(words.view(np.uint8), bitorder="little", count=n_hinges).astype(bool)


@njit(**JIT)
def sign_limits(bounds, chosen, usual_radius):
    """Bounds (H,) of the hinges' values at `usual_radius`; -1 for those that are not chosen."""
    n_hinges = bounds.reach.shape[0]
    limits = np.full(n_hinges, -1.0)
    for h in range(n_hinges):
        if (chosen[h // BITS] >> uint64(h % BITS)) & uint64(1):
            limits[h] = bounds.reach[h] * usual_radius + bounds.noise[h]
    return limits


@njit(**BORROWING)
def pack_signs(start, stop, values, radii, bounds, limits, usual_radius, signs, counts):
    """Set bit h of row v where ``values[v, h] > 0``; count the signs that rounding leaves open.

    `limits` (H,) are those of `sign_limits`, so that most vertices need one comparison for each
    hinge; a negative limit takes a hinge out of the count. Both are done in one pass because
    reading the values takes longer.
    """
    n_hinges = values.shape[1]
    for v in range(start, stop):
        hits = radii[v] > usual_radius
        for w in range(signs.shape[1]):
            first = w * BITS
            word = uint64(0)
            if first + BITS <= n_hinges:
                for b in range(BITS):
                    word |= uint64(values[v, first + b] > 0.0) << uint64(b)
                    hits |= abs(values[v, first + b]) <= limits[first + b]
            else:
                for b in range(n_hinges - first):
                    word |= uint64(values[v, first + b] > 0.0) << uint64(b)
                    hits |= abs(values[v, first + b]) <= limits[first + b]
            signs[v, w] = word
        counts[v] = 0
        if hits:
            for h in range(n_hinges):
                if limits[h] >= 0.0:
                    bound = bounds.reach[h] * radii[v] + bounds.noise[h]
                    counts[v] += not (abs(values[v, h]) > bound)


@njit(**BORROWING)
def mark_unsure(start, stop, vertices, values, radii, bounds, limits, unsure):
    """Write words of the hinges whose signs rounding leaves open, for some vertices (n,)."""
    n_hinges = values.shape[1]
    for i in range(start, stop):
        v = vertices[i]
        for w in range(unsure.shape[1]):
            word = uint64(0)
            for h in range(w * BITS, min((w + 1) * BITS, n_hinges)):
                bound = bounds.reach[h] * radii[v] + bounds.noise[h]
                is_open = limits[h] >= 0.0 and not abs(values[v, h]) > bound
                word |= uint64(is_open) << uint64(h % BITS)
            unsure[i, w] = word
