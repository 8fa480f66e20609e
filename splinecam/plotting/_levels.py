"""The regions of the partition by the first layers, as polygons."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from splinecam.partition.partition import Partition


class Level(NamedTuple):
    """The partition by the first layers: polygon i is ``vertices[offsets[i]:offsets[i + 1]]``."""

    vertices: NDArray[np.float64]
    offsets: NDArray[np.int64]
    areas: NDArray[np.float64]
    members: NDArray[np.integer]
    """A region of the whole partition in each."""


def level_polygons(p: Partition, n_layers: int) -> Level:
    """Find the regions of the partition by the first `n_layers` layers.

    Each is a convex union of the partition's regions, so that its corners follow each other by
    their direction from a point inside.
    """
    labels, members = p.nesting.labels[n_layers], p.nesting.members[n_layers]
    kept = np.flatnonzero(p.edge_layers < n_layers)
    sides = p.edge_regions[kept].T
    is_left, is_right = (side >= 0 for side in sides)
    starts, stops = p.edges[kept].T
    corners = p.vertices[np.concatenate([starts[is_left], stops[is_right]])]
    holders = labels[np.concatenate([sides[0][is_left], sides[1][is_right]])]
    counts = np.bincount(holders, minlength=len(members))
    middles = [np.bincount(holders, column) / counts for column in corners.T]
    x, y = corners.T - np.array(middles)[:, holders]
    order = np.lexsort([np.arctan2(y, x), holders])
    areas = np.bincount(labels, p.areas, len(members))
    return Level(corners[order], np.concatenate([[0], np.cumsum(counts)]), areas, members)
