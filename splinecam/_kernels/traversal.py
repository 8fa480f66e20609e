"""Walking from region to region across edges."""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import JIT


@njit(**JIT)
def collect_patterns(root, pattern, offsets, halfedges, edge_regions, edge_units, rows, patterns):
    """Write the activation patterns of wanted regions.

    Walks a depth-first spanning tree from region `root`, keeping the pattern of the current region
    in `pattern` (in: the root's) and changing it by one unit per edge.

    Parameters
    ----------
    edge_units : the unit (of all) that changes across each edge, greater by one on the left.
    rows : for each region, its row in `patterns`, or -1 where it is not wanted.
    """
    n_regions = offsets.shape[0] - 1
    entered = np.full(n_regions, -2, np.int32)  # the half-edge by which a region was entered
    cursors = offsets[:-1].copy()
    entered[root] = -1
    region = root
    if rows[root] >= 0:
        patterns[rows[root]] = pattern
    while True:
        if cursors[region] == offsets[region + 1]:
            back = entered[region]
            if back < 0:
                return
            # `back` has this region on its left; leaving by it undoes the change.
            pattern[edge_units[back >> 1]] += 2 * (back & 1) - 1
            region = edge_regions[back >> 1, 1 - (back & 1)]
            continue
        h = halfedges[cursors[region]]
        cursors[region] += 1
        neighbour = edge_regions[h >> 1, 1 - (h & 1)]
        if neighbour < 0 or entered[neighbour] != -2:
            continue
        pattern[edge_units[h >> 1]] += 2 * (h & 1) - 1
        entered[neighbour] = h ^ 1
        region = neighbour
        if rows[region] >= 0:
            patterns[rows[region]] = pattern
