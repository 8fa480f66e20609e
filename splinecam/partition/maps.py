"""Affine maps on all regions of a partition, from the slice inwards.

Composing a region's map from its pattern takes a matrix product for each layer. Regions of one
level with the same parent differ in units of one layer only: the next layer's pre-activations on
one of them are those on its neighbour plus one term for each unit that changes between them, for
the price of a vector. So each parent's first child is composed, all parents' in one matrix
product, and the others follow along a breadth-first tree.

**Rounding.** On the way to a child each unit changes once at most, so that no more terms are summed
up than there are units. But units that are on at the root and off in the child leave the rounding
of their terms, where a sum over the child's own units has none: where its slopes are much smaller
than those on the way (2⁻¹⁰ times), and may be exactly 0, the child is composed from its pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from splinecam._kernels.maps import STRIP, EdgeCodes, Hinges, Spread, Steps, spread_maps
from splinecam.common.types import Ints
from splinecam.common.workers import Workers
from splinecam.cutting.mesh import places_within
from splinecam.network.planar import Floats, PlanarNetwork, compose
from splinecam.partition.nesting import Nesting

ENTRIES = 2**23
"""Entries of the maps on one level's regions that are held at a time."""

ROOT_ENTRIES = 2**19
"""Entries of the maps that are composed at a time."""

PATTERN_ENTRIES = 2**28
"""Entries of patterns that are looked up at a time."""

ROOT_GRAIN = 16
"""Least number of regions whose maps are composed that is worth a range of its own."""


class Block(NamedTuple):
    """Affine maps on some regions of one level."""

    level: int
    regions: Ints  # (k,), by their numbers in the level
    columns: Floats  # (k, 3, D): derivatives along u and v, and values at the origin


class MapWalk:
    """Goes through the levels of a partition with the maps on their regions.

    Parameters
    ----------
    network : PlanarNetwork
    nesting : Nesting
    edge_hinges, shared_edges, shared_hinges : ndarray
        As in `Partition`.
    patterns : callable
        Patterns (k, stop - first) of consecutive units in k regions, from the regions, the first
        unit, counted through the network, and where to stop.
    """

    def __init__(
        self,
        network: PlanarNetwork,
        nesting: Nesting,
        edge_hinges: Ints,
        shared_edges: Ints,
        shared_hinges: Ints,
        patterns: Callable[[Ints, int, int], NDArray[np.unsignedinteger]],
    ):
        self.network = network
        self._nesting = nesting
        self._patterns = patterns
        offsets = np.empty(0, np.int64)
        if len(shared_edges):
            offsets = np.searchsorted(shared_edges, np.arange(len(edge_hinges) + 1))
        self._codes = EdgeCodes(edge_hinges, offsets, shared_hinges)
        self._packed: dict[int, NDArray[np.uint8]] = {}
        first = np.cumsum([0, *(layer.n_hinges for layer in network.layers)])
        self._hinges = [self._layer_hinges(n, int(first[n])) for n in range(len(network.layers))]

    def _layer_hinges(self, number: int, first: int) -> Hinges:
        layer = self.network.layers[number]
        breakpoints = np.broadcast_to(layer.breakpoints, (layer.n_units, layer.n_breakpoints))
        kinks = layer.kink_columns(self.network.following(number)[0])
        return Hinges(first, layer.hinge_units, breakpoints.ravel(), kinks)

    def blocks(self, workers: Workers) -> Iterator[tuple[Ints, Floats, Floats]]:
        """Yield regions, some at a time, with A (k, out, 2) and b (k, out) for the outputs."""
        deepest = self._nesting.n_layers
        for level, regions, columns in self.levels(workers, deepest):
            if level == deepest:
                slopes = np.ascontiguousarray(columns[:, :2].transpose(0, 2, 1))
                yield regions, slopes, columns[:, 2].copy()

    def gradients(self, layers: Ints, units: Ints, regions: Ints) -> Floats:
        """(n, 2): gradients of units of given layers on regions of the partition."""
        found = np.empty((len(layers), 2))
        if not len(layers):
            return found
        inside = np.empty(len(layers), np.int64)
        for layer in np.unique(layers).tolist():
            chosen = layers == layer
            inside[chosen] = self._nesting.labels[layer][regions[chosen]]
        order = np.lexsort([inside, layers])
        bounds = np.searchsorted(layers[order], np.arange(layers.max() + 2))
        levels = np.split(inside[order], bounds[1:-1])
        with Workers() as workers:
            for level, block, columns in self.levels(workers, int(layers.max())):
                starts = np.searchsorted(levels[level], block)
                counts = np.searchsorted(levels[level], block, side="right") - starts
                wanted = order[bounds[level] + np.repeat(starts, counts) + places_within(counts)]
                rows = np.repeat(np.arange(len(block)), counts)
                found[wanted] = columns[rows, :2, units[wanted]]
        return found

    def levels(self, workers: Workers, deepest: int) -> Iterator[Block]:
        """Yield each region of each level, down to the deepest wanted, with the map on it.

        On regions of level ``l`` that is the map to the pre-activations of layer ``l``, on those
        of the last level the one to the outputs. A block precedes those of its regions' children.
        """
        workers.limit_blas()
        columns = compose(np.eye(3, 2)[None], *self.network.following(-1))
        yield from self._below(Block(0, np.zeros(1, np.int32), columns), workers, deepest)

    def _below(self, block: Block, workers: Workers, deepest: int) -> Iterator[Block]:
        yield block
        level = block.level
        if level == deepest:
            return
        children = self._nesting.children[level]
        starts = children.offsets[block.regions]
        counts = children.offsets[block.regions + 1] - starts
        places = np.repeat(starts, counts) + places_within(counts)
        parents = np.repeat(np.arange(len(block.regions)), counts)
        before = children.predecessors[places]
        before[before >= 0] += np.repeat(np.cumsum(counts) - counts, counts)[before >= 0]
        room = max(1, ENTRIES // (3 * self._hinges[level].kinks.shape[1]))
        spread, first = self._new_spread(level, 0), 0
        for start in range(0, len(places), room):
            # In breadth-first order predecessors ascend: what this part needs of the last one is
            # its end.
            needed = before[start] if before[start] >= 0 else start
            part = slice(needed, min(start + room, len(places)))
            steps = Steps(parents[part], before[part] - needed, children.crossed[places[part]])
            known = Spread(*(array[needed - first :] for array in spread))
            spread, first = self._spread(block, steps, known, workers), needed
            new = slice(start - needed, None)
            below = Block(level + 1, children.nodes[places[part]][new], spread.columns[new])
            yield from self._below(below, workers, deepest)

    def _new_spread(self, level: int, count: int) -> Spread:
        n_hinges, n_rows = self._hinges[level].kinks.shape
        return Spread(
            columns=np.empty((count, 3, n_rows)),
            peaks=np.empty((count, n_rows)),
            signs=np.empty((count, -(-n_hinges // 8)), np.uint8),
            is_lost=np.zeros(count, bool),
        )

    def _spread(self, block: Block, steps: Steps, known: Spread, workers: Workers) -> Spread:
        """The maps on some children, of which those on the first are known."""
        level, regions, columns = block
        spread = self._new_spread(level, len(steps.parents))
        for array, given in zip(spread, known, strict=True):
            array[: len(given)] = given
        n_known = len(known.is_lost)
        roots = n_known + np.flatnonzero(steps.predecessors[n_known:] < 0)
        spread.signs[roots] = self._first_signs(level)[regions[steps.parents[roots]]]
        self._compose(block, steps, roots, spread, workers)
        spread.peaks[roots] = np.abs(spread.columns[roots, :2]).sum(axis=1)
        steps.predecessors[:n_known] = -1
        n_strips = -(-spread.peaks.shape[1] // STRIP)
        arrays = (steps, columns, self._hinges[level], self._codes, spread)
        workers.run(spread_maps, n_strips, *arrays, grain=2)
        lost = n_known + np.flatnonzero(spread.is_lost[n_known:])
        self._compose(block, steps, lost, spread, workers)
        return spread

    def _compose(
        self, block: Block, steps: Steps, chosen: Ints, spread: Spread, workers: Workers
    ) -> None:
        """Write the maps on chosen children from the patterns there."""
        layer = self.network.layers[block.level]
        weight, bias = self.network.following(block.level)

        def compose_range(start: int, stop: int) -> None:
            step = max(1, ROOT_ENTRIES // block.columns[0].size)
            for first in range(start, stop, step):
                held = chosen[first : min(first + step, stop)]
                bits = np.unpackbits(spread.signs[held], axis=1, count=layer.n_hinges)
                patterns = bits.reshape(-1, layer.n_units, layer.n_breakpoints).sum(
                    axis=2, dtype=np.uint8
                )
                columns = block.columns[steps.parents[held]]
                spread.columns[held] = compose(layer.activate_maps(columns, patterns), weight, bias)

        if len(chosen):
            workers.run(compose_range, len(chosen), grain=ROOT_GRAIN)

    def _first_signs(self, level: int) -> NDArray[np.uint8]:
        """Signs of the layer's hinges in the first child of each region of a level, as bits.

        Each look-up of patterns walks the whole partition; so there are few, and the results are
        kept.
        """
        if level not in self._packed:
            layer, members = self.network.layers[level], self._nesting.members[level]
            bits = np.empty((len(members), -(-layer.n_hinges // 8)), np.uint8)
            step = max(1, PATTERN_ENTRIES // max(layer.n_hinges, 1))
            units = self.network.units.first_units[level : level + 2]
            for start in range(0, len(members), step):
                held = slice(start, start + step)
                patterns = self._patterns(members[held], *units)
                exceeded = patterns[:, :, None] > np.arange(layer.n_breakpoints)
                bits[held] = np.packbits(exceeded.reshape(len(patterns), -1), axis=1)
            self._packed[level] = bits
        return self._packed[level]
