"""Taking hinges for zero where all their activations are."""

from __future__ import annotations

from numba import njit, uint64

from splinecam._kernels.arrays import BORROWING
from splinecam._kernels.words import BITS, trailing_zeros


@njit(**BORROWING)
def settle_vanishing(
    start, stop, vertices, zero_units, are_decided, offsets, units, values, signs, unsure, words
):
    """Decide unsure hinges at some vertices (n,) that vanish with their activations.

    Parameters
    ----------
    zero_units : (V, W') words of the units whose activations are zero at each vertex.
    are_decided : (H,) which hinges vanish wherever all units are zero of which they consist.
    offsets, units : for each hinge these units.
    values, signs : of all vertices; those of the decided hinges are set.
    unsure, words : (n, W): the decided hinges are moved from the first to the second.
    """
    for i in range(start, stop):
        v = vertices[i]
        for w in range(unsure.shape[1]):
            left = unsure[i, w]
            while left != uint64(0):
                bit = trailing_zeros(left)
                left &= left - uint64(1)
                h = w * BITS + bit
                vanishes = are_decided[h]
                for k in range(offsets[h], offsets[h + 1]):
                    word = zero_units[v, units[k] // BITS]
                    vanishes &= ((word >> uint64(units[k] % BITS)) & uint64(1)) != uint64(0)
                if vanishes:
                    mask = uint64(1) << uint64(bit)
                    values[v, h] = 0.0
                    signs[v, w] &= ~mask
                    unsure[i, w] &= ~mask
                    words[i, w] |= mask
