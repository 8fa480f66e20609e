"""The affine maps from a slice to a network's outputs, kept where they are not too many."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property

import numpy as np

from splinecam.common.types import Floats, Ints
from splinecam.common.workers import Workers
from splinecam.network.planar import PlanarNetwork
from splinecam.network.reduced import ReducedNetwork
from splinecam.partition.maps import MapWalk
from splinecam.partition.patterns import PatternWalk
from splinecam.partition.reduced_maps import ReducedMapWalk

KEPT_BYTES = 2**30
"""Size up to which the maps on all regions are kept once they are computed."""

PATTERN_ENTRIES = 2**28
"""Entries of patterns held at a time while maps of chosen regions are composed."""

COLUMN_ENTRIES = 2**21
"""Entries of maps into one layer that are composed at a time."""


class OutputMaps:
    """The maps on the regions of a partition.

    Parameters
    ----------
    network : PlanarNetwork or ReducedNetwork
    n_regions : int
    new_walk, new_patterns : callable
        What makes the walk over the regions with their maps, and that with their patterns; maps
        that are taken over need neither.
    """

    def __init__(
        self,
        network: PlanarNetwork | ReducedNetwork,
        n_regions: int,
        new_walk: Callable[[], MapWalk | ReducedMapWalk],
        new_patterns: Callable[[], PatternWalk],
    ):
        self._network = network
        self._n_regions = n_regions
        self._new_walk = new_walk
        self._new_patterns = new_patterns
        self._kept: tuple[Floats, Floats] | None = None

    @cached_property
    def _walk(self) -> MapWalk | ReducedMapWalk:
        return self._new_walk()

    def all(self) -> tuple[Floats, Floats]:
        """A (R, out, 2) and b (R, out), read-only."""
        if self._kept is not None:
            return self._kept
        slopes, offsets = self._empty(self._n_regions)
        with Workers() as workers:
            for regions, *maps in self._walk.blocks(workers):
                slopes[regions], offsets[regions] = maps
        slopes.setflags(write=False)
        offsets.setflags(write=False)
        if self._are_kept:
            self._kept = slopes, offsets
        return slopes, offsets

    def blocks(self, workers: Workers) -> Iterator[tuple[Ints, Floats, Floats]]:
        """Yield regions, some at a time, with A (k, out, 2) and b (k, out) there."""
        if self._are_kept:
            yield np.arange(self._n_regions), *self.all()
        else:
            yield from self._walk.blocks(workers)

    def of(self, regions: Ints) -> tuple[Floats, Floats]:
        """A (k, out, 2) and b (k, out) on chosen regions, from what is kept."""
        if self._are_kept:
            slopes, offsets = self.all()
            return slopes[regions], offsets[regions]
        return self.compose(regions)

    def compose(self, regions: Ints) -> tuple[Floats, Floats]:
        """A (k, out, 2) and b (k, out) on chosen regions, from their patterns."""
        if isinstance(self._walk, ReducedMapWalk):
            wanted, inverse = np.unique(regions, return_inverse=True)
            slopes, offsets = self._walk.outputs(wanted)
            return slopes[inverse], offsets[inverse]
        network, walk = self._walk.network, self._new_patterns()
        slopes, offsets = self._empty(len(regions))
        n_units = network.units.n_units
        width = max([*network.units.sizes, network.n_outputs])
        for held in _ranges(len(regions), PATTERN_ENTRIES // max(n_units, 1)):
            patterns = walk.patterns(regions[held], 0, n_units)
            for part in _ranges(len(patterns), COLUMN_ENTRIES // (3 * width)):
                rows = held[part]
                slopes[rows], offsets[rows] = network.affine_maps(patterns[part])
        return slopes, offsets

    def derive(self, source: OutputMaps, weight: Floats, bias: Floats) -> None:
        """Take over what is kept of the maps to outputs of which these are affine functions."""
        if not source._are_kept:
            return
        slopes, offsets = source.all()
        is_same = np.array_equal(weight, np.eye(source._n_outputs)) and not bias.any()
        if not is_same:
            slopes = np.matmul(slopes.transpose(2, 0, 1), weight.T).transpose(1, 2, 0).copy()
            offsets = offsets @ weight.T + bias
        self._kept = slopes, offsets

    @property
    def _n_outputs(self) -> int:
        return self._network.n_outputs

    @property
    def _are_kept(self) -> bool:
        is_small = 24 * self._n_regions * self._n_outputs <= KEPT_BYTES
        return is_small or self._kept is not None

    def _empty(self, count: int) -> tuple[Floats, Floats]:
        return np.empty((count, self._n_outputs, 2)), np.empty((count, self._n_outputs))


def _ranges(count: int, length: int) -> Iterator[Ints]:
    """Cut ``0 … count - 1`` into runs of at most `length` numbers, and at least one."""
    step = max(1, length)
    return (np.arange(start, min(start + step, count)) for start in range(0, count, step))
