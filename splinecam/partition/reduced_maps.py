"""Affine maps on the regions of a reduced network, place by place.

On a small part of the slice few units are unsteady. So the network is narrowed, box by box along a
tree, and the maps are composed from the patterns of the units that are unsteady on the box.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from splinecam.common.types import Floats, Ints
from splinecam.common.workers import Workers
from splinecam.cutting.mesh import places_within
from splinecam.network.narrowing import narrow
from splinecam.network.reduced import ReducedNetwork
from splinecam.partition.region_tree import Box, RegionTree

BATCH_BYTES = 2**28
"""Of patterns and networks that are held at a time, about."""

ENTRIES = 2**22
"""Entries of maps that are composed at a time."""

GRAIN = 64
"""Least number of regions that is worth a range of its own."""

SIMPLE = 24
"""Unsteady units up to which a network is not narrowed."""


class Wanted(NamedTuple):
    """Units whose patterns are wanted, box by box."""

    boxes: Ints  # (R,) int32: the box of each region; -1 where it is not wanted
    places: Ints  # (R,) int64: where the region's patterns begin
    offsets: Ints  # (boxes + 1,) int64: where the units of each box begin
    units: Ints  # int64, counted through the network


class _Part(NamedTuple):
    """Maps to all activations on some regions of a box."""

    network: ReducedNetwork
    regions: Ints  # (k,)
    columns: Floats  # (2 + K, 3, k)


class ReducedMapWalk:
    """Goes through the regions of a partition with the maps on them.

    Parameters
    ----------
    network : ReducedNetwork
    tree : RegionTree
    patterns : callable
        The patterns of wanted units, region by region, one after the other, from a `Wanted` and
        how many there are.
    """

    def __init__(
        self,
        network: ReducedNetwork,
        tree: RegionTree,
        patterns: Callable[[Wanted, int], np.ndarray],
    ):
        self.network = network
        self._tree = tree
        self._patterns = patterns

    def outputs(self, regions: Ints) -> tuple[Floats, Floats]:
        """The maps to the outputs on regions (k,), each given once.

        Returns
        -------
        A : ndarray
            (k, out, 2) float64.
        b : ndarray
            (k, out) float64.
        """
        rows = np.empty(len(self._tree.order), np.int64)
        rows[regions] = np.arange(len(regions))
        n_outputs = self.network.n_outputs
        slopes, offsets = (
            np.empty((len(regions), n_outputs, 2)),
            np.empty((len(regions), n_outputs)),
        )
        with Workers() as workers:
            for held, *maps in self.blocks(workers, regions):
                slopes[rows[held]], offsets[rows[held]] = maps
        return slopes, offsets

    def blocks(
        self, workers: Workers, regions: Ints | None = None
    ) -> Iterator[tuple[Ints, Floats, Floats]]:
        """Yield regions, some at a time, with A (k, out, 2) and b (k, out) for the outputs."""
        for network, held, columns in self._parts(workers, regions):
            outputs = np.tensordot(network.weight, columns, axes=1)
            outputs[:, 2] += network.bias[:, None]
            slopes = np.ascontiguousarray(outputs[:, :2].transpose(2, 0, 1))
            yield held, slopes, np.ascontiguousarray(outputs[:, 2].T)

    def gradients(self, layers: Ints, units: Ints, regions: Ints) -> Floats:
        """(n, 2): gradients of units of given layers, no max groups, on regions where they cut."""
        found = np.empty((len(layers), 2))
        flat = np.array(self.network.units.first_units, np.int64)[layers] + units
        order = np.argsort(regions, kind="stable")
        ascending = regions[order]
        with Workers() as workers:
            for network, held, columns in self._parts(workers, np.unique(regions)):
                starts = np.searchsorted(ascending, held)
                counts = np.searchsorted(ascending, held, side="right") - starts
                entries = order[np.repeat(starts, counts) + places_within(counts)]
                places = np.repeat(np.arange(len(held)), counts)
                found[entries] = network.unit_gradients(flat[entries], columns, places)
        return found

    def _parts(self, workers: Workers, regions: Ints | None) -> Iterator[_Part]:
        workers.limit_blas()
        is_wanted = np.ones(len(self._tree.order), bool)
        if regions is not None:
            is_wanted[:] = False
            is_wanted[regions] = True
        batch: list[tuple[Ints, ReducedNetwork]] = []
        n_bytes = 0
        for held, network in self._boxes(is_wanted):
            batch.append((held, network))
            n_bytes += len(held) * len(network.read_units) + network.n_bytes
            if n_bytes > BATCH_BYTES:
                yield from self._composed(batch, workers)
                batch, n_bytes = [], 0
        yield from self._composed(batch, workers)

    def _boxes(self, is_wanted: np.ndarray) -> Iterator[tuple[Ints, ReducedNetwork]]:
        """Regions that are in a box and not in its children, and the network on the box."""
        ordered = is_wanted[self._tree.order]
        sums = np.append(0, np.cumsum(ordered))

        def descend(box: Box, network: ReducedNetwork) -> Iterator[tuple[Ints, ReducedNetwork]]:
            if sums[box.start] == sums[box.stop]:
                return
            if network.n_activations > SIMPLE:
                network, _ = narrow(network, box.corners)
            own = self._tree.order[box.start : box.own_stop]
            own = own[is_wanted[own]]
            if len(own):
                yield own, network
            for child in box.children:
                yield from descend(child, network)

        yield from descend(self._tree.root, self.network)

    def _composed(
        self, batch: list[tuple[Ints, ReducedNetwork]], workers: Workers
    ) -> Iterator[_Part]:
        if not batch:
            return
        n_regions = len(self._tree.order)
        boxes, places = np.full(n_regions, -1, np.int32), np.empty(n_regions, np.int64)
        sizes = [len(network.read_units) for _, network in batch]
        starts = np.cumsum([0, *(len(held) * n for (held, _), n in zip(batch, sizes, strict=True))])
        for number, (held, _) in enumerate(batch):
            boxes[held] = number
            places[held] = starts[number] + sizes[number] * np.arange(len(held))
        units = np.concatenate([network.read_units for _, network in batch])
        wanted = Wanted(boxes, places, np.cumsum([0, *sizes]), units)
        flat = self._patterns(wanted, int(starts[-1]))
        for number, (held, network) in enumerate(batch):
            own = flat[starts[number] : starts[number + 1]].reshape(len(held), sizes[number])
            width = 3 * max(2 + network.n_activations, network.n_outputs)
            step = max(1, ENTRIES // width)
            for first in range(0, len(held), step):
                part = slice(first, first + step)
                columns = _compose(network, own[part], workers)
                yield _Part(network, held[part], columns)


def _compose(network: ReducedNetwork, patterns: np.ndarray, workers: Workers) -> Floats:
    columns = np.empty((2 + network.n_activations, 3, len(patterns)))

    def compose_range(start: int, stop: int) -> None:
        columns[:, :, start:stop] = network.activation_maps(patterns[start:stop])

    workers.run(compose_range, len(patterns), grain=GRAIN)
    return columns
