"""Activation patterns of regions, from one root pattern and what changes across edges."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from splinecam._kernels.traversal import Flips, collect_boxes, collect_patterns
from splinecam.common.types import Ints
from splinecam.partition.reduced_maps import Wanted


@dataclass(frozen=True, eq=False)
class PatternWalk:
    """Walks over all regions that keep track of the pattern.

    Parameters
    ----------
    root : int
        The region that walks start from.
    root_pattern : ndarray
        (n_units,): its pattern.
    region_offsets, region_halfedges, edge_regions : ndarray
        As in `Partition`.
    flips : Flips
    """

    root: int
    root_pattern: NDArray[np.uint8]
    region_offsets: Ints
    region_halfedges: Ints
    edge_regions: Ints
    flips: Flips

    def patterns(self, regions: Ints, first: int, stop: int) -> NDArray[np.uint8]:
        """The patterns, (k, stop - first), of consecutive units in regions."""
        wanted, inverse = np.unique(regions, return_inverse=True)
        rows = np.full(len(self.region_offsets) - 1, -1, np.int32)
        is_repeated = len(wanted) < len(regions)
        rows[wanted if is_repeated else regions] = np.arange(len(wanted))
        patterns = np.empty((len(wanted), stop - first), self.root_pattern.dtype)
        collect_patterns(*self._start, rows, patterns, first)
        return patterns[inverse] if is_repeated else patterns

    def boxes(self, wanted: Wanted, count: int) -> NDArray[np.uint8]:
        """The patterns (count,) of wanted units."""
        patterns = np.empty(count, self.root_pattern.dtype)
        collect_boxes(*self._start, wanted, patterns)
        return patterns

    @property
    def _start(self) -> tuple[int, NDArray[np.uint8], Ints, Ints, Ints, Flips]:
        loops = (self.region_offsets, self.region_halfedges, self.edge_regions)
        return (self.root, self.root_pattern.copy(), *loops, self.flips)
