"""Spanning forests of regions."""

from __future__ import annotations

import numpy as np
from numba import njit

from splinecam._kernels.arrays import JIT


@njit(**JIT)
def grow_forest(n_nodes, sides):
    """Walk a graph breadth first, component by component.

    On a breadth-first tree the way to a node is a shortest one.

    Parameters
    ----------
    n_nodes : number of nodes.
    sides : (k, 2), the nodes left and right of each edge of the graph.

    Returns
    -------
    order : (n,) int32, the nodes as they are reached.
    components : (n,) int32, the component of each node.
    offsets : (components + 1,) int32, where each component begins in `order`.
    predecessors : (n,) int32, for each place in `order`, the place of the node's predecessor,
        counted from where the component begins; -1 at a root.
    entered : (n,) int32, for each place in `order`, ``2 k`` where edge k was crossed from right to
        left, ``2 k + 1`` from left to right; -1 at a root.
    """
    starts, ways = _leaving(n_nodes, sides)
    order = np.empty(n_nodes, np.int32)
    components = np.full(n_nodes, -1, np.int32)
    offsets = np.empty(n_nodes + 1, np.int32)
    predecessors = np.empty(n_nodes, np.int32)
    entered = np.empty(n_nodes, np.int32)
    count = 0
    n_components = 0
    for root in range(n_nodes):
        if components[root] >= 0:
            continue
        first = count
        offsets[n_components] = first
        order[count] = root
        components[root] = n_components
        predecessors[count] = -1
        entered[count] = -1
        count += 1
        at = first
        while at < count:
            node = order[at]
            for i in range(starts[node], starts[node + 1]):
                way = ways[i]
                target = sides[way >> 1, way & 1]
                if components[target] < 0:
                    components[target] = n_components
                    order[count] = target
                    predecessors[count] = at - first
                    entered[count] = way
                    count += 1
            at += 1
        n_components += 1
    offsets[n_components] = count
    return order, components, offsets[: n_components + 1].copy(), predecessors, entered


@njit(**JIT)
def _leaving(n_nodes, sides):
    """List the ways out of each node: ``2 k`` to the left of edge k, ``2 k + 1`` to its right."""
    starts = np.zeros(n_nodes + 1, np.int32)
    for k in range(len(sides)):
        starts[sides[k, 0] + 1] += 1
        starts[sides[k, 1] + 1] += 1
    for node in range(n_nodes):
        starts[node + 1] += starts[node]
    ways = np.empty(2 * len(sides), np.int32)
    at = starts[:-1].copy()
    for k in range(len(sides)):
        for side in range(2):
            node = sides[k, side]
            ways[at[node]] = 2 * k + 1 - side
            at[node] += 1
    return starts, ways


@njit(**JIT)
def sum_below(order, predecessors, weights, sums):
    """Write, for each place of a tree in breadth-first order, the weights there and below."""
    for at in range(len(order)):
        sums[at] = weights[order[at]]
    for at in range(len(order) - 1, 0, -1):
        sums[predecessors[at]] += sums[at]
