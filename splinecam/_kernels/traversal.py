"""Walking from region to region across edges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit, uint64

from splinecam._kernels.arrays import JIT
from splinecam._kernels.words import BITS


class Flips(NamedTuple):
    """Which units change across edges, and how, going from right to left.

    The first unit of an edge rises; the others, of which few edges have any, rise or fall.
    """

    units: np.ndarray  # (E,) int32: counted through the network; -1 on the boundary
    steps: np.ndarray  # (E,) int16: by how much; empty if all rise by one
    shared_offsets: np.ndarray  # (E + 1,) int64: into the arrays below; empty if there are none
    shared_units: np.ndarray  # int32
    shared_steps: np.ndarray  # int16


@njit(**JIT)
def _cross(pattern, halfedge, flips):
    """Change the pattern of the region left of a half-edge to that of the region on its right."""
    edge = halfedge >> 1
    step = 2 * (halfedge & 1) - 1
    pattern[flips.units[edge]] += step * (flips.steps[edge] if flips.steps.shape[0] > 0 else 1)
    if flips.shared_offsets.shape[0] > 0:
        for i in range(flips.shared_offsets[edge], flips.shared_offsets[edge + 1]):
            pattern[flips.shared_units[i]] += step * flips.shared_steps[i]


@njit(**JIT)
def next_region(region, pattern, walk, offsets, halfedges, edge_regions, flips):
    """Go on to the next region of a depth-first spanning tree; -1 if there is none.

    `pattern` is that of the region and becomes that of the next one. `walk` (2, R) holds the
    half-edge by which each region was entered, -1 for the root and -2 for the others, and where to
    go on in its loop.
    """
    entered, cursors = walk
    while True:
        if cursors[region] == offsets[region + 1]:
            back = entered[region]
            if back < 0:
                return -1
            _cross(pattern, back, flips)
            region = edge_regions[back >> 1, 1 - (back & 1)]
            continue
        h = halfedges[cursors[region]]
        cursors[region] += 1
        neighbour = edge_regions[h >> 1, 1 - (h & 1)]
        if neighbour >= 0 and entered[neighbour] == -2:
            _cross(pattern, h, flips)
            entered[neighbour] = h ^ 1
            return neighbour


@njit(**JIT)
def start_walk(root, offsets):
    n_regions = offsets.shape[0] - 1
    walk = np.empty((2, n_regions), np.int32)
    for region in range(n_regions):
        walk[0, region] = -2
        walk[1, region] = offsets[region]
    walk[0, root] = -1
    return walk


@njit(**JIT)
def collect_patterns(root, pattern, offsets, halfedges, edge_regions, flips, rows, patterns, first):
    """Write the activation patterns of wanted regions, from unit `first` on.

    `pattern` is that of region `root`, and is changed. `rows` holds, for each region, its row in
    `patterns`, or -1 where it is not wanted.
    """
    walk = start_walk(root, offsets)
    region = np.int64(root)
    while region >= 0:
        if rows[region] >= 0:
            patterns[rows[region]] = pattern[first : first + patterns.shape[1]]
        region = next_region(region, pattern, walk, offsets, halfedges, edge_regions, flips)


@njit(**JIT)
def spread_pieces(root, pattern, offsets, halfedges, edge_regions, edges, flips, below, above):
    """Note at each vertex which units some region there has below and above their breakpoint.

    `pattern` is that of region `root`, with one entry more than there are units, for whatever else
    flips; it is changed. `below` and `above` are words (V, W), to which bits are added.
    """
    n_units = pattern.shape[0] - 1
    walk = start_walk(root, offsets)
    region = np.int64(root)
    while region >= 0:
        for w in range(below.shape[1]):
            word = uint64(0)
            first = w * BITS
            for b in range(min(BITS, n_units - first)):
                word |= uint64(pattern[first + b]) << uint64(b)
            for h in halfedges[offsets[region] : offsets[region + 1]]:
                v = edges[h >> 1, h & 1]
                above[v, w] |= word
                below[v, w] |= ~word
        region = next_region(region, pattern, walk, offsets, halfedges, edge_regions, flips)


@njit(**JIT)
def collect_boxes(root, pattern, offsets, halfedges, edge_regions, flips, wanted, patterns):
    """Write the patterns of those units that are wanted in each region, as for `collect_patterns`.

    `wanted` are the boxes of regions (-1: not wanted), where in `patterns` the units of each region
    begin, where the units of each box begin, and the units.
    """
    boxes, places, firsts, units = wanted
    walk = start_walk(root, offsets)
    region = np.int64(root)
    while region >= 0:
        box = boxes[region]
        if box >= 0:
            place = places[region]
            for i in range(firsts[box], firsts[box + 1]):
                patterns[place] = pattern[units[i]]
                place += 1
        region = next_region(region, pattern, walk, offsets, halfedges, edge_regions, flips)


@njit(**JIT)
def find_misfit(root, pattern, offsets, halfedges, edge_regions, flips, below, shared_below):
    """Find an edge of a hinge that does not lie between the patterns of its unit beside it.

    `below` (E, 2) has the least and the greatest pattern that the unit of each edge can have on
    the side where it is less, `shared_below` those of the shared units; `pattern` is that of region
    `root`, and is changed. Returns the edge, or -1.
    """
    walk = start_walk(root, offsets)
    region = np.int64(root)
    while region >= 0:
        for h in halfedges[offsets[region] : offsets[region + 1]]:
            if _is_misfit(h, pattern, flips, below, shared_below):
                return h >> 1
        region = next_region(region, pattern, walk, offsets, halfedges, edge_regions, flips)
    return -1


@njit(**JIT)
def _is_misfit(halfedge, pattern, flips, below, shared_below):
    edge, is_right = halfedge >> 1, halfedge & 1
    unit = flips.units[edge]
    if unit < 0:
        return False
    step = np.int64(flips.steps[edge]) if flips.steps.shape[0] > 0 else 1
    lower = np.int64(pattern[unit]) - (1 - is_right) * step
    if lower < below[edge, 0] or lower > below[edge, 1]:
        return True
    if flips.shared_offsets.shape[0] > 0:
        for i in range(flips.shared_offsets[edge], flips.shared_offsets[edge + 1]):
            step = np.int64(flips.shared_steps[i])
            is_above = is_right == (step < 0)
            lower = np.int64(pattern[flips.shared_units[i]]) - is_above * abs(step)
            if lower < shared_below[i, 0] or lower > shared_below[i, 1]:
                return True
    return False


@njit(**JIT)
def incident_edges(wanted, edges, found):
    """List up to ``found.shape[1]`` edges at each wanted vertex; -1 where there are fewer.

    `wanted` holds, for each vertex, its row in `found`, or -1.
    """
    found[:] = -1
    for e in range(edges.shape[0]):
        for side in range(2):
            row = wanted[edges[e, side]]
            if row >= 0:
                for i in range(found.shape[1]):
                    if found[row, i] < 0:
                        found[row, i] = e
                        break
