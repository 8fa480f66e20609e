"""How the partitions by the first layers nest: each layer cuts the regions of those before it.

*Level* ``l`` is the partition by the first ``l`` layers: level 0 is the slice, level L, after all
layers, the partition itself. A region of level ``l`` is a union of regions of level ``l + 1``, its
*children*, which edges of layer ``l`` part.
"""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import numpy as np

from splinecam._kernels.forest import grow_forest
from splinecam.common.types import Ints


class Children(NamedTuple):
    """The regions of one level, parent by parent, each group along a breadth-first tree.

    Inside a parent the units of its layer are affine, so that their zero lines part the children
    like an arrangement of lines, and a shortest way crosses each line once at most.
    """

    nodes: Ints  # (n,): the regions, by their numbers in the children's level
    parents: Ints  # (n,): the parent of each region, by the region's number
    offsets: Ints  # (parents + 1,): where the children of each parent begin in `nodes`
    predecessors: Ints  # (n,): place of the tree's node before, within its group; -1 at a root
    crossed: Ints  # (n,): 2 e where edge e was crossed to its left, 2 e + 1 to its right; or -1


class Nesting:
    """The levels of a partition of R regions by L layers.

    Parameters
    ----------
    n_regions, n_layers : int
    edge_regions : ndarray
        (E, 2) int32, the regions left and right of each edge; -1 outside the slice.
    edge_layers : ndarray
        (E,) int32, the first layer that made each edge; -1 on the slice's boundary.
    """

    def __init__(self, n_regions: int, n_layers: int, edge_regions: Ints, edge_layers: Ints):
        self.n_regions = n_regions
        self.n_layers = n_layers
        self._edge_regions = edge_regions
        self._edge_layers = edge_layers

    @cached_property
    def children(self) -> tuple[Children, ...]:
        """For each layer, the regions that it makes of those of the level before it."""
        order = np.argsort(self._edge_layers, kind="stable").astype(np.int32)
        bounds = np.searchsorted(self._edge_layers[order], np.arange(self.n_layers + 1))
        labels = np.arange(self.n_regions, dtype=np.int32)
        n_nodes = self.n_regions
        found = []
        for layer in reversed(range(self.n_layers)):
            edges = order[bounds[layer] : bounds[layer + 1]]
            forest = grow_forest(n_nodes, labels[self._edge_regions[edges]])
            nodes, parents, offsets, predecessors, entered = forest
            crossed = np.full(n_nodes, -1, np.int32)
            inner = entered >= 0
            crossed[inner] = 2 * edges[entered[inner] >> 1] + (entered[inner] & 1)
            found.append(Children(nodes, parents, offsets, predecessors, crossed))
            labels = parents[labels]
            n_nodes = len(offsets) - 1
        return tuple(reversed(found))

    @cached_property
    def labels(self) -> tuple[Ints, ...]:
        """For each level, (R,) int32: which of its regions holds each region of the partition."""
        labels: list[Ints] = [np.arange(self.n_regions, dtype=np.int32)]
        for children in reversed(self.children):
            labels.append(children.parents[labels[-1]])
        return tuple(reversed(labels))

    @cached_property
    def members(self) -> tuple[Ints, ...]:
        """For each level, one region of the partition in each of its regions.

        It is in the region's first child, too.
        """
        members: list[Ints] = [np.arange(self.n_regions, dtype=np.int32)]
        for children in reversed(self.children):
            members.append(members[-1][children.nodes[children.offsets[:-1]]])
        return tuple(reversed(members))
