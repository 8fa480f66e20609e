"""The exact places of a partition's vertices, and predicates on them.

See `splinecam.proof.strict` for what is shown with them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from splinecam.common.types import Floats, Ints
from splinecam.exact import (
    ExactNetwork,
    Point,
    Row,
    distance_bound,
    intersection,
    line_through,
    order_along,
    point_at,
    sign_at,
    turn,
)
from splinecam.partition.partition import Partition
from splinecam.proof.certificate import Failure, Record, allowed_distance, batches
from splinecam.proof.enclosures import Ball, EnclosedBend, EnclosedNetwork, round_up
from splinecam.slices import Slice

SWEEP: Row = (-613, 1019, 0)
"""A line along which to look for minima; hardly any edge is at right angles to it."""


class Sites:
    """The exact places of vertices, and predicates on them.

    Parameters
    ----------
    record : Record
        Of a partition whose patterns differ across inner edges as its flips say.
    exact : ExactNetwork
    enclosed_network : EnclosedNetwork

    Attributes
    ----------
    corners : ndarray
        (n,) the vertices at the slice's corners; empty if there is no outline.
    sides : ndarray
        (E,) the side of the slice that each edge is on, -1 for inner edges.
    first, second : ndarray
        (V,) the two edges whose lines define each vertex, but for corners.
    enclosed : Ball
        (V, 2) where the vertices are.
    is_computed : ndarray
        (V,) whether a vertex is computed in integers; other edges than these may define it.
    """

    def __init__(self, record: Record, exact: ExactNetwork, enclosed_network: EnclosedNetwork):
        p = record.partition
        self._exact = exact
        self._enclosed_network = enclosed_network
        self._record = record
        self._partition = p
        self._offsets, self._edges = _edges_around(record)
        self.first, self.second = (self._edges[self._offsets[:-1] + k] for k in (0, 1))
        self._line = lru_cache(None)(self._computed_line)
        self._point = lru_cache(None)(self._computed_point)
        self.corners, self.sides = _outline(p, self._is_corner)

    def check_outline(self) -> bool:
        """Check that the outer edges lead round the slice."""
        n_outer = np.count_nonzero(self._partition.edge_layers < 0)
        n_wrong = int(not len(self.corners))
        failures = [Failure("outline", "the outer edges do not lead round the slice")][:n_wrong]
        detail = "outer edges: they lead round the slice from corner to corner"
        return self._record.add("outline", n_outer, detail, failures, n_wrong)

    def check_places(self) -> bool:
        """Check that lines meet at the vertices, and bound how far away the stored ones are."""
        p = self._partition
        distances = self._enclosed_distances()
        self.is_computed = ~(distances.max(axis=1) <= allowed_distance(p.slice))
        for vertex in np.flatnonzero(self.is_computed).tolist():
            point, stored = self._point(vertex), point_at(*p.vertices[vertex])
            distances[vertex] = np.inf if point is None else distance_bound(point, stored)
        self.enclosed = Ball(p.vertices, distances)
        wrong = np.flatnonzero(np.isinf(distances).any(axis=1))
        failures = (
            self._record.failure(
                "places",
                f"the lines of the edges at vertex {v} do not meet",
                p.edge_regions[self.second[v], 0],
                self._record.edge_units[self.second[v]],
            )
            for v in wrong
        )
        detail = (
            f"vertices: no further than {distances.max():.2g} from where the lines of two edges "
            f"meet ({np.count_nonzero(self.is_computed):,} computed in integers)"
        )
        return self._record.add("places", p.n_vertices, detail, failures, len(wrong))

    def turns(self, p: Ints, q: Ints, r: Ints) -> NDArray[np.int8]:
        """1 where the way from `p` over `q` to `r`, vertices (n,), turns left."""
        into, out = self.enclosed[q] - self.enclosed[p], self.enclosed[r] - self.enclosed[q]
        signs = (into[:, 0] * out[:, 1] - into[:, 1] * out[:, 0]).signs
        for i in np.flatnonzero(signs == 0):
            signs[i] = turn(*map(self.point, (p[i], q[i], r[i])))
        return signs

    def climbs(self, p: Ints, q: Ints) -> NDArray[np.int8]:
        """1 where vertex `q` is higher than `p` along `SWEEP`, -1 where it is lower.

        If both are level, the one with the greater first coordinate is higher.
        """
        step = self.enclosed[q] - self.enclosed[p]
        b, a = (Ball.of(np.array(float(x))) for x in (SWEEP[1], SWEEP[0]))
        signs = (step[:, 0] * b - step[:, 1] * a).signs
        for i in np.flatnonzero(signs == 0):
            points = self.point(p[i]), self.point(q[i])
            signs[i] = order_along(SWEEP, *points) or order_along((0, 1, 0), *points)
        return signs

    def point(self, vertex: int) -> Point:
        """The exact place of a vertex; they have been checked to exist."""
        point = self._point(int(vertex))
        assert point is not None
        return point

    def _computed_point(self, vertex: int) -> Point | None:
        """Where a vertex is; None if all lines of its edges are parallel."""
        if vertex in self.corners:
            return point_at(*self._partition.vertices[vertex])
        first, *others = map(self._line, self._around(vertex))
        return next(filter(None, (intersection(first, line) for line in others)), None)

    def _computed_line(self, edge: int) -> Row:
        p = self._partition
        if p.edge_layers[edge] < 0:
            corners = np.roll(p.slice.polygon, -self.sides[edge], axis=0)
            return line_through(point_at(*corners[0]), point_at(*corners[1]))
        layer, unit = int(p.edge_layers[edge]), int(p.edge_units[edge])
        left, right = self._record.edge_pieces[edge].tolist()
        pattern = self._record.pattern(int(p.edge_regions[edge, 0]))
        bend = self._enclosed_network.layers[layer]
        if isinstance(bend, EnclosedBend):
            number = unit * len(bend.breakpoints) + min(left, right)
            return self._exact.hinges(layer, pattern, [number])[0]
        return self._exact.differences(layer, pattern, [(unit, left, right)])[0]

    def _is_corner(self, vertex: int, corner: Point) -> bool:
        """Whether the lines of all inner edges at a vertex go through a corner of the slice."""
        inner = [e for e in self._around(vertex) if self._partition.edge_layers[e] >= 0]
        return all(sign_at(self._line(edge), corner) == 0 for edge in inner)

    def _around(self, vertex: int) -> list[int]:
        return self._edges[self._offsets[vertex] : self._offsets[vertex + 1]].tolist()

    def _enclosed_distances(self) -> Floats:
        """Bounds of the errors of stored coordinates, (V, 2); not finite where there is none."""
        lines = self._enclosed_lines()
        u, v = (Ball.of(x) for x in self._partition.vertices.T)
        (a, b, at_first), (c, d, at_second) = (
            (line[:, 0], line[:, 1], line[:, 0] * u + line[:, 1] * v + line[:, 2])
            for line in (lines[self.first], lines[self.second])
        )
        # Cramer's rule for the step to where both lines vanish.
        steps = (at_second * b - at_first * d).largest, (at_first * c - at_second * a).largest
        distances = round_up(np.column_stack(steps) / (a * d - b * c).smallest[:, None])
        distances[self.corners] = 0
        return distances

    def _enclosed_lines(self) -> Ball:
        """The lines of all edges as affine functions, (E, 3)."""
        p, layers = self._partition, self._enclosed_network.layers
        sides = _enclosed_sides(p.slice)
        lines = sides[np.maximum(self.sides, 0)]
        by_region = np.argsort(p.edge_regions[:, 0], kind="stable")
        lefts = p.edge_regions[by_region, 0]
        widest = max((layer.n_read for layer in layers), default=1)
        for block, patterns in self._record.region_blocks():
            for batch in batches(len(patterns), 3 * widest):
                start = block.start + batch.start
                bounds = np.searchsorted(lefts, [start, start + len(patterns[batch])])
                edges = by_region[slice(*bounds)]
                rows = self._enclosed_network.rows(patterns[batch])
                for number, (layer, columns) in enumerate(zip(layers, rows, strict=True)):
                    here = edges[p.edge_layers[edges] == number]
                    left, right = self._record.edge_pieces[here].T
                    own = p.edge_regions[here, 0] - start
                    found = columns[own, :, p.edge_units[here]]
                    if isinstance(layer, EnclosedBend):
                        breakpoints = layer.breakpoints[np.minimum(left, right), p.edge_units[here]]
                        found = found - Ball.of(np.outer(breakpoints, [0.0, 0.0, 1.0]))
                    else:
                        each = np.arange(len(here))
                        found = found[each, :, left] - found[each, :, right]
                    lines.mid[here], lines.rad[here] = found.mid, found.rad
        return lines


def _outline(p: Partition, is_corner: Callable[[int, Point], bool]) -> tuple[Ints, Ints]:
    """The slice's corners among the vertices, and the side of each edge, -1 for inner edges.

    There are no corners where the outer edges are no loop that visits the corners in order. Several
    vertices may be rounded to one corner; `is_corner` tells them apart.
    """
    sides = np.full(p.n_edges, -1)
    outer = np.flatnonzero(p.edge_layers < 0).tolist()
    leaving = dict(zip(p.edges[outer, 0].tolist(), outer, strict=True))
    loop = [outer[0]]
    while (following := leaving.pop(int(p.edges[loop[-1], 1]), -1)) not in (-1, outer[0]):
        loop.append(following)
    starts = p.edges[loop, 0]
    places = []
    for corner in p.slice.polygon:
        here = np.flatnonzero((p.vertices[starts] == corner).all(axis=1)).tolist()
        places += [i for i in here if is_corner(int(starts[i]), point_at(*corner))][:1]
    lengths = np.diff([*places, *places[:1]]) % len(loop)
    is_whole = following == outer[0] and len(loop) == len(outer)
    if not is_whole or len(places) < len(p.slice.polygon) or lengths.sum() != len(loop):
        return np.zeros(0, int), sides
    sides[np.roll(loop, -places[0])] = np.repeat(np.arange(len(places)), lengths)
    return starts[places], sides


def _edges_around(record: Record) -> tuple[Ints, Ints]:
    """The edges at each vertex, as offsets and edges; the two to define it by come first.

    These are a side of the slice or else the edge of the earliest unit, and the edge of another
    unit, or of another breakpoint or pair of members, that is most nearly at right angles to it.
    """
    p = record.partition
    low, high = np.sort(record.edge_pieces, axis=1).T
    kinds = (record.edge_units.astype(np.int64) << 16) + (low << 8) + high
    vertices, edges = p.edges.ravel(), np.repeat(np.arange(p.n_edges), 2)
    order = np.lexsort((kinds[edges], vertices))
    vertices, edges = vertices[order], edges[order]
    offsets = np.searchsorted(vertices, np.arange(p.n_vertices + 1))
    first = edges[offsets[:-1]][vertices]
    spans = p.vertices[p.edges[:, 1]] - p.vertices[p.edges[:, 0]]
    spans /= np.fmax(np.linalg.norm(spans, axis=1), np.finfo(float).tiny)[:, None]
    a, b = spans[first], spans[edges]
    sines = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    sines[kinds[first] == kinds[edges]] = -1
    sines[first == edges] = 2
    return offsets, edges[np.lexsort((-sines, vertices))]


def _enclosed_sides(slice_: Slice) -> Ball:
    """The slice's sides as affine functions, (n, 3), positive on their left."""
    start = Ball.of(slice_.polygon)
    end = Ball.of(np.roll(slice_.polygon, -1, axis=0))
    columns = (
        start[:, 1] - end[:, 1],
        end[:, 0] - start[:, 0],
        start[:, 0] * end[:, 1] - start[:, 1] * end[:, 0],
    )
    mid, rad = ([getattr(x, name) for x in columns] for name in ("mid", "rad"))
    return Ball(np.column_stack(mid), np.column_stack(rad))
