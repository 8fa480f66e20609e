"""Measures of faces, from their loops of vertices."""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import BORROWING, JIT
from splinecam._kernels.edges import FURTHEST


@njit(**JIT, error_model="numpy")
def measure_faces(start, stop, vertices, edges, offsets, halfedges, areas, perimeters, centroids):
    """Area, perimeter and centroid of a range of faces.

    Coordinates are taken relative to the face's first vertex, so that small faces far from the
    origin lose nothing.
    """
    for f in range(start, stop):
        h = halfedges[offsets[f]]
        x0 = vertices[edges[h >> 1, h & 1], 0]
        y0 = vertices[edges[h >> 1, h & 1], 1]
        double_area = 0.0
        perimeter = 0.0
        moment_x = 0.0
        moment_y = 0.0
        for i in range(offsets[f], offsets[f + 1]):
            h = halfedges[i]
            a = edges[h >> 1, h & 1]
            b = edges[h >> 1, 1 - (h & 1)]
            ax = vertices[a, 0] - x0
            ay = vertices[a, 1] - y0
            bx = vertices[b, 0] - x0
            by = vertices[b, 1] - y0
            cross = ax * by - ay * bx
            double_area += cross
            moment_x += cross * (ax + bx)
            moment_y += cross * (ay + by)
            perimeter += np.sqrt((bx - ax) ** 2 + (by - ay) ** 2)
        areas[f] = 0.5 * double_area
        perimeters[f] = perimeter
        if double_area > 0.0:
            centroids[f, 0] = x0 + moment_x / (3.0 * double_area)
            centroids[f, 1] = y0 + moment_y / (3.0 * double_area)
        else:
            # Smaller than the rounding of its corners, which is where it is.
            centroids[f, 0] = x0
            centroids[f, 1] = y0


@njit(**BORROWING)
def count_unsound(start, stop, vertices, radii, edges, offsets, halfedges, rounding):
    """How many of a range of faces have a loop that is not closed or encloses a negative area.

    `rounding` is the error that a coordinate may have, `radii` (V,) are how far vertices may be
    away; areas may be wrong by as much times the perimeter.
    """
    n_unsound = 0
    for f in range(start, stop):
        last = halfedges[offsets[f + 1] - 1]
        reached = edges[last >> 1, 1 - (last & 1)]
        x0 = vertices[reached, 0]
        y0 = vertices[reached, 1]
        double_area = 0.0
        perimeter = 0.0
        distance = rounding
        closed = True
        for i in range(offsets[f], offsets[f + 1]):
            h = halfedges[i]
            a = edges[h >> 1, h & 1]
            b = edges[h >> 1, 1 - (h & 1)]
            closed = closed and a == reached
            reached = b
            distance = max(distance, min(radii[a], FURTHEST * rounding))
            double_area += (vertices[a, 0] - x0) * (vertices[b, 1] - y0)
            double_area -= (vertices[a, 1] - y0) * (vertices[b, 0] - x0)
            perimeter += abs(vertices[b, 0] - vertices[a, 0]) + abs(vertices[b, 1] - vertices[a, 1])
        n_unsound += not (closed and double_area >= -2.0 * distance * (perimeter + distance))
    return n_unsound
