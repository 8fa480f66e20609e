"""Regions by place: a tree of boxes, each with the regions that it holds."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from splinecam.common.types import Floats, Ints

FEW = 2048
"""Regions up to which a box is not split."""

DEEPEST = 40
"""How often a box is split: regions without extent may have one centroid."""


class Box(NamedTuple):
    """A part of the plane and the regions inside, by their places in `RegionTree.order`.

    The regions from `start` to `own_stop` are too large for the children, those from there to
    `stop` are theirs.
    """

    corners: Floats  # (4, 2)
    start: int
    own_stop: int
    stop: int
    children: tuple[Box, ...]


class RegionTree:
    """Regions by place, each in the smallest box that is not smaller than the region.

    Parameters
    ----------
    vertices : ndarray
        (V, 2) float64.
    offsets, loops : ndarray
        As `Partition.region_offsets` and `Partition.region_vertices`.
    margin : float
        How much larger boxes are than the regions in them.
    """

    def __init__(self, vertices: Floats, offsets: Ints, loops: Ints, margin: float):
        corners = vertices[loops]
        self._low = np.minimum.reduceat(corners, offsets[:-1]) - margin
        self._high = np.maximum.reduceat(corners, offsets[:-1]) + margin
        self._parts: list[Ints] = []
        self._count = 0
        everything = np.arange(len(offsets) - 1)
        low, high = self._low.min(axis=0), self._high.max(axis=0)
        self.root = self._box(everything, (low + high) / 2, float((high - low).max()) / 2, 0)
        self.order = np.concatenate(self._parts)
        del self._low, self._high, self._parts

    def _box(self, regions: Ints, centre: Floats, half: float, depth: int) -> Box:
        """The box of width ``2 half`` that holds the regions' centres."""
        low, high = self._low[regions], self._high[regions]
        (left, bottom), (right, top) = low.min(axis=0), high.max(axis=0)
        corners = np.array([[left, bottom], [right, bottom], [right, top], [left, top]])
        start = self._count
        is_own = np.ones(len(regions), bool)
        if len(regions) > FEW and depth < DEEPEST:
            is_own = (high - low).max(axis=1) > half
        self._parts.append(regions[is_own])
        self._count += int(np.count_nonzero(is_own))
        own_stop = self._count
        rest = regions[~is_own]
        quarters = ((low + high)[~is_own] > 2 * centre) @ [1, 2]
        children = []
        for quarter in range(4):
            chosen = rest[quarters == quarter]
            if len(chosen):
                way = np.array([quarter & 1, quarter >> 1]) - 0.5
                children.append(self._box(chosen, centre + way * half, half / 2, depth + 1))
        return Box(corners, start, own_stop, self._count, tuple(children))
