"""Shapes of faces, from their loops of vertices.

The vertices of face ``f`` are ``loops[offsets[f] : offsets[f + 1]]``, counter-clockwise.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import JIT


@njit(**JIT)
def measure_spans(start, stop, vertices, offsets, loops, shortest, longest, widths):
    """Extents of each of a range of faces.

    These are the smallest and the largest distance between any two vertices, and the distance of
    the closest two parallel lines that hold the face between them, of which one runs along a side
    (Houle & Toussaint, IEEE PAMI 10, 1988).
    """
    for f in range(start, stop):
        first = offsets[f]
        n = offsets[f + 1] - first
        low = np.inf
        high = 0.0
        width = np.inf
        for i in range(n):
            x = vertices[loops[first + i], 0]
            y = vertices[loops[first + i], 1]
            along_x = vertices[loops[first + (i + 1) % n], 0] - x
            along_y = vertices[loops[first + (i + 1) % n], 1] - y
            furthest = 0.0
            for j in range(n):
                to_x = vertices[loops[first + j], 0] - x
                to_y = vertices[loops[first + j], 1] - y
                if j != i:
                    squared = to_x**2 + to_y**2
                    low = min(low, squared)
                    high = max(high, squared)
                furthest = max(furthest, along_x * to_y - along_y * to_x)
            length = np.sqrt(along_x**2 + along_y**2)
            if length > 0.0:
                width = min(width, furthest / length)
        shortest[f] = np.sqrt(low)
        longest[f] = np.sqrt(high)
        widths[f] = width if width < np.inf else 0.0


@njit(**JIT)
def measure_flatness(start, stop, vertices, offsets, loops, centroids, longest, ratios):
    """Least over greatest variance, among all directions, of the area of a range of faces.

    These are the eigenvalues of the second moments of area about the centroid. Coordinates are
    taken relative to the longest distance, so that no product of four is out of float64's range.
    """
    for f in range(start, stop):
        first = offsets[f]
        n = offsets[f + 1] - first
        unit = 1.0 / longest[f] if longest[f] > 0.0 else 0.0
        xx = 0.0
        xy = 0.0
        yy = 0.0
        for i in range(n):
            ax = (vertices[loops[first + i], 0] - centroids[f, 0]) * unit
            ay = (vertices[loops[first + i], 1] - centroids[f, 1]) * unit
            bx = (vertices[loops[first + (i + 1) % n], 0] - centroids[f, 0]) * unit
            by = (vertices[loops[first + (i + 1) % n], 1] - centroids[f, 1]) * unit
            cross = ax * by - ay * bx
            xx += cross * (ax * ax + ax * bx + bx * bx)
            yy += cross * (ay * ay + ay * by + by * by)
            xy += cross * (ax * ay + 0.5 * (ax * by + bx * ay) + bx * by)
        spread = np.sqrt((xx - yy) ** 2 + 4.0 * xy * xy)
        greatest = xx + yy + spread
        # The determinant over the greatest: their difference would cancel in narrow faces.
        least = 4.0 * (xx * yy - xy * xy) / greatest if greatest > 0.0 else 0.0
        ratios[f] = min(max(least / greatest, 0.0), 1.0) if greatest > 0.0 else 0.0
