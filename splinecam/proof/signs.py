"""The signs of hinges and of differences of members at a partition's vertices.

See `splinecam.proof.strict` for what is shown with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from typing import Any, SupportsInt

import numpy as np
from numpy.typing import NDArray

from splinecam.common.types import Ints
from splinecam.exact import ExactNetwork, Pattern, Row, pattern_of, sign_at
from splinecam.proof.certificate import Record, batches
from splinecam.proof.enclosures import Ball, EnclosedBend, EnclosedMaximum, EnclosedNetwork
from splinecam.proof.sites import Sites

Flags = NDArray[np.bool_]
SignArray = NDArray[np.int8]
Patterns = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class _Batch:
    """Some regions with their corners.

    Parameters
    ----------
    start : int
        The first region.
    patterns : ndarray
        (k, units).
    vertices : ndarray
        (n,) the vertices at the corners.
    is_new : ndarray
        (n,) bool, those that were in no batch before.
    corners, regions : ndarray
        (c,) the vertex of each corner, a place in `vertices`, and its region, counted from `start`.
    starts : ndarray
        (k,) the first corner of each region.
    some : ndarray
        (n,) a region of the batch at each vertex, counted from `start`.
    """

    start: int
    patterns: Patterns
    vertices: Ints
    is_new: Flags
    corners: Ints
    regions: Ints
    starts: Ints
    some: Ints


class Signs:
    """The signs of all hinges, and of all differences between members, at all vertices.

    Parameters
    ----------
    record : Record
    exact : ExactNetwork
    enclosed_network : EnclosedNetwork
    sites : Sites
        Places that have been checked.
    """

    def __init__(
        self, record: Record, exact: ExactNetwork, enclosed_network: EnclosedNetwork, sites: Sites
    ):
        self._record = record
        self._partition = record.partition
        self._exact = exact
        self._enclosed_network = enclosed_network
        self._sites = sites
        self._n_computed = 0

    def check(self) -> bool:
        """Check that they are those of the patterns."""
        record, layers = self._record, self._enclosed_network.layers
        starts = np.cumsum([0, *(layer.n_units for layer in layers)])
        wrong = [np.zeros((0, 2), np.intp)]
        for batch in self._batches():
            read = self._enclosed_network.preactivations(self._sites.enclosed[batch.vertices])
            for number, (layer, balls) in enumerate(zip(layers, read, strict=True)):
                pieces = batch.patterns[:, starts[number] : starts[number + 1]]
                if isinstance(layer, EnclosedBend):
                    found = self._bend(number, layer, balls, pieces, batch)
                else:
                    found = self._maximum(number, layer, balls, pieces, batch)
                wrong.append(np.argwhere(found) + np.array([batch.start, starts[number]]))
        places = np.concatenate(wrong)
        failures = (
            record.failure("signs", "the exact signs at the corners are not the pattern's", *place)
            for place in places
        )
        detail = (
            f"signs at vertices: {record.n_interval:,} by intervals, "
            f"{record.n_exact - self._n_computed:,} as they define the vertex, "
            f"{self._n_computed:,} in integers"
        )
        return record.add(
            "signs", record.n_interval + record.n_exact, detail, failures, len(places)
        )

    def _batches(self) -> Iterator[_Batch]:
        p = self._partition
        is_new = np.ones(p.n_vertices, bool)
        # Members are looked at corner by corner, of which there are four in a region.
        layers = self._enclosed_network.layers
        reads = [x.n_read * (4 if isinstance(x, EnclosedMaximum) else 1) for x in layers]
        for block, patterns in self._record.region_blocks():
            for batch in batches(len(patterns), max(reads, default=1)):
                own = patterns[batch]
                start = block.start + batch.start
                offsets = p.region_offsets[start : start + len(own) + 1].astype(np.intp)
                at = p.region_vertices[offsets[0] : offsets[-1]]
                vertices, some, corners = np.unique(at, return_index=True, return_inverse=True)
                regions = np.repeat(np.arange(len(own)), np.diff(offsets))
                new = is_new[vertices]
                is_new[vertices] = False
                starts = offsets[:-1] - offsets[0]
                yield _Batch(start, own, vertices, new, corners, regions, starts, regions[some])

    def _bend(
        self, number: int, layer: EnclosedBend, z: Ball, pieces: Patterns, batch: _Batch
    ) -> Flags:
        """Where the hinges of a layer contradict the patterns, (k, units)."""
        wrong = np.zeros(pieces.shape, bool)
        n = len(layer.breakpoints)
        rows = partial(self._exact.hinges, number)
        for rank, breakpoints in enumerate(layer.breakpoints):
            signs = (z - Ball.of(breakpoints)).signs
            is_zero = np.zeros(signs.shape, bool)
            for vertices, units, left, right in self._defining(number, batch):
                here = np.minimum(left, right) == rank
                is_zero[vertices[here], units[here]] = True
            vertices, units = np.nonzero((signs == 0) & ~is_zero)
            new = batch.is_new
            self._count(signs[new] != 0, np.count_nonzero(new[vertices]))
            hinges = (units * n + rank).tolist()
            found = self._exact_signs(batch, batch.some[vertices], vertices, hinges, rows)
            signs[vertices, units] = found
            corners = signs[batch.corners]
            lowest = np.minimum.reduceat(corners, batch.starts)
            highest = np.maximum.reduceat(corners, batch.starts)
            exceeded = pieces > rank
            wrong |= np.where(exceeded, (lowest < 0) | (highest <= 0), highest > 0)
        return wrong

    def _maximum(
        self, number: int, layer: EnclosedMaximum, members: Ball, pieces: Patterns, batch: _Batch
    ) -> Flags:
        """Where the members of a layer's groups contradict the patterns, (k, units).

        Compared are the largest member by the pattern and each other one, at each corner.
        """
        positions = np.arange(layer.members.shape[1])
        largest = pieces.astype(np.intp)[..., None]  # (k, units, 1)
        own = largest[batch.regions]
        at = members[batch.corners]
        top = Ball(*(np.take_along_axis(x, own, axis=2) for x in (at.mid, at.rad)))
        is_other = (layer.members >= 0) & (positions != own)
        is_equal = at.is_equal(top)
        signs = np.where(is_equal, 0, (top - at).signs)
        is_zero = is_equal | self._is_zero_by_definition(number, batch, own, signs.shape)
        corners, units, others = np.nonzero((signs == 0) & is_other & ~is_zero)
        self._count((signs != 0)[is_other] | is_equal[is_other], len(corners))
        places = np.column_stack([units, own[corners, units, 0], others]).tolist()
        rows = partial(self._exact.differences, number)
        regions, vertices = batch.regions[corners], batch.corners[corners]
        found = self._exact_signs(batch, regions, vertices, places, rows)
        signs[corners, units, others] = found
        signs[~is_other] = 1
        lowest = np.minimum.reduceat(signs, batch.starts)
        highest = np.maximum.reduceat(signs, batch.starts)
        # Of equal members the first one counts.
        return ((lowest < 0) | ((highest <= 0) & (positions < largest))).any(axis=2)

    def _is_zero_by_definition(
        self, number: int, batch: _Batch, own: Ints, shape: tuple[int, ...]
    ) -> Flags:
        """Which differences between the largest member and others are zero by their vertex."""
        is_zero = np.zeros(shape, bool)
        for vertices, units, left, right in self._defining(number, batch):
            which = np.full(len(batch.vertices), -1)
            which[vertices] = np.arange(len(vertices))
            which = which[batch.corners]
            corners = np.flatnonzero(which >= 0)
            which = which[corners]
            for one, other in ((left, right), (right, left)):
                here = own[corners, units[which], 0] == one[which]
                is_zero[corners[here], units[which[here]], other[which[here]]] = True
        return is_zero

    def _defining(self, number: int, batch: _Batch) -> Iterator[tuple[Ints, Ints, Ints, Ints]]:
        """Vertices that edges of a layer define, with the edges' units and pieces on their sides.

        Vertices are places in those of the batch.
        """
        p, sites = self._partition, self._sites
        is_defined = ~sites.is_computed[batch.vertices] & ~np.isin(batch.vertices, sites.corners)
        for edges in (sites.first[batch.vertices], sites.second[batch.vertices]):
            vertices = np.flatnonzero(is_defined & (p.edge_layers[edges] == number))
            left, right = self._record.edge_pieces[edges[vertices]].T
            yield vertices, p.edge_units[edges[vertices]], left, right

    def _count(self, by_intervals: Flags, n_computed: SupportsInt) -> None:
        """Count signs: those that intervals decide, all others, and how many of these are not 0."""
        n_interval = int(np.count_nonzero(by_intervals))
        self._record.n_interval += n_interval
        self._record.n_exact += by_intervals.size - n_interval
        self._n_computed += int(n_computed)

    def _exact_signs(
        self,
        batch: _Batch,
        regions: Ints,
        vertices: Ints,
        questions: list[Any],
        rows: Callable[[Pattern, list[Any]], list[Row]],
    ) -> SignArray:
        """Signs at vertices of the functions that `rows` has for questions about regions."""
        signs = np.empty(len(questions), np.int8)
        # Questions about the same region share most of the work.
        order = np.lexsort((vertices, regions)).tolist()
        places = list(zip(regions.tolist(), vertices.tolist(), strict=True))
        for (region, vertex), group in groupby(order, key=places.__getitem__):
            chosen = list(group)
            found = rows(pattern_of(batch.patterns[region]), [questions[i] for i in chosen])
            point = self._sites.point(int(batch.vertices[vertex]))
            signs[chosen] = [sign_at(row, point) for row in found]
        return signs
