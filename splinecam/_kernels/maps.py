"""Affine maps of regions from those of their neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, uint8

from splinecam._kernels.arrays import JIT

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
    """Write a range of the next rows, and with the first of them the signs, on children.

    `columns` (parents, 3, D) are the maps to the layer's pre-activations on the parents.
    """
    for child in range(len(steps.parents)):
        before = steps.predecessors[child]
        if before < 0:
            continue
        edge = steps.crossed[child] >> 1
        sign = 1.0 - 2.0 * (steps.crossed[child] & 1)
        at = columns[steps.parents[child]]
        target = spread.columns[child]
        for i in range(3):
            for k in range(start, stop):
                target[i, k] = spread.columns[before, i, k]
        if start == 0:
            for n in range(spread.signs.shape[1]):
                spread.signs[child, n] = spread.signs[before, n]
        hinge = codes.hinges[edge] - hinges.first
        _flip(start, stop, hinge, sign, at, hinges, target, spread.signs[child])
        if len(codes.shared_offsets) > 0:
            for n in range(codes.shared_offsets[edge], codes.shared_offsets[edge + 1]):
                code = codes.shared_codes[n]
                hinge = (code >> 1) - hinges.first
                if 0 <= hinge < len(hinges.units):
                    way = sign * (1.0 - 2.0 * (code & 1))
                    _flip(start, stop, hinge, way, at, hinges, target, spread.signs[child])
        for k in range(start, stop):
            slope = abs(target[0, k]) + abs(target[1, k])
            spread.peaks[child, k] = max(spread.peaks[before, k], slope)
            if slope < LOST * spread.peaks[child, k]:
                spread.is_lost[child] = True


@njit(**JIT)
def _flip(start, stop, hinge, sign, columns, hinges, target, signs):
    """Let a hinge become positive (sign 1), or cease to be (-1)."""
    unit = hinges.units[hinge]
    for i in range(3):
        value = columns[i, unit]
        if i == 2:
            value -= hinges.breakpoints[hinge]
        value *= sign
        for k in range(start, stop):
            target[i, k] += value * hinges.kinks[hinge, k]
    if start == 0:
        signs[hinge >> 3] ^= uint8(128 >> (hinge & 7))
