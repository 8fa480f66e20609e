"""Affine maps on all regions of a partition, from the slice inwards.

Composing a region's map from its pattern takes a matrix product for each layer. Regions of one
level with the same parent differ in units of one layer only: the next layer's pre-activations on
one of them are those on its neighbour plus one term for each unit that changes between them, for
the price of a vector. So each parent's first child is composed, all parents' in one matrix
product, and the others follow along a breadth-first tree. On the way to a child each unit changes
once at most: the terms that rounding sees are those of the sum over the units.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from splinecam._kernels.maps import EdgeCodes, Hinges, spread_maps
from splinecam._workers import Workers
from splinecam.mesh import places_within
from splinecam.nesting import Nesting
from splinecam.planar import Floats, PlanarNetwork, compose

Integers = NDArray[np.integer]

ENTRIES = 2**23
"""Entries of the maps on one level's regions that are held at a time."""

ROOT_ENTRIES = 2**19
"""Entries of the maps that are composed at a time."""

PATTERN_ENTRIES = 2**28
"""Entries of patterns that are looked up at a time."""

ROW_GRAIN = 64
"""Least number of rows of maps that is worth a range of its own."""

ROOT_GRAIN = 16
"""Least number of regions whose maps are composed that is worth a range of its own."""


class Block(NamedTuple):
    """Affine maps on some regions of one level."""

    level: int
    regions: Integers  # (k,), by their numbers in the level
    columns: Floats  # (k, 3, D): derivatives along u and v, and values at the origin


class MapWalk:
    """Goes through the levels of a partition with the maps on their regions.

    Parameters
    ----------
    network : PlanarNetwork
    nesting : Nesting
    edge_hinges, shared_edges, shared_hinges : ndarray
        As in `Partition`.
    layer_patterns : callable
        Patterns (k, D) of one layer's units in k regions, from the layer's number and the regions.
    """

    def __init__(
        self,
        network: PlanarNetwork,
        nesting: Nesting,
        edge_hinges: Integers,
        shared_edges: Integers,
        shared_hinges: Integers,
        layer_patterns: Callable[[int, Integers], NDArray[np.unsignedinteger]],
    ):
        self._network = network
        self._nesting = nesting
        self._layer_patterns = layer_patterns
        offsets = np.empty(0, np.int64)
        if len(shared_edges):
            offsets = np.searchsorted(shared_edges, np.arange(len(edge_hinges) + 1))
        self._codes = EdgeCodes(edge_hinges, offsets, shared_hinges)
        first = np.cumsum([0, *(layer.n_hinges for layer in network.layers)])
        self._hinges = [self._layer_hinges(n, int(first[n])) for n in range(len(network.layers))]

    def _layer_hinges(self, number: int, first: int) -> Hinges:
        layer = self._network.layers[number]
        breakpoints = np.broadcast_to(layer.breakpoints, (layer.n_units, layer.n_breakpoints))
        kinks = layer.kink_columns(self._network.following(number)[0])
        return Hinges(first, layer.hinge_units, breakpoints.ravel(), kinks)

    def outputs(self) -> tuple[Floats, Floats]:
        """The maps to the outputs on all regions of the last level, R of them.

        Returns
        -------
        A : ndarray
            (R, out, 2) float64.
        b : ndarray
            (R, out) float64.
        """
        n_regions, n_outputs = self._nesting.n_regions, self._network.n_outputs
        slopes, offsets = np.empty((n_regions, n_outputs, 2)), np.empty((n_regions, n_outputs))
        with Workers() as workers:
            for block in self.blocks(workers, self._nesting.n_layers):
                if block.level == self._nesting.n_layers:
                    slopes[block.regions] = block.columns[:, :2].transpose(0, 2, 1)
                    offsets[block.regions] = block.columns[:, 2]
        return slopes, offsets

    def blocks(self, workers: Workers, deepest: int) -> Iterator[Block]:
        """Yield each region of each level, down to the deepest wanted, with the map on it.

        On regions of level ``l`` that is the map to the pre-activations of layer ``l``, on those
        of the last level the one to the outputs. A block precedes those of its regions' children.
        """
        workers.limit_blas()
        columns = compose(np.eye(3, 2)[None], *self._network.following(-1))
        yield from self._below(Block(0, np.zeros(1, np.int32), columns), workers, deepest)

    def _below(self, block: Block, workers: Workers, deepest: int) -> Iterator[Block]:
        yield block
        level, regions, columns = block
        if level == deepest:
            return
        children = self._nesting.children[level]
        starts = children.offsets[regions]
        counts = children.offsets[regions + 1] - starts
        places = np.repeat(starts, counts) + places_within(counts)
        parents = np.repeat(np.arange(len(regions)), counts)
        before = children.predecessors[places]
        before[before >= 0] += np.repeat(np.cumsum(counts) - counts, counts)[before >= 0]
        room = max(1, ENTRIES // (3 * len(self._network.following(level)[1])))
        spread, first = np.empty((0, 3, len(self._network.following(level)[1]))), 0
        for start in range(0, len(places), room):
            # In breadth-first order predecessors ascend: what this part needs of the last one is
            # its end.
            needed = before[start] if before[start] >= 0 else start
            part = slice(needed, min(start + room, len(places)))
            known = spread[needed - first :]
            spread = self._spread(
                block,
                known,
                parents[part],
                before[part] - needed,
                children.crossed[places[part]],
                workers,
            )
            first = needed
            new = slice(start - needed, None)
            below = Block(level + 1, children.nodes[places[part]][new], spread[new])
            yield from self._below(below, workers, deepest)

    def _spread(
        self,
        block: Block,
        known: Floats,
        parents: Integers,
        predecessors: Integers,
        crossed: Integers,
        workers: Workers,
    ) -> Floats:
        """The maps on some children, of which those on the first are known."""
        level, regions, columns = block
        weight, bias = self._network.following(level)
        spread = np.empty((len(parents), 3, len(bias)))
        predecessors[: len(known)] = -1
        spread[: len(known)] = known
        roots = len(known) + np.flatnonzero(predecessors[len(known) :] < 0)
        if len(roots):
            # Each parent has one root, so that these are the roots of consecutive parents.
            parents_of_roots = slice(parents[roots[0]], parents[roots[-1]] + 1)
            held = Block(level, regions[parents_of_roots], columns[parents_of_roots])
            workers.run(self._compose, len(roots), held, roots, spread, grain=ROOT_GRAIN)
        workers.run(
            spread_maps,
            *(len(bias), parents, predecessors, crossed),
            *(columns, self._hinges[level], self._codes, spread),
            grain=ROW_GRAIN,
        )
        return spread

    def _compose(
        self, start: int, stop: int, block: Block, roots: Integers, spread: Floats
    ) -> None:
        """Write the maps on the first children of a range of regions."""
        level, regions, columns = block
        step = max(1, ROOT_ENTRIES // columns[0].size)
        for first in range(start, stop, step):
            part = slice(first, min(first + step, stop))
            patterns = self._first_patterns(level, regions[part])
            activations = self._network.layers[level].activate_maps(columns[part], patterns)
            spread[roots[part]] = compose(activations, *self._network.following(level))

    def _first_patterns(self, level: int, parents: Integers) -> NDArray[np.uint8]:
        """(k, D): patterns of the layer's units in the first child of some regions of a level.

        Each look-up walks the whole partition. So those of the level are looked up at once, and
        kept as bits, one for each breakpoint: set where it is exceeded.
        """
        layer = self._network.layers[level]
        bits = np.unpackbits(self._packed[level][parents], axis=1, count=layer.n_hinges)
        return bits.reshape(-1, layer.n_units, layer.n_breakpoints).sum(axis=2, dtype=np.uint8)

    @cached_property
    def _packed(self) -> list[NDArray[np.uint8]]:
        """For each level, the bits of `_first_patterns` for all of its regions."""
        packed = []
        for level, layer in enumerate(self._network.layers):
            members = self._nesting.members[level]
            bits = np.empty((len(members), -(-layer.n_hinges // 8)), np.uint8)
            step = max(1, PATTERN_ENTRIES // max(layer.n_hinges, 1))
            for start in range(0, len(members), step):
                held = slice(start, start + step)
                patterns = self._layer_patterns(level, members[held])
                exceeded = patterns[:, :, None] > np.arange(layer.n_breakpoints)
                bits[held] = np.packbits(exceeded.reshape(len(patterns), -1), axis=1)
            packed.append(bits)
        return packed
