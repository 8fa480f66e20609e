"""What checks of a partition find: failures, and the certificate that sums them up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import islice
from typing import NamedTuple, SupportsInt

import numpy as np
from numpy.typing import NDArray

from splinecam.common.types import Ints
from splinecam.exact import Pattern, pattern_of
from splinecam.partition.partition import Partition
from splinecam.slices import Slice

Patterns = NDArray[np.uint8]

TOLERANCE = 1e-9
"""Error that coordinates and values may have, relative to their extent on the slice."""

SHOWN = 100
"""Failures of one check that are named; its detail counts all."""

ENTRIES = 2**20
"""Numbers that one batch of points or regions may have in a layer."""

KEPT = 2**12
"""Patterns of single regions that are kept."""

HELD_PATTERNS = 2**26
"""Entries of patterns that are held at a time."""


@dataclass(frozen=True)
class Failure:
    """Something that a check found wrong.

    Parameters
    ----------
    check : str
        The check's name.
    message : str
        What is wrong.
    region : int or None
        The region it concerns.
    layer : str or None
        The layer of the unit it concerns, by name.
    unit : int or None
        The unit, within its layer.
    """

    check: str
    message: str
    region: int | None = None
    layer: str | None = None
    unit: int | None = None

    def __str__(self) -> str:
        region = "" if self.region is None else f"region {self.region}: "
        unit = "" if self.unit is None else f"unit {self.unit} of layer '{self.layer}': "
        return f"{self.check}: {region}{unit}{self.message}"


@dataclass(frozen=True)
class Check:
    """One check that was made.

    Parameters
    ----------
    name : str
    passed : bool
    n_checked : int
        How many things were looked at.
    detail : str
        What things, and what was found.
    """

    name: str
    passed: bool
    n_checked: int
    detail: str


@dataclass(frozen=True)
class Certificate:
    """What `verify` checked, and what it found; as a string, a table.

    Parameters
    ----------
    checks : tuple of Check
        In the order in which they were made. Checks that would mean nothing after others have
        failed are not made.
    failures : tuple of Failure
        What is wrong, up to 100 for each check.
    n_interval, n_exact : int
        Signs certified by interval arithmetic, and those certified exactly: in integers, or because
        the vertex is by definition where the sign is zero. There is one for each vertex and hinge
        (a unit at one of its breakpoints), and one for each corner of a region and each member of a
        group other than the largest. Both are 0 unless there is a proof.
    """

    checks: tuple[Check, ...]
    failures: tuple[Failure, ...]
    n_interval: int = 0
    n_exact: int = 0

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return all(check.passed for check in self.checks)

    def __str__(self) -> str:
        rows = [
            (c.name, "passed" if c.passed else "FAILED", f"{c.n_checked:,}", c.detail)
            for c in self.checks
        ]
        names, results, counts, _ = (max(map(len, column)) for column in zip(*rows, strict=True))
        lines = [f"Certificate: {'passed' if self.passed else 'FAILED'}"]
        lines += [f"  {n:<{names}}  {r:<{results}}  {c:>{counts}}  {d}" for n, r, c, d in rows]
        return "\n".join([*lines, *(f"  - {failure}" for failure in self.failures)])


class EdgeBlock(NamedTuple):
    """Some inner edges."""

    edges: Ints
    """(n,) the edges."""
    left: Patterns
    """(n, units) the patterns on their left."""
    right: Patterns
    """(n, units) the patterns on their right."""
    flips: Ints
    """(m,) which of `Partition.edge_flips` are theirs."""
    flip_rows: Ints
    """(m,) the places of the flips' edges in `edges`."""


class Record:
    """Collects checks and failures, and names what they are about.

    Parameters
    ----------
    partition : Partition
        What is checked.

    Attributes
    ----------
    n_interval, n_exact : int
        As in `Certificate`.
    """

    def __init__(self, partition: Partition):
        self.partition = partition
        self.n_interval = 0
        self.n_exact = 0
        self._checks: list[Check] = []
        self._failures: list[Failure] = []
        self._first_units = np.cumsum([0, *partition.layer_sizes])
        self._pattern = lru_cache(KEPT)(
            lambda region: pattern_of(self.patterns(np.array([region]))[0])
        )

    def add(
        self,
        name: str,
        n_checked: SupportsInt,
        detail: str,
        failures: Iterable[Failure] = (),
        n_wrong: SupportsInt = 0,
    ) -> bool:
        """Note a check and what it found; return whether it passed."""
        count = int(n_wrong)
        if count:
            detail += f"; {count:,} wrong"
        self._checks.append(Check(name, not count, int(n_checked), detail))
        self._failures += islice(failures, SHOWN)
        return not count

    def failure(
        self, check: str, message: str, region: SupportsInt, unit: SupportsInt = -1
    ) -> Failure:
        """A failure that concerns a region and a unit, counted through the network; -1: none."""
        number = int(unit)
        if number < 0:
            return Failure(check, message, int(region))
        layer = int(np.searchsorted(self._first_units, number, side="right")) - 1
        name = self.partition.layer_names[layer]
        return Failure(check, message, int(region), name, number - int(self._first_units[layer]))

    def certificate(self) -> Certificate:
        """What has been collected."""
        checks, failures = tuple(self._checks), tuple(self._failures)
        return Certificate(checks, failures, self.n_interval, self.n_exact)

    @property
    def has_failed(self) -> bool:
        """Whether something is wrong."""
        return bool(self._failures)

    @cached_property
    def edge_units(self) -> Ints:
        """(E,) the unit of each edge, counted through the network; -1 for outer edges."""
        p = self.partition
        return np.where(p.edge_layers < 0, -1, self._first_units[p.edge_layers] + p.edge_units)

    @cached_property
    def flip_units(self) -> Ints:
        """(n,) the unit of each of `Partition.edge_flips`, counted through the network."""
        flips = self.partition.edge_flips
        return self._first_units[flips.layers] + flips.units

    @cached_property
    def flip_pieces(self) -> Ints:
        """(n, 2) the patterns of the units of `Partition.edge_flips` left and right of the edge."""
        flips = self.partition.edge_flips
        pieces = np.empty((len(flips.edges), 2), np.intp)
        for block in self.edge_blocks():
            units = self.flip_units[block.flips]
            for side, patterns in enumerate((block.left, block.right)):
                pieces[block.flips, side] = patterns[block.flip_rows, units]
        return pieces

    @cached_property
    def edge_pieces(self) -> Ints:
        """(E, 2) the patterns of each edge's unit on its left and right; zeros for outer edges."""
        edges = self.partition.edge_flips.edges
        pieces = np.zeros((self.partition.n_edges, 2), np.intp)
        first = np.flatnonzero(np.diff(edges, prepend=-1))
        pieces[edges[first]] = self.flip_pieces[first]
        return pieces

    def pattern(self, region: int) -> Pattern:
        """The pattern of one region."""
        return self._pattern(region)

    def patterns(self, regions: Ints | slice) -> Patterns:
        """Patterns (k, units) of regions; all of them are kept if they are few."""
        p = self.partition
        if p.n_regions * p.n_units <= HELD_PATTERNS:
            return self._all_patterns[regions]
        return p.patterns(np.arange(p.n_regions)[regions])

    @cached_property
    def _all_patterns(self) -> Patterns:
        return self.partition.patterns()

    def region_blocks(self) -> Iterator[tuple[slice, Patterns]]:
        """Ranges of regions with their patterns."""
        p = self.partition
        for block in batches(p.n_regions, p.n_units, HELD_PATTERNS):
            yield block, self.patterns(block)

    def edge_blocks(self) -> Iterator[EdgeBlock]:
        """Inner edges with the patterns on their sides."""
        p, flips = self.partition, self.partition.edge_flips
        lefts = p.edge_regions[:, 0]
        inner = np.flatnonzero(p.edge_layers >= 0)
        inner = inner[np.argsort(lefts[inner], kind="stable")]
        order = np.argsort(lefts[flips.edges], kind="stable")
        rows = np.empty(p.n_edges, np.intp)
        for block in batches(p.n_regions, 4 * p.n_units, HELD_PATTERNS):
            ends = [block.start, block.stop]
            edges = inner[slice(*np.searchsorted(lefts[inner], ends))]
            own = order[slice(*np.searchsorted(lefts[flips.edges[order]], ends))]
            regions, sides = np.unique(p.edge_regions[edges], return_inverse=True)
            patterns, sides = self.patterns(regions), sides.reshape(-1, 2)
            rows[edges] = np.arange(len(edges))
            left, right = (patterns[side] for side in sides.T)
            yield EdgeBlock(edges, left, right, own, rows[flips.edges[own]])


def batches(count: int, entries: int, held: int = ENTRIES) -> Iterator[slice]:
    """Ranges of 0 … count - 1, each of things with `entries` numbers, `held` of them in all."""
    step = max(1, held // max(1, entries))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def allowed_distance(slice_: Slice) -> float:
    """The error that coordinates of vertices may have."""
    extent, largest = np.ptp(slice_.polygon, axis=0).max(), np.abs(slice_.polygon).max()
    return float(TOLERANCE * extent + 64 * np.spacing(largest))


def corner_regions(p: Partition) -> Ints:
    """The region of each entry of `region_vertices`."""
    return np.repeat(np.arange(p.n_regions), np.diff(p.region_offsets))


def neighbours(p: Partition) -> tuple[Ints, Ints]:
    """The entries of `region_vertices` before and after each in its loop."""
    after = np.arange(1, len(p.region_halfedges) + 1)
    after[p.region_offsets[1:] - 1] = p.region_offsets[:-1]
    before = np.empty_like(after)
    before[after] = np.arange(len(after))
    return before, after
