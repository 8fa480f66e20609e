"""Shapes of faces, from the distances between their vertices."""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import JIT


@njit(**JIT)
def measure_spans(start, stop, vertices, offsets, loops, shortest, longest):
    """Smallest and largest distance between any two vertices of each of a range of faces.

    The vertices of face ``f`` are ``loops[offsets[f] : offsets[f + 1]]``.
    """
    for f in range(start, stop):
        low = np.inf
        high = 0.0
        for i in range(offsets[f], offsets[f + 1]):
            x = vertices[loops[i], 0]
            y = vertices[loops[i], 1]
            for j in range(offsets[f], i):
                squared = (vertices[loops[j], 0] - x) ** 2 + (vertices[loops[j], 1] - y) ** 2
                low = min(low, squared)
                high = max(high, squared)
        shortest[f] = np.sqrt(low)
        longest[f] = np.sqrt(high)
