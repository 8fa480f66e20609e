"""Affine maps of regions from those of their neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from splinecam._kernels.arrays import JIT


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


@njit(**JIT)
def spread_maps(start, stop, parents, predecessors, crossed, columns, hinges, codes, spread):
    """Write a range of the next rows' maps on children of regions, along trees.

    Parameters
    ----------
    parents : (n,), the place in `columns` of each child's parent.
    predecessors : (n,), the place in `spread` of the tree's node before; -1 where it is known.
    crossed : (n,), the edge on the way: ``2 e`` to its left, ``2 e + 1`` to its right.
    columns : (parents, 3, D), the layer's pre-activations on the parents: the derivatives along
        u and v, and the value at the origin.
    spread : (n, 3, K), the next rows on the children.
    """
    n_hinges = len(hinges.units)
    for child in range(len(parents)):
        before = predecessors[child]
        if before < 0:
            continue
        edge = crossed[child] >> 1
        sign = 1.0 - 2.0 * (crossed[child] & 1)
        at = columns[parents[child]]
        for i in range(3):
            for k in range(start, stop):
                spread[child, i, k] = spread[before, i, k]
        hinge = codes.hinges[edge] - hinges.first
        _add_kink(start, stop, hinge, sign, at, hinges, spread[child])
        if len(codes.shared_offsets) > 0:
            for n in range(codes.shared_offsets[edge], codes.shared_offsets[edge + 1]):
                code = codes.shared_codes[n]
                hinge = (code >> 1) - hinges.first
                if 0 <= hinge < n_hinges:
                    way = sign * (1.0 - 2.0 * (code & 1))
                    _add_kink(start, stop, hinge, way, at, hinges, spread[child])


@njit(**JIT)
def _add_kink(start, stop, hinge, sign, columns, hinges, target):
    """Add what a hinge that becomes positive (sign 1) or ceases to be (-1) does to the next rows."""
    unit = hinges.units[hinge]
    for i in range(3):
        value = columns[i, unit]
        if i == 2:
            value -= hinges.breakpoints[hinge]
        value *= sign
        for k in range(start, stop):
            target[i, k] += value * hinges.kinks[hinge, k]
