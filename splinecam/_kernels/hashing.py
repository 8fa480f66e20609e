"""Hashing the activation patterns of all regions without writing them down."""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import JIT


@njit(**JIT)
def hash_regions(root, root_hash, offsets, halfedges, edge_regions, steps, hashes):
    """Write the hashes of all regions, sums over what is known of each unit.

    Walks a breadth-first spanning tree from region `root`, whose hash is `root_hash`.

    Parameters
    ----------
    steps : by how much the hash is greater on the left of each edge than on its right.
    """
    n_regions = offsets.shape[0] - 1
    reached = np.zeros(n_regions, np.bool_)
    queue = np.empty(n_regions, np.int32)
    queue[0] = root
    reached[root] = True
    hashes[root] = root_hash
    n_reached = 1
    for i in range(n_regions):
        region = queue[i]
        for h in halfedges[offsets[region] : offsets[region + 1]]:
            neighbour = edge_regions[h >> 1, 1 - (h & 1)]
            if neighbour < 0 or reached[neighbour]:
                continue
            hashes[neighbour] = hashes[region] + (2 * (h & 1) - 1) * steps[h >> 1]
            reached[neighbour] = True
            queue[n_reached] = neighbour
            n_reached += 1
