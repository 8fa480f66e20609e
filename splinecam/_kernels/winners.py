"""Who wins the tournaments of max groups, region by region."""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import BORROWING, JIT
from splinecam._kernels.traversal import next_region, start_walk


@njit(**JIT)
def find_winners(root, won, offsets, halfedges, edge_regions, flips, brackets, places):
    """Write the place of each group's winner (R, G) in each region.

    `won` says of each node whether the later candidate wins in region `root`, with one entry more
    for whatever else flips; it is changed. `brackets` (G, n) are those of `Tournament.brackets`.
    """
    walk = start_walk(root, offsets)
    region = np.int64(root)
    while region >= 0:
        for g in range(brackets.shape[0]):
            i = 0
            while brackets[g, i] >= 0:
                i = 2 * i + 1 + won[brackets[g, i]]
            places[region, g] = -1 - brackets[g, i]
        region = next_region(region, won, walk, offsets, halfedges, edge_regions, flips)


@njit(**BORROWING)
def count_changes(start, stop, edges, edge_regions, places, counts):
    """Count the groups whose winner changes across some edges (n,); one place to the right."""
    for i in range(start, stop):
        left = edge_regions[edges[i], 0]
        right = edge_regions[edges[i], 1]
        count = 0
        for g in range(places.shape[1]):
            count += places[left, g] != places[right, g]
        counts[i + 1] = count


@njit(**BORROWING)
def list_changes(start, stop, edges, edge_regions, places, offsets, groups, rises):
    """Write these groups, and by how much their winners' places are greater on the left."""
    for i in range(start, stop):
        left = edge_regions[edges[i], 0]
        right = edge_regions[edges[i], 1]
        at = offsets[i]
        if at == offsets[i + 1]:
            continue
        for g in range(places.shape[1]):
            if places[left, g] != places[right, g]:
                groups[at] = g
                rises[at] = np.int64(places[left, g]) - np.int64(places[right, g])
                at += 1
