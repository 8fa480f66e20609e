"""Affine maps of regions from those of their neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, uint8

from splinecam._kernels.arrays import JIT

STRIP = 512
"""Rows that one thread writes together, at least."""

LOST = 2.0**-10
"""Slopes so much smaller than those that they came from have lost too many digits."""


class Hinges(NamedTuple):
    """The hinges of one layer and what the next rows take from them."""

    first: int  # number of the layer's first hinge, counted through the network
    units: np.ndarray  # (H,) int64, within the layer
    breakpoints: np.ndarray  # (H,) float64
    kinks: np.ndarray  # (H, K) float64: what each adds to the next rows where it is positive


class EdgeCodes(NamedTuple):
    """The hinges of all edges."""

    hinges: np.ndarray  # (E,) int32: positive on the left; -1 on the boundary
    shared_offsets: np.ndarray  # (E + 1,) int64: into the array below; empty if there are none
    shared_codes: np.ndarray  # int64: 2 h, or 2 h + 1 where h is positive on the right


class Steps(NamedTuple):
    """How children of regions are reached, along trees."""

    parents: np.ndarray  # (n,): the place of each child's parent
    predecessors: np.ndarray  # (n,): the place of the tree's node before; -1: it is known
    crossed: np.ndarray  # (n,): the edge between: 2 e to its left, 2 e + 1 to its right


class Spread(NamedTuple):
    """Maps to the next rows, and what led there."""

    columns: np.ndarray  # (n, 3, K): derivatives along u and v, and values at the origin
    peaks: np.ndarray  # (n, K): largest slopes on the way from the tree's root
    signs: np.ndarray  # (n, B) uint8: bit 7 - h % 8 of byte h // 8: whether hinge h is positive
    is_lost: np.ndarray  # (n,) bool: whether rounding on the way left too few digits


@njit(**JIT)
def spread_maps(start, stop, steps, columns, hinges, codes, spread):
    """Write a range of strips of rows, and with the first strip the signs, on children.

    `columns` (parents, 3, D) are the maps to the layer's pre-activations on the parents.
    """
    first_row = start * STRIP
    rows = (first_row, min(stop * STRIP, spread.peaks.shape[1]))
    for child in range(len(steps.parents)):
        before = steps.predecessors[child]
        if before < 0:
            continue
        edge = steps.crossed[child] >> 1
        sign = 1.0 - 2.0 * (steps.crossed[child] & 1)
        at = columns[steps.parents[child]]
        source = spread.columns[before]
        target = spread.columns[child]
        hinge = codes.hinges[edge] - hinges.first
        _add_kink(rows, hinge, sign, at, hinges, source, target)
        if first_row == 0:
            for n in range(spread.signs.shape[1]):
                spread.signs[child, n] = spread.signs[before, n]
            _flip(spread.signs[child], hinge)
        if len(codes.shared_offsets) > 0:
            for n in range(codes.shared_offsets[edge], codes.shared_offsets[edge + 1]):
                code = codes.shared_codes[n]
                hinge = (code >> 1) - hinges.first
                if 0 <= hinge < len(hinges.units):
                    way = sign * (1.0 - 2.0 * (code & 1))
                    _add_kink(rows, hinge, way, at, hinges, target, target)
                    if first_row == 0:
                        _flip(spread.signs[child], hinge)
        if _note_peaks(rows, target, spread.peaks[before], spread.peaks[child]):
            spread.is_lost[child] = True


@njit(**JIT)
def _add_kink(rows, hinge, sign, columns, hinges, source, target):
    """Write maps where a hinge has become positive (sign 1), or has ceased to be (-1)."""
    unit = hinges.units[hinge]
    along_u = sign * columns[0, unit]
    along_v = sign * columns[1, unit]
    at_origin = sign * (columns[2, unit] - hinges.breakpoints[hinge])
    kinks = hinges.kinks[hinge]
    for k in range(rows[0], rows[1]):
        target[0, k] = source[0, k] + along_u * kinks[k]
        target[1, k] = source[1, k] + along_v * kinks[k]
        target[2, k] = source[2, k] + at_origin * kinks[k]


@njit(**JIT)
def _note_peaks(rows, columns, before, peaks):
    """Write the largest slopes on the way; return how many slopes are lost beside them."""
    n_lost = 0
    for k in range(rows[0], rows[1]):
        slope = abs(columns[0, k]) + abs(columns[1, k])
        peak = before[k] if before[k] > slope else slope
        peaks[k] = peak
        n_lost += slope < LOST * peak
    return n_lost


@njit(**JIT)
def _flip(signs, hinge):
    signs[hinge >> 3] ^= uint8(128 >> (hinge & 7))
