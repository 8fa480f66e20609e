"""Checks of a partition against its model.

`verify` looks at a partition as at something that came from elsewhere, and at the model anew:

- *subdivision* and *convexity* are about the partition alone, *flips* about its patterns;
- *conversion* compares the program, into which the model is converted, with the model's own
  forward pass, run on a private float64 copy, at every vertex and at a point inside every region:
  with other pieces than the model's, it would have other outputs there;
- *zero lines* and *patterns* compare edges and patterns with the pre-activations of the program;
- *affine maps* compares the maps of the regions with the outputs of the model's own forward pass,
  at a point inside and at all corners, which determine a map; *continuity* compares the maps of
  neighbours with each other.

These checks are in float64, with tolerances. The proof has none.

The proof
---------
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

Bounds
------
A `Ball` encloses numbers by a midpoint and a radius (S. M. Rump, "Fast and parallel interval
arithmetic", BIT 39, 1999). With u = 2^-53, a sum of n products, in any order and with or without
fused operations, is off by at most γ_n = n u / (1 - n u) times the sum of their sizes (N. J.
Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., 2002, §3.1), and by 2^-1022 more
for each product that underflows, flushed to zero or not. The radii below take 2 u in place of u,
more operations than there are, and 2^-1000; the excess covers the rounding of the radius itself,
which is made of sums of products that are not negative.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, groupby, islice
from math import prod
from operator import itemgetter
from typing import Any, SupportsInt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from splinecam.convert import convert
from splinecam.convert.replica import Replica
from splinecam.errors import InvariantError
from splinecam.exact import (
    Bend,
    ExactNetwork,
    Point,
    Product,
    Row,
    Scaling,
    distance_bound,
    intersection,
    line_through,
    order_along,
    point_at,
    read_steps,
    sign_at,
    turn,
)
from splinecam.partition import Partition
from splinecam.program import PiecewiseLinear, Program
from splinecam.slices import Slice

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]
Patterns = NDArray[np.uint8]


# --- What is found ---------------------------------------------------------------------------


TOLERANCE = 1e-9
"""Error that coordinates and values may have, relative to their extent on the slice."""

SHOWN = 100
"""Failures of one check that are named; its detail counts all."""

ENTRIES = 2**20
"""Numbers that one batch of points or regions may have in a layer."""


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
        Pairs of a vertex and a hinge (a unit at one of its breakpoints) whose sign is certified by
        interval arithmetic, and those certified exactly: in integers, or because the vertex is by
        definition on the hinge's zero line. Both are 0 unless there is a proof.
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
    def hinge_units(self) -> Ints:
        """(H,) the unit of each hinge, counted through the network."""
        network = self.partition.network
        return self._first_units[network.hinge_layers] + network.hinge_units

    @cached_property
    def hinge_ranks(self) -> Ints:
        """(H,) how many breakpoints of its unit come before each hinge."""
        layers = self.partition.network.layers
        ranks = [np.tile(np.arange(x.n_breakpoints), x.n_units) for x in layers]
        return np.concatenate([np.zeros(0, np.intp), *ranks])

    def exceeded(self, patterns: NDArray[np.uint8]) -> NDArray[np.bool_]:
        """Whether patterns (k, units) say that breakpoints are exceeded, (k, H)."""
        return patterns[:, self.hinge_units] > self.hinge_ranks


def batches(count: int, entries: int) -> Iterator[slice]:
    """Ranges of 0 … count - 1, each of things with `entries` numbers that fit in memory."""
    step = max(1, ENTRIES // max(1, entries))
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


# --- Enclosures ------------------------------------------------------------------------------


TWO_ROUNDINGS = 2.0**-52
"""Twice the unit roundoff of float64."""

TINY = 2.0**-1000
"""More than 2^20 products lose by underflow."""

CONSTANT = np.array([[0.0], [0.0], [1.0]])
"""Which column of an affine map (3, units) takes the offsets."""


@dataclass(frozen=True, eq=False)
class Ball:
    """An array of real numbers x of which ``|x - mid| <= rad`` is known.

    Nothing is known where a midpoint is not finite or a radius is NaN.

    Parameters
    ----------
    mid, rad : ndarray
        float64, of one shape.

    Examples
    --------
    >>> third = Ball.of(np.array([1.0])) * Ball(np.array([1 / 3]), np.array([1e-16]))
    >>> (third - Ball.of(np.array([0.333]))).signs
    array([1], dtype=int8)
    """

    mid: Floats
    rad: Floats

    @classmethod
    def of(cls, values: Floats) -> Ball:
        """The floats themselves."""
        return cls(values, np.zeros_like(values))

    def __getitem__(self, key: Any) -> Ball:
        return Ball(self.mid[key], self.rad[key])

    def __add__(self, other: Ball) -> Ball:
        mid = self.mid + other.mid
        return Ball(mid, round_up(self.rad + other.rad + TWO_ROUNDINGS * np.abs(mid)))

    def __sub__(self, other: Ball) -> Ball:
        return self + Ball(-other.mid, other.rad)

    def __mul__(self, other: Ball) -> Ball:
        mid = self.mid * other.mid
        spread = np.abs(self.mid) * other.rad + self.rad * (np.abs(other.mid) + other.rad)
        return Ball(mid, round_up(spread + TWO_ROUNDINGS * np.abs(mid)))

    @property
    def signs(self) -> NDArray[np.int8]:
        """-1 and 1 where the sign is certain, 0 where it is not."""
        certain = np.isfinite(self.mid) & (np.abs(self.mid) > self.rad)
        return np.where(certain, np.sign(self.mid), 0).astype(np.int8)

    @property
    def largest(self) -> Floats:
        """Upper bounds of the absolute values."""
        return round_up(np.abs(self.mid) + self.rad)

    @property
    def smallest(self) -> Floats:
        """Lower bounds of the absolute values; 0 where there is no other."""
        return np.fmax(np.abs(self.mid) - self.rad, 0) * (1 - 2.0**-48)


def round_up(values: Floats) -> Floats:
    """Upper bounds of what eight roundings at most have made of numbers that are not negative."""
    return values * (1 + 2.0**-48) + TINY


class EnclosedNetwork:
    """The network on a slice, in balls.

    Parameters
    ----------
    program : Program
        As for `ExactNetwork`.
    slice_ : Slice
    """

    def __init__(self, program: Program, slice_: Slice):
        self._steps = read_steps(program)
        self._plane = Ball.of(np.vstack([slice_.basis, slice_.origin]))
        while self._steps and not isinstance(step := self._steps[0], Bend):
            self._plane = _affine(step, self._plane, CONSTANT)
            del self._steps[0]

    def preactivations(self, uv: Ball) -> Iterator[tuple[Bend, Ball]]:
        """Each layer with its pre-activations, (n, units), at points (n, 2) of the plane."""
        u, v = uv[:, :1], uv[:, 1:]
        values = self._plane[0] * u + self._plane[1] * v + self._plane[2]
        for step in self._steps:
            if isinstance(step, Bend):
                yield step, values
                values = _bent(step, values)
            else:
                values = _affine(step, values, np.ones(1))

    def rows(self, patterns: NDArray[np.uint8]) -> Iterator[tuple[Bend, Ball]]:
        """Each layer with its pre-activations as affine functions, (k, 3, units).

        They hold where the units of the layers before have the patterns (k, units).
        """
        shape = (len(patterns), *self._plane.mid.shape)
        mid, rad = (np.broadcast_to(x, shape) for x in (self._plane.mid, self._plane.rad))
        rows, start = Ball(mid, rad), 0
        for step in self._steps:
            if isinstance(step, Bend):
                yield step, rows
                stop = start + len(step.anchors)
                rows = _on_pieces(step, rows, patterns[:, start:stop])
                start = stop
            else:
                rows = _affine(step, rows, CONSTANT)


def _affine(step: Product | Scaling, x: Ball, constant: Floats) -> Ball:
    """An affine step on points (`constant` is 1), or on the columns of affine maps."""
    offset = step.offset * constant
    if isinstance(step, Scaling):
        return x * Ball.of(step.factor) + Ball.of(offset)
    width = step.weight.shape[1]
    bound = (width + 4) * TWO_ROUNDINGS

    def product(values: Floats, weight: Floats) -> Floats:
        return (values.reshape(-1, width) @ weight.T).reshape(*values.shape[:-1], -1)

    mid = product(x.mid, step.weight) + offset
    spread = product(x.rad + bound * np.abs(x.mid), np.abs(step.weight)) + bound * np.abs(offset)
    # The last term is NaN where the midpoint has overflown.
    return Ball(mid, spread * (1 + bound) + TINY + 0 * mid)


def _bent(step: Bend, z: Ball) -> Ball:
    """A bend's values: no steeper in a ball than the steepest piece that the ball meets."""
    kinks = np.diff(step.slopes, axis=0)
    terms = [step.slopes[0] * (z.mid - step.breakpoints[0])]
    terms += [k * np.maximum(z.mid - t, 0) for k, t in zip(kinks, step.breakpoints, strict=True)]
    low, high = np.nextafter(z.mid - z.rad, -np.inf), np.nextafter(z.mid + z.rad, np.inf)
    steepest = np.zeros_like(z.mid)
    for piece, slope in enumerate(np.abs(step.slopes)):
        met = np.ones(z.mid.shape, bool)
        if piece > 0:
            met &= high > step.breakpoints[piece - 1]
        if piece < len(step.breakpoints):
            met &= low < step.breakpoints[piece]
        np.maximum(steepest, slope, out=steepest, where=met)
    mid, size = step.anchors, np.abs(step.anchors)
    for term in terms:
        mid, size = mid + term, size + np.abs(term)
    rounding = (len(terms) + 6) * TWO_ROUNDINGS * size
    return Ball(mid, round_up(steepest * z.rad + rounding))


def _on_pieces(step: Bend, rows: Ball, pieces: NDArray[np.uint8]) -> Ball:
    """A bend on affine functions (k, 3, units), each of them on a known piece."""
    slopes, breakpoints = step.slopes, step.breakpoints
    # From piece to piece, the offset makes up for the change of slope at the breakpoint.
    changes = np.diff(slopes, axis=0) * breakpoints
    terms = np.vstack([step.anchors, -slopes[0] * breakpoints[0], -changes])
    sizes = np.abs(terms)
    sizes[2:] = (np.abs(slopes[:-1]) + np.abs(slopes[1:])) * np.abs(breakpoints)
    rounding = (len(terms) + 6) * TWO_ROUNDINGS * np.cumsum(sizes, axis=0)
    offsets = Ball(np.cumsum(terms, axis=0), round_up(rounding))[1:]
    places = pieces, np.arange(pieces.shape[1])
    slope, offset = Ball.of(slopes[places][:, None]), offsets[places][:, None]
    return rows * slope + offset * Ball.of(CONSTANT)


# --- The proof -------------------------------------------------------------------------------


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
        number += self._record.hinge_ranks[p.edge_hinges[edge]]
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
        ranks = self._record.hinge_ranks
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


# --- Checks in float64 -----------------------------------------------------------------------


EPS = float(np.finfo(np.float64).eps)

ROUNDING = 1e-12
"""Error that affine maps may have, relative to the numbers that they add up."""

WORST = 1e-6
"""Where bounds of rounding errors are cut off, relative to the largest numbers in a layer.

In deep networks the worst cases multiply up to far more than what happens.
"""


def verify(partition: Partition, model: nn.Module, *, strict: bool = False) -> Certificate:
    """Check a partition against the model that it is said to be of.

    Parameters
    ----------
    partition : Partition
        Whoever made it.
    model : torch.nn.Module
        It is converted anew and run on a private float64 copy; it is left as it is.
    strict : bool
        Whether to prove that the partition is exactly the model's, as the module explains:
        the sign of every unit at every vertex is certified, by interval arithmetic with outward
        rounding, and in integers where intervals are not enough. The proof is attempted if all
        other checks pass.

    Returns
    -------
    Certificate
        `passed` says whether all checks passed, `failures` what is wrong and where.

    Raises
    ------
    UnsupportedLayerError, InvalidModelError
        If the model cannot be converted for inputs like the slice's; for a proof also if exact
        arithmetic does not know one of its steps.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.verify import verify
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1)
    ... )
    >>> p = sc.compute_partition(model, sc.Slice.box((-1, 1), (-1, 1)))
    >>> certificate = verify(p, model, strict=True)
    >>> certificate.passed, certificate.failures
    (True, ())
    >>> certificate.n_interval + certificate.n_exact == p.n_vertices * p.n_units
    True
    """
    program = convert(model, partition.slice.input_shape)
    record = Record(partition)
    if _check_subdivision(record) and _check_layers(record, program):
        patterns = partition.patterns()
        observation = _Observation(partition, program, model)
        _check_convexity(record)
        has_pieces = _check_flips(record, patterns)
        _check_zero_lines(record, observation)
        _check_patterns(record, observation, patterns)
        if has_pieces:
            _check_outputs(record, observation)
        if strict and not record.has_failed:
            prove(record, program, patterns)
    return record.certificate()


def _check_subdivision(record: Record) -> bool:
    p = record.partition
    detail = "regions: closed loops, areas that sum to the slice's, V - E + R = 1"
    try:
        p.check_invariants()
    except InvariantError as error:
        return record.add("subdivision", 0, detail, [Failure("subdivision", str(error))], 1)
    return record.add("subdivision", p.n_regions, detail)


def _check_layers(record: Record, program: Program) -> bool:
    found = [(x.name, x.n_units, x.n_breakpoints) for x in record.partition.network.layers]
    expected = [(s.name, s.n_units, len(s.breakpoints)) for s in program.piecewise_steps]
    message = f"the partition has (name, units, breakpoints) {found}, the model {expected}"
    detail = "layers: names, units and numbers of breakpoints are the model's"
    failures = [Failure("layers", message)] if found != expected else []
    return record.add("layers", len(expected), detail, failures, len(failures))


def _check_convexity(record: Record) -> bool:
    p = record.partition
    before, after = neighbours(p)
    here = p.vertices[p.region_vertices]
    into, out = here - here[before], here[after] - here
    turns = into[:, 0] * out[:, 1] - into[:, 1] * out[:, 0]
    allowed = allowed_distance(p.slice) * (np.abs(into) + np.abs(out)).max(axis=1)
    wrong = np.flatnonzero(turns < -allowed)
    failures = (
        record.failure("convexity", f"the loop turns right at vertex {p.region_vertices[i]}", r)
        for i, r in zip(wrong, corner_regions(p)[wrong], strict=True)
    )
    detail = "corners of regions: loops turn left"
    return record.add("convexity", len(turns), detail, failures, len(wrong))


def _check_flips(record: Record, patterns: Patterns) -> bool:
    p, flips, units = record.partition, record.partition.edge_flips, record.flip_units
    highest = [np.full(x.n_units, x.n_breakpoints) for x in p.network.layers]
    places = np.argwhere(patterns > np.concatenate([np.zeros(0, int), *highest]))
    n_wrong = len(places)
    failures = [
        record.failure("flips", f"there is no piece {patterns[region, unit]}", region, unit)
        for region, unit in places[:SHOWN]
    ]
    inner = np.flatnonzero(p.edge_hinges >= 0)
    for batch in batches(len(inner), p.n_units):
        edges = inner[batch]
        left, right = p.edge_regions[edges].T
        change = patterns[left].astype(np.int16) - patterns[right]
        unchanged = ~change.any(axis=1)
        own = slice(*np.searchsorted(flips.edges, [edges[0], edges[-1] + 1]))
        rows = np.searchsorted(edges, flips.edges[own])
        np.subtract.at(change, (rows, units[own]), flips.steps[own])
        # Flips that cancel each other leave no difference that would contradict them.
        change[unchanged, record.edge_units[edges[unchanged]]] = 1
        places = np.argwhere(change)
        n_wrong += len(places)
        for i, unit in places[: SHOWN - len(failures)]:
            message = f"edge {edges[i]} to region {right[i]} contradicts the patterns"
            failures.append(record.failure("flips", message, left[i], unit))
    detail = "inner edges: patterns differ in the edge's units alone, by one breakpoint"
    return record.add("flips", len(inner), detail, failures, n_wrong)


class _Observation:
    """What the program and the model's own forward pass make of vertices and inner points.

    Attributes
    ----------
    ends : ndarray
        (n, 2), the hinges of `_edges_and_hinges` at the two ends of the edge.
    reach, noise : ndarray
        (H,), the largest absolute value at vertices, and so on the slice, of each hinge's
        pre-activation, and the error of computing it.
    sides : ndarray
        (R, H) int8, the sign of each hinge at the regions' inner points; 0 where it may be noise,
        and in regions so small that errors of vertices may have moved them away.
    own, converted : ndarray
        (V + R, out), outputs of the model's own forward pass and of the program.
    output_noise : ndarray
        (out,), the error of computing outputs.
    """

    def __init__(self, partition: Partition, program: Program, model: nn.Module):
        p = partition
        self._slice = p.slice
        self._program = program
        self._model = Replica(model).root
        edges, hinges = _edges_and_hinges(p)
        vertices, hinges = p.edges[edges].ravel(), np.repeat(hinges, 2)
        order = np.argsort(vertices, kind="stable")
        ends = np.empty(len(vertices))
        shapes = [self._slice.input_shape, *(step.shape for step in program.steps)]
        sizes = [torch.zeros(shape, dtype=torch.float64) for shape in shapes]
        outputs: list[Tensor] = []
        for batch, values in self._follow(p.vertices, outputs):
            for size, value in zip(sizes, values, strict=True):
                torch.maximum(size, value.abs().amax(0), out=size)
            chosen = order[slice(*np.searchsorted(vertices[order], [batch.start, batch.stop]))]
            found = self._hinges(values)
            ends[chosen] = found[vertices[chosen] - batch.start, hinges[chosen]]
        self.ends = ends.reshape(-1, 2)
        self.reach = self._per_hinge(sizes)
        noise = _noise(program, p.slice, sizes)
        self.noise = self._per_hinge(noise)
        self.output_noise = noise[program.output].flatten().numpy()
        self.sides = np.empty((p.n_regions, len(self.reach)), np.int8)
        for batch, values in self._follow(_inner_points(p), outputs):
            found = self._hinges(values)
            self.sides[batch] = np.where(np.abs(found) > self.noise, np.sign(found), 0)
        self.sides[p.areas <= allowed_distance(p.slice) * p.perimeters] = 0
        self.own, self.converted = torch.cat(outputs, 1).flatten(2).numpy()

    def _follow(self, uv: Floats, outputs: list[Tensor]) -> Iterator[tuple[slice, list[Tensor]]]:
        """Batches of points (n, 2) with all the program's values there; appends both outputs."""
        steps = self._program.steps
        widest = max([self._slice.dim, *(prod(step.shape) for step in steps)])
        with torch.no_grad():
            for batch in batches(len(uv), widest):
                values = [torch.from_numpy(self._slice.embed(uv[batch]))]
                for step in steps:
                    values.append(step(*(values[i] for i in step.inputs)))
                outputs.append(torch.stack([self._model(values[0]), values[self._program.output]]))
                yield batch, values

    def _hinges(self, values: list[Tensor]) -> Floats:
        """The hinges (n, H) among the program's values at n points."""
        hinges = [torch.zeros(len(values[0]), 0)]
        for step in self._program.piecewise_steps:
            z = values[step.inputs[0]].flatten(1)[:, :, None]
            hinges.append((z - step.per_unit(step.breakpoints).T).flatten(1))
        return torch.cat(hinges, 1).numpy()

    def _per_hinge(self, sizes: list[Tensor]) -> Floats:
        """For each hinge, (H,), what `sizes` has for its pre-activation."""
        steps = self._program.piecewise_steps
        counts = [len(step.breakpoints) for step in steps]
        units = [sizes[step.inputs[0]].flatten().numpy() for step in steps]
        return np.concatenate([np.zeros(0), *map(np.repeat, units, counts)])


def _edges_and_hinges(p: Partition) -> tuple[Ints, Ints]:
    """Inner edges and the hinges that change sign there, one entry for each pair."""
    inner = np.flatnonzero(p.edge_hinges >= 0)
    hinges = np.concatenate([p.edge_hinges[inner], p.shared_hinges >> 1])
    return np.concatenate([inner, p.shared_edges]), hinges


def _inner_points(p: Partition) -> Floats:
    """The mean of each region's corners, (R, 2)."""
    corners, starts = p.vertices[p.region_vertices], p.region_offsets[:-1]
    first = corners[starts]
    spans = corners - first[corner_regions(p)]
    return first + np.add.reduceat(spans, starts) / np.diff(p.region_offsets)[:, None]


def _noise(program: Program, slice_: Slice, sizes: list[Tensor]) -> list[Tensor]:
    """Bounds of the errors with which a program's values are computed on a slice.

    A running error analysis (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed.,
    2002, §3.3) with the values' largest sizes on the slice; all roundings count twice.
    """
    far = np.abs(slice_.origin) + np.abs(slice_.polygon).max(axis=0) @ np.abs(slice_.basis)
    noise = [16 * EPS * torch.from_numpy(far).reshape(slice_.input_shape)]
    largest = 0.0
    for step, made in zip(program.steps, sizes[1:], strict=True):
        errors, read = ([values[i][None] for i in step.inputs] for values in (noise, sizes))
        if isinstance(step, PiecewiseLinear):
            steepest, furthest = step.slopes.abs().amax(0), step.breakpoints.abs().amax(0)
            error = steepest * (errors[0] + 8 * EPS * (read[0] + furthest))
            error = error + 8 * EPS * step.anchor.abs()
        else:
            magnitudes = step.magnitudes()
            error = magnitudes.linear(*errors) + (step.n_terms + 2) * EPS * magnitudes(*read)
        largest = max(largest, float(made.max()))
        noise.append(error[0].clamp(max=WORST * largest))
    return noise


def _check_zero_lines(record: Record, observation: _Observation) -> bool:
    p = record.partition
    edges, hinges = _edges_and_hinges(p)
    allowed = TOLERANCE * observation.reach[hinges] + observation.noise[hinges]
    wrong = np.flatnonzero(np.abs(observation.ends).max(axis=1) > allowed)
    failures = (
        record.failure(
            "zero lines",
            f"edge {edge} to region {p.edge_regions[edge, 1]} is off the line where the unit is at "
            "its breakpoint",
            p.edge_regions[edge, 0],
            unit,
        )
        for edge, unit in zip(edges[wrong], record.hinge_units[hinges[wrong]], strict=True)
    )
    detail = "edges and units that flip there: the unit is at its breakpoint at both ends"
    return record.add("zero lines", len(edges), detail, failures, len(wrong))


def _check_patterns(record: Record, observation: _Observation, patterns: Patterns) -> bool:
    sides = observation.sides
    contrary = np.where(record.exceeded(patterns), np.int8(-1), np.int8(1))
    wrong = np.argwhere(sides == contrary)
    failures = (
        record.failure(
            "patterns", f"{patterns[region, unit]} is not the model's piece", region, unit
        )
        for region, unit in zip(wrong[:, 0], record.hinge_units[wrong[:, 1]], strict=True)
    )
    detail = "regions: the pattern is that of the pre-activations at an inner point"
    if n_doubtful := sides.size - np.count_nonzero(sides):
        detail += f" ({n_doubtful:,} signs too near zero to tell)"
    return record.add("patterns", len(sides), detail, failures, len(wrong))


def _check_outputs(record: Record, observation: _Observation) -> None:
    """The program's outputs, and those of the regions' affine maps, against the model's own."""
    p, own = record.partition, observation.own
    slopes, offsets = p.affine_maps()
    sizes = np.abs(slopes).sum(axis=2) * np.abs(p.vertices).max() + np.abs(offsets)
    allowed = TOLERANCE * np.ptp(own, axis=0) + ROUNDING * sizes.max(axis=0)
    allowed = allowed + observation.output_noise

    def values(regions: Ints, points: Floats) -> Floats:
        return np.einsum("noi,ni->no", slopes[regions], points) + offsets[regions]

    def compare(name: str, detail: str, regions: Ints, found: Floats, expected: Floats) -> None:
        errors = np.abs(found - expected)
        wrong = ~(errors <= allowed).all(axis=1)
        worst = np.zeros(p.n_regions)
        np.maximum.at(worst, regions[wrong], errors[wrong].max(axis=1))
        failures = (
            record.failure(name, f"an output is off by {worst[region]:.3g}", region)
            for region in np.flatnonzero(worst)
        )
        record.add(name, len(found), detail, failures, np.count_nonzero(wrong))

    regions, corners = np.arange(p.n_regions), corner_regions(p)
    around = np.zeros(p.n_vertices, np.intp)
    around[p.region_vertices] = corners
    detail = "vertices and inner points: the converted model has the model's own outputs"
    compare("conversion", detail, np.append(around, regions), observation.converted, own)
    points = np.concatenate([p.vertices[p.region_vertices], _inner_points(p)])
    expected = np.concatenate([own[p.region_vertices], own[p.n_vertices :]])
    chosen = np.append(corners, regions)
    detail = "corners and inner points: the region's affine map has the model's own outputs"
    compare("affine maps", detail, chosen, values(chosen, points), expected)
    inner = p.edge_hinges >= 0
    left, right = np.repeat(p.edge_regions[inner], 2, axis=0).T
    ends = p.vertices[p.edges[inner].ravel()]
    detail = "ends of inner edges: the affine maps on both sides have the same outputs"
    compare("continuity", detail, left, values(left, ends), values(right, ends))
