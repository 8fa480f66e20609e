"""Measures of the regions' linear maps."""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import JIT


@njit(**JIT)
def decompose_slopes(start, stop, slopes, singular_values):
    """Write the two singular values, descending, of a range of maps (R, C, 2).

    Their product is the area that the columns span, computed from the part of the shorter column
    that is orthogonal to the longer one, so that it is as exact as the columns are.
    """
    n_outputs = slopes.shape[1]
    for r in range(start, stop):
        aa = 0.0
        ab = 0.0
        bb = 0.0
        for c in range(n_outputs):
            aa += slopes[r, c, 0] * slopes[r, c, 0]
            ab += slopes[r, c, 0] * slopes[r, c, 1]
            bb += slopes[r, c, 1] * slopes[r, c, 1]
        greatest = np.sqrt(0.5 * (aa + bb + np.sqrt((aa - bb) ** 2 + 4.0 * ab * ab)))
        singular_values[r, 0] = greatest
        singular_values[r, 1] = 0.0
        if greatest > 0.0:
            longer = 0 if aa >= bb else 1
            norm = max(aa, bb)
            rest = 0.0
            for c in range(n_outputs):
                part = slopes[r, c, 1 - longer] - ab / norm * slopes[r, c, longer]
                rest += part * part
            singular_values[r, 1] = min(np.sqrt(rest * norm) / greatest, greatest)


@njit(**JIT)
def measure_changes(start, stop, edge_regions, slopes, changes):
    """Write the Frobenius norm by which maps differ across a range of edges; NaN at the border."""
    for e in range(start, stop):
        left = edge_regions[e, 0]
        right = edge_regions[e, 1]
        changes[e] = np.nan
        if right >= 0:
            squared = 0.0
            for c in range(slopes.shape[1]):
                for d in range(2):
                    squared += (slopes[left, c, d] - slopes[right, c, d]) ** 2
            changes[e] = np.sqrt(squared)
