"""A proof that a partition is exactly that of a network.

The network is the program with its stored coefficients taken as real numbers, on the plane of the
slice's stored floats. Taken from the partition is what is no float: which vertices, edges and
regions there are, their incidences, and the patterns q. Each vertex is *given* an exact place: a
corner of the slice; on a side of the slice, where an edge's line meets it; elsewhere, where the
lines of two of its edges meet. The line of an edge is the zero line of its hinge (a unit minus one
of its breakpoints), as the affine function that follows from the pattern of the region on the
edge's left. Shown is then:

1. *Outline*: the outer edges form one loop that visits the slice's corners in order.
2. *Places*: two lines meet at every vertex, and the stored vertex is near, by a stated bound.
3. *Tiling*: every region's loop turns strictly left at each corner and has one minimum along a
   fixed direction, so it is a strictly convex polygon. The outer edges run along the sides of the
   slice, never back. The winding numbers of all loops around a point sum up to that of the
   outer loop, since every other edge is run through once in each direction. So every point inside
   the slice that is on no edge is in exactly one region.
4. *Signs*: the sign of every hinge h at every vertex is known. In every region, h >= 0 at all
   corners and > 0 at one where the pattern says that the breakpoint is exceeded, and h <= 0 at all
   corners where it says it is not.

By induction over the layers, q is the pattern everywhere in the interior of each region: where it
is for the layers before, the hinges of this layer are affine on the region, and by continuity on
its closure; an affine function that is >= 0 at all corners and > 0 at one is > 0 inside; one that
is <= 0 at all corners is < 0 inside or zero throughout, which counts as not exceeded. As patterns
differ across every inner edge (the check *flips*), and as the points with one pattern form a
convex set, no two regions belong together: they are the linear regions. Each inner edge is where
the units that flip there are at their breakpoints.

One sign for each vertex and hinge is enough, though many regions share the vertex: given the
layers before, the affine functions that the regions around x have for h are all equal at x to the
network's own h(x), which is continuous. So h(x) may be bounded by running the network itself on a
box around x, or be computed in integers with the affine function of any region at x; and it is
zero without any computation for the two hinges whose lines define x.

All numbers are enclosed by `Ball`; where a ball does not decide, `ExactNetwork` does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import lru_cache
from itertools import chain, groupby
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from splinecam._types import Floats, Ints
from splinecam.certificate import (
    Failure,
    Record,
    allowed_distance,
    batches,
    corner_regions,
    neighbours,
)
from splinecam.enclosures import Ball, EnclosedNetwork, round_up
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
from splinecam.partition import Partition
from splinecam.program import Program
from splinecam.slices import Slice

Patterns = NDArray[np.uint8]

SWEEP: Row = (-613, 1019, 0)
"""A line along which to look for minima; hardly any edge is at right angles to it."""


def prove(record: Record, program: Program, patterns: Patterns) -> None:
    """Add the checks of a proof to a record, each if those before it have passed.

    Parameters
    ----------
    record : Record
        Of a partition that is a sound subdivision, whose patterns differ across inner edges.
    program : Program
        The model, converted.
    patterns : ndarray
        (R, units) of all regions.

    Raises
    ------
    UnsupportedLayerError
        If exact arithmetic does not know a step.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        sites = Sites(record, program, patterns)
        if sites.check_outline() and sites.check_places() and _check_tiling(record, sites):
            _Signs(record, program, patterns, sites).check()


class Sites:
    """The exact places of vertices, and predicates on them.

    Parameters
    ----------
    record, program, patterns
        As in `prove`.

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

    def __init__(self, record: Record, program: Program, patterns: Patterns):
        p = record.partition
        self.exact = ExactNetwork(program, p.slice)
        self._enclosed_network = EnclosedNetwork(program, p.slice)
        self._record = record
        self._partition = p
        self._patterns = patterns
        self._offsets, self._edges = _edges_around(p)
        self.first, self.second = (self._edges[self._offsets[:-1] + k] for k in (0, 1))
        self._line = lru_cache(None)(self._computed_line)
        self._point = lru_cache(None)(self._computed_point)
        self.corners, self.sides = _outline(p, self._is_corner)

    def check_outline(self) -> bool:
        """Check that the outer edges lead round the slice."""
        n_outer = np.count_nonzero(self._partition.edge_hinges < 0)
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
        if p.edge_hinges[edge] < 0:
            corners = np.roll(p.slice.polygon, -self.sides[edge], axis=0)
            return line_through(point_at(*corners[0]), point_at(*corners[1]))
        layer = int(p.edge_layers[edge])
        number = p.edge_units[edge] * p.network.layers[layer].n_breakpoints
        number += p.network.hinge_ranks[p.edge_hinges[edge]]
        return self.exact.hinges(layer, self._patterns[p.edge_regions[edge, 0]], [int(number)])[0]

    def _is_corner(self, vertex: int, corner: Point) -> bool:
        """Whether the lines of all inner edges at a vertex go through a corner of the slice."""
        inner = [e for e in self._around(vertex) if self._partition.edge_hinges[e] >= 0]
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
        p = self._partition
        sides = _enclosed_sides(p.slice)
        lines = sides[np.maximum(self.sides, 0)]
        by_region = np.argsort(p.edge_regions[:, 0], kind="stable")
        ranks = p.network.hinge_ranks
        for batch in batches(p.n_regions, 3 * max(p.layer_sizes, default=1)):
            bounds = np.searchsorted(p.edge_regions[by_region, 0], [batch.start, batch.stop])
            edges = by_region[slice(*bounds)]
            layers = enumerate(self._enclosed_network.rows(self._patterns[batch]))
            for layer, (bend, rows) in layers:
                here = edges[p.edge_layers[edges] == layer]
                units = p.edge_units[here]
                breakpoints = bend.breakpoints[ranks[p.edge_hinges[here]], units]
                found = rows[p.edge_regions[here, 0] - batch.start, :, units]
                found = found - Ball.of(np.outer(breakpoints, [0, 0, 1]))
                lines.mid[here], lines.rad[here] = found.mid, found.rad
        return lines


def _check_tiling(record: Record, sites: Sites) -> bool:
    p, fail = record.partition, record.failure
    here, (before, after) = p.region_vertices, neighbours(p)
    regions, units = corner_regions(p), record.edge_units[p.region_halfedges >> 1]
    bent = np.flatnonzero(sites.turns(here[before], here, here[after]) <= 0)
    climbs = sites.climbs(*p.edges.T)
    rises = climbs[p.region_halfedges >> 1] * np.where(p.region_halfedges & 1, -1, 1) > 0
    n_minima = np.add.reduceat((rises & ~rises[before]).astype(int), p.region_offsets[:-1])
    winding = np.flatnonzero(n_minima != 1)
    outer = np.flatnonzero(p.edge_hinges < 0)
    side_climbs = sites.climbs(sites.corners, np.roll(sites.corners, -1))
    backwards = outer[climbs[outer] != side_climbs[sites.sides[outer]]]
    failures = chain(
        (fail("tiling", f"no left turn at vertex {here[i]}", regions[i], units[i]) for i in bent),
        (fail("tiling", "the loop goes round more than once", region) for region in winding),
        (fail("tiling", f"edge {e} runs backwards", p.edge_regions[e, 0]) for e in backwards),
    )
    detail = "corners of regions: exact vertices make strictly convex loops that tile the slice"
    n_wrong = len(bent) + len(winding) + len(backwards)
    return record.add("tiling", len(here), detail, failures, n_wrong)


class _Signs:
    """The signs of all hinges at all vertices."""

    def __init__(self, record: Record, program: Program, patterns: Patterns, sites: Sites):
        layers = record.partition.network.layers
        self._record = record
        self._partition = record.partition
        self._patterns = patterns
        self._sites = sites
        self._enclosed_network = EnclosedNetwork(program, record.partition.slice)
        self._first_hinges = np.cumsum([0, *(layer.n_hinges for layer in layers)])

    def check(self) -> bool:
        """Check that they are those of the patterns."""
        record = self._record
        signs = self._enclosed_signs()
        record.n_interval = int(np.count_nonzero(signs))
        record.n_exact = signs.size - record.n_interval
        n_computed = self._compute(signs, *np.nonzero((signs == 0) & ~self._zero_by_definition()))
        wrong = np.concatenate([np.zeros((0, 2), int), *self._contradictions(signs)])
        failures = (
            record.failure("signs", "the exact signs at the corners are not the pattern's", *place)
            for place in zip(wrong[:, 0], record.hinge_units[wrong[:, 1]], strict=True)
        )
        detail = (
            f"pairs of a vertex and a hinge: {record.n_interval:,} by intervals, "
            f"{record.n_exact - n_computed:,} as the hinge defines the vertex, "
            f"{n_computed:,} in integers"
        )
        return record.add("signs", signs.size, detail, failures, len(wrong))

    def _enclosed_signs(self) -> NDArray[np.int8]:
        """Signs (V, H), 0 where they are not certain."""
        p = self._partition
        signs = np.empty((p.n_vertices, self._first_hinges[-1]), np.int8)
        for batch in batches(p.n_vertices, max(p.layer_sizes, default=1)):
            layers = self._enclosed_network.preactivations(self._sites.enclosed[batch])
            for (bend, z), start in zip(layers, self._first_hinges[:-1], strict=True):
                m, stop = len(bend.breakpoints), start + bend.breakpoints.size
                for rank, breakpoints in enumerate(bend.breakpoints):
                    signs[batch, start + rank : stop : m] = (z - Ball.of(breakpoints)).signs
        return signs

    def _zero_by_definition(self) -> NDArray[np.bool_]:
        """Which hinges have zero lines that define which vertices, (V, H)."""
        p, sites = self._partition, self._sites
        zero = np.zeros((p.n_vertices, self._first_hinges[-1]), bool)
        for edges in (sites.first, sites.second):
            hinges = np.where(sites.is_computed, -1, p.edge_hinges[edges])
            hinges[sites.corners] = -1
            crossings = np.flatnonzero(hinges >= 0)
            zero[crossings, hinges[crossings]] = True
        return zero

    def _compute(self, signs: NDArray[np.int8], vertices: Ints, hinges: Ints) -> int:
        """Write the exact signs of pairs of a vertex and a hinge; return how many there are."""
        regions = self._partition.edge_regions[self._sites.first[vertices], 0]
        layers = np.searchsorted(self._first_hinges, hinges, side="right") - 1
        # Pairs in the same region share most of the work.
        order = np.lexsort((hinges, vertices, regions))
        columns = (x[order].tolist() for x in (regions, vertices, layers, hinges))
        pairs = zip(*columns, strict=True)
        for (region, vertex, layer), group in groupby(pairs, key=itemgetter(0, 1, 2)):
            chosen = [hinge for *_, hinge in group]
            numbers = [int(hinge - self._first_hinges[layer]) for hinge in chosen]
            rows = self._sites.exact.hinges(layer, self._patterns[region], numbers)
            point = self._sites.point(vertex)
            signs[vertex, chosen] = [sign_at(row, point) for row in rows]
        return len(order)

    def _contradictions(self, signs: NDArray[np.int8]) -> Iterator[Ints]:
        """Pairs (n, 2) of a region and a hinge whose signs at the corners are not the pattern's."""
        p = self._partition
        for batch in batches(p.n_regions, 8 * signs.shape[1]):
            offsets = p.region_offsets[batch.start : batch.stop + 1]
            corners = signs[p.region_vertices[offsets[0] : offsets[-1]]]
            starts = offsets[:-1] - offsets[0]
            lowest = np.minimum.reduceat(corners, starts)
            highest = np.maximum.reduceat(corners, starts)
            exceeded = self._record.exceeded(self._patterns[batch])
            wrong = np.where(exceeded, (lowest < 0) | (highest <= 0), highest > 0)
            yield np.argwhere(wrong) + np.array([batch.start, 0])


def _outline(p: Partition, is_corner: Callable[[int, Point], bool]) -> tuple[Ints, Ints]:
    """The slice's corners among the vertices, and the side of each edge, -1 for inner edges.

    There are no corners where the outer edges are no loop that visits the corners in order. Several
    vertices may be rounded to one corner; `is_corner` tells them apart.
    """
    sides = np.full(p.n_edges, -1)
    outer = np.flatnonzero(p.edge_hinges < 0).tolist()
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


def _edges_around(p: Partition) -> tuple[Ints, Ints]:
    """The edges at each vertex, as offsets and edges; the two to define it by come first.

    These are a side of the slice or else the edge of the earliest hinge, and the edge of another
    hinge that is most nearly at right angles to it.
    """
    vertices, edges = p.edges.ravel(), np.repeat(np.arange(p.n_edges), 2)
    order = np.lexsort((p.edge_hinges[edges], vertices))
    vertices, edges = vertices[order], edges[order]
    offsets = np.searchsorted(vertices, np.arange(p.n_vertices + 1))
    first = edges[offsets[:-1]][vertices]
    spans = p.vertices[p.edges[:, 1]] - p.vertices[p.edges[:, 0]]
    spans /= np.fmax(np.linalg.norm(spans, axis=1), np.finfo(float).tiny)[:, None]
    a, b = spans[first], spans[edges]
    sines = np.abs(a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0])
    sines[p.edge_hinges[first] == p.edge_hinges[edges]] = -1
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
