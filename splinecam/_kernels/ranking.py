"""Ranking outputs at points of regions, from the regions' affine maps."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit

from splinecam._kernels.arrays import JIT


class Ranks(NamedTuple):
    """Which outputs are the greatest and the second, and by how much the first leads."""

    winners: np.ndarray  # (n,) int64
    runners_up: np.ndarray  # (n,) int64; that of the winner if there is one output only
    leads: np.ndarray  # (n,) float64; infinite if there is one output only


class Margins(NamedTuple):
    """How far the decisions in regions are from changing."""

    classes: np.ndarray  # (R,) int64, at the centroid
    gaps: np.ndarray  # (R,) float64: least lead in the region
    centroid_gaps: np.ndarray  # (R,) float64
    centroid_distances: np.ndarray  # (R,) float64


@njit(**JIT)
def _update(c, value, values, winner, runner_up, lead):
    """Rank one more output; returns winner, runner-up and lead."""
    values[c] = value
    if c == 0:
        return 0, 0, np.inf
    if value > values[winner]:
        return c, winner, value - values[winner]
    if values[winner] - value < lead:
        return winner, c, values[winner] - value
    return winner, runner_up, lead


@njit(**JIT)
def rank_corners(start, stop, regions, slopes, constants, vertices, offsets, loops, owners, ranks):
    """Rank the outputs at the vertices that a range of regions owns.

    `slopes` (k, C, 2) and `constants` (k, C) are the maps to the outputs there. Returns how large
    each output is at those vertices.
    """
    sizes = np.zeros(slopes.shape[1])
    values = np.empty(slopes.shape[1])
    for k in range(start, stop):
        region = regions[k]
        for i in range(offsets[region], offsets[region + 1]):
            v = loops[i]
            if owners[v] != region:
                continue
            ranking = _rank(k, slopes, constants, vertices[v], values)
            for c in range(len(values)):
                sizes[c] = max(sizes[c], abs(values[c]))
            ranks.winners[v] = ranking[0]
            ranks.runners_up[v] = ranking[1]
            ranks.leads[v] = ranking[2]
    return sizes


@njit(**JIT)
def measure_margins(start, stop, slopes, constants, vertices, offsets, loops, centroids, margins):
    """Write how far the decisions in a range of regions are from changing."""
    values = np.empty(slopes.shape[1])
    for r in range(start, stop):
        winner, _, lead = _rank(r, slopes, constants, centroids[r], values)
        nearest = np.inf
        for c in range(len(values)):
            rise = (slopes[r, winner, 0] - slopes[r, c, 0]) ** 2
            rise += (slopes[r, winner, 1] - slopes[r, c, 1]) ** 2
            if c != winner and rise > 0.0:
                nearest = min(nearest, (values[winner] - values[c]) / np.sqrt(rise))
        gap = lead
        for i in range(offsets[r], offsets[r + 1]):
            there, _, other = _rank(r, slopes, constants, vertices[loops[i]], values)
            gap = min(gap, other if there == winner else 0.0)
        margins.classes[r] = winner
        margins.gaps[r] = gap
        margins.centroid_gaps[r] = lead
        margins.centroid_distances[r] = nearest


@njit(**JIT)
def _rank(row, slopes, constants, point, values):
    """Winner, runner-up and lead at a point; writes the outputs there."""
    ranking = (0, 0, np.inf)
    for c in range(len(values)):
        value = slopes[row, c, 0] * point[0] + slopes[row, c, 1] * point[1]
        ranking = _update(c, value + constants[row, c], values, *ranking)
    return ranking
