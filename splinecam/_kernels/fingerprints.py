"""Fingerprints of rows: numbers that multiples of a row share."""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import JIT
from splinecam._kernels.edges import sort_by_key


@njit(**JIT, error_model="numpy", fastmath={"reassoc", "contract"})
def sort_fingerprints(weight, offset, directions):
    """Ascending angles of the projections of rows (D, n + 1) on two directions; their order.

    The rows are those of `weight` (D, n), each with its entry of `offset` (D or 1,) appended;
    `directions` is (2, n + 1). Rows that are multiples of each other have the same angle but for
    rounding, and others hardly. A row of zeros, which has none, gets a number of its own.
    """
    n_rows, n_columns = weight.shape
    angles = np.empty(n_rows)
    order = np.empty(n_rows, np.int32)
    for i in range(n_rows):
        last = offset[i % offset.shape[0]]
        first = directions[0, n_columns] * last
        second = directions[1, n_columns] * last
        for k in range(n_columns):
            first += directions[0, k] * weight[i, k]
            second += directions[1, k] * weight[i, k]
        is_zero = first == 0.0 and second == 0.0
        angles[i] = 2.0 + i if is_zero else np.arctan(first / second)
        order[i] = i
    sort_by_key(angles, order, np.int64(0), n_rows)
    return angles, order
