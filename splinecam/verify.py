"""Checks of a partition against its model, and a proof that it is the right one.

`verify` looks at a partition as at something that came from elsewhere. Its first checks are in
float64. Subdivision, convexity and flips are about the partition alone; the others compare it
with the model, converted anew. Patterns are compared with the signs of the program's
pre-activations, and the program's outputs with those of the model's own forward pass, run on a
private float64 copy, at a point inside every region and at every vertex: there a program with
another piece than the model's would give itself away. The same outputs have to be those of the
regions' affine maps at all their corners.

The proof
---------
The strict level proves that the regions are those of the network, the program with its stored
coefficients taken as real numbers. It takes from the partition what is no float: which vertices,
edges and regions there are, their incidences, and the patterns q. Each vertex is *given* an exact
place: a corner of the slice; on a side of the slice, where an edge's line meets it; elsewhere,
where the lines of two of its edges meet. The line of an edge is the zero line of its hinge, as an
affine function composed with the pattern of the region on the edge's left. Shown is then:

1. *Places*: the two lines are not parallel, and the stored vertex is where they meet, up to a
   distance that the certificate bounds.
2. *Tiling*: every region's loop turns strictly left at each corner and has one minimum along a
   fixed direction, so it is a strictly convex polygon. The edges outside run along the slice's
   sides from corner to corner, never back. For a point on no edge, count the loops around it: the
   sum of all loops' winding numbers is that of the outer loop, since every other edge is run
   through once in each direction. So each point inside the slice is in exactly one region.
3. *Signs*: at every vertex x and for every hinge h (a unit minus one of its breakpoints), the sign
   of h(x). In every region, h >= 0 at all corners and > 0 at one where the pattern says that the
   breakpoint is exceeded, and h <= 0 at all corners where it says it is not.

By induction over the layers, q is the pattern in the interior of each region: where it is for the
layers before, the hinges of this layer are affine on the region, and by continuity on its
closure; an affine function has its signs at the corners inside, and one that is <= 0 at all
corners is < 0 inside or zero throughout, which counts as not exceeded. As patterns differ across
every edge (check *flips*), and the points of one pattern form a convex set, no two regions belong
together: they are the linear regions, and edges lie on the zero lines of the units that flip.

Why one sign per vertex and hinge is enough, though many regions share the vertex: where the
layers before have been dealt with, the affine functions that the regions around x have for h are
all equal to the network's h at x, which is continuous. So h(x) may be bounded by running the
network itself on a box that holds x, or computed exactly with the row of any region around x; and
it is zero without any computation for the two hinges that define x.

Bounds
------
A `Ball` encloses a number by a float64 midpoint and radius (S. M. Rump, "Fast and parallel interval
arithmetic", BIT 39, 1999). With u = 2^-53, a sum of n products, in any order and with or without
fused operations, is off by at most γ_n = n u / (1 - n u) times the sum of their sizes (N. J.
Higham, "Accuracy and Stability of Numerical Algorithms", 2002, §3.1 and §4.2), and 2^-1022 for
each product that underflows. The radii below take 2 u in place of u, more operations than there
are, and 2^-1000; the excess covers the rounding of the radius itself. Where a ball holds zero,
`ExactNetwork` decides in integers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import chain, groupby, islice
from math import prod
from operator import itemgetter
from typing import Any

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

TOLERANCE = 1e-9
"""Error that coordinates and values may have, relative to their extent on the slice."""

ROUNDING = 1e-12
"""Error that affine maps may have, relative to the numbers that they add up."""

WORST = 1e-6
"""Bounds of rounding errors are cut off here, relative to the largest numbers in a layer.

In deep networks the worst cases multiply up to far more than what happens.
"""

SHOWN = 100
"""Failures of one check that are named; its detail counts all."""

ENTRIES = 2**20
"""Numbers that one batch of points or regions may have in a layer."""

SWEEP: Row = (-613, 1019, 0)
"""A line along which to look for minima; hardly any edge is at right angles to it."""


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
        region = "" if self.region is None else f"region {self.region}"
        unit = "" if self.unit is None else f"unit {self.unit} of layer '{self.layer}'"
        where = ", ".join(filter(None, [region, unit]))
        return (
            f"{self.check}: {where}: {self.message}" if where else f"{self.check}: {self.message}"
        )


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
        What and how.
    """

    name: str
    passed: bool
    n_checked: int
    detail: str


@dataclass(frozen=True)
class Certificate:
    """What `verify` checked, and what it found.

    Parameters
    ----------
    checks : tuple of Check
        In the order in which they were made. The first check that fails in a way that leaves the
        later ones without a meaning is the last.
    failures : tuple of Failure
        All that is wrong, up to 100 for each check.
    n_interval, n_exact : int
        Pairs of a vertex and a hinge whose sign was certified by interval arithmetic, and exactly
        (in integers, or because the hinge's zero line defines the vertex). 0 unless strict.
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
        return "\n".join(lines + [f"  - {failure}" for failure in self.failures])


def verify(partition: Partition, model: nn.Module, *, strict: bool = False) -> Certificate:
    """Check a partition against the model that it is said to be of.

    Parameters
    ----------
    partition : Partition
    model : torch.nn.Module
        It is converted anew and run on a private float64 copy; it is left as it is.
    strict : bool
        Whether to prove that the partition is the exact one (the module's documentation has the
        argument): the sign of every unit at every vertex, by interval arithmetic with outward
        rounding, and in integers where intervals are not enough. The proof is attempted where all
        other checks pass.

    Returns
    -------
    Certificate

    Raises
    ------
    UnsupportedLayerError, InvalidModelError, InvalidSliceError
        If the model cannot be converted for this slice; with ``strict=True`` also if a step is
        none that exact arithmetic knows.

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
    record = _Record(partition)
    if _check_subdivision(record) and _check_layers(record, program):
        patterns = partition.patterns()
        _check_convexity(record)
        if _check_flips(record, patterns):
            observation = _Observation(partition, program, model)
            _check_zero_lines(record, observation)
            _check_patterns(record, observation, patterns)
            _check_outputs(record, observation)
            if strict and not record.failures:
                _Proof(record, program, patterns).run()
    return record.certificate()


# --- What is found ---------------------------------------------------------------------------


class _Record:
    """Collects checks and failures, and names what they are about."""

    def __init__(self, partition: Partition):
        self.partition = partition
        self.failures: list[Failure] = []
        self.n_interval = 0
        self.n_exact = 0
        self._checks: list[Check] = []
        self._first_units = np.cumsum([0, *partition.layer_sizes])

    def add(
        self,
        name: str,
        n_checked: int,
        detail: str,
        wrong: Iterable[Failure] = (),
        n_wrong: int = 0,
    ) -> bool:
        """Note a check and what it found; return whether it passed."""
        if n_wrong:
            detail += f"; {n_wrong:,} wrong"
        self._checks.append(Check(name, not n_wrong, n_checked, detail))
        self.failures += islice(wrong, SHOWN)
        return not n_wrong

    def failure(self, check: str, message: str, region: int, unit: int = -1) -> Failure:
        """A failure that concerns a region and a unit, counted through the network; -1: none."""
        if unit < 0:
            return Failure(check, message, int(region))
        layer = int(np.searchsorted(self._first_units, unit, side="right")) - 1
        name = self.partition.layer_names[layer]
        return Failure(check, message, int(region), name, int(unit - self._first_units[layer]))

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

    def certificate(self) -> Certificate:
        """What has been collected."""
        checks, failures = tuple(self._checks), tuple(self.failures)
        return Certificate(checks, failures, self.n_interval, self.n_exact)


def _batches(count: int, entries: int) -> Iterator[slice]:
    """Ranges of 0 … count - 1, each of things with `entries` numbers that fit in memory."""
    step = max(1, ENTRIES // max(1, entries))
    return (slice(start, min(start + step, count)) for start in range(0, count, step))


def _allowed_distance(slice_: Slice) -> float:
    """The error that vertices may have in each coordinate."""
    extent = np.ptp(slice_.polygon, axis=0).max()
    return float(TOLERANCE * extent + 64 * TWO_ROUNDINGS * np.abs(slice_.polygon).max())


def _corner_regions(p: Partition) -> Ints:
    """The region of each entry of the loops."""
    return np.repeat(np.arange(p.n_regions), np.diff(p.region_offsets))


def _neighbours(p: Partition) -> tuple[Ints, Ints]:
    """The places before and after each entry of the loops."""
    after = np.arange(1, len(p.region_halfedges) + 1)
    after[p.region_offsets[1:] - 1] = p.region_offsets[:-1]
    before = np.empty_like(after)
    before[after] = np.arange(len(after))
    return before, after


# --- Checks in float64 -----------------------------------------------------------------------


def _check_subdivision(record: _Record) -> bool:
    p = record.partition
    detail = "regions: closed loops, areas that sum to the slice's, V - E + R = 1"
    try:
        p.check_invariants()
    except InvariantError as error:
        return record.add("subdivision", 0, detail, [Failure("subdivision", str(error))], 1)
    return record.add("subdivision", p.n_regions, detail)


def _check_layers(record: _Record, program: Program) -> bool:
    found = [(x.name, x.n_units, x.n_breakpoints) for x in record.partition.network.layers]
    expected = [(s.name, s.n_units, len(s.breakpoints)) for s in program.piecewise_steps]
    message = f"the partition has (name, units, breakpoints) {found}, the model {expected}"
    detail = "layers: names, units and numbers of breakpoints are the model's"
    wrong = [Failure("layers", message)] if found != expected else []
    return record.add("layers", len(expected), detail, wrong, len(wrong))


def _check_convexity(record: _Record) -> bool:
    p = record.partition
    before, after = _neighbours(p)
    here = p.vertices[p.region_vertices]
    into, out = here - here[before], here[after] - here
    turns = into[:, 0] * out[:, 1] - into[:, 1] * out[:, 0]
    wrong = np.flatnonzero(
        turns < -_allowed_distance(p.slice) * (np.abs(into) + np.abs(out)).max(axis=1)
    )
    failures = (
        record.failure("convexity", f"the loop turns right at vertex {p.region_vertices[i]}", r)
        for i, r in zip(wrong, _corner_regions(p)[wrong], strict=True)
    )
    detail = "corners of regions: loops turn left"
    return record.add("convexity", len(turns), detail, failures, len(wrong))


def _check_flips(record: _Record, patterns: NDArray[np.uint8]) -> bool:
    p = record.partition
    highest = [np.full(x.n_units, x.n_breakpoints) for x in p.network.layers]
    impossible = np.argwhere(patterns > np.concatenate([np.zeros(0, int), *highest]))
    n_wrong = len(impossible)
    failures = [
        record.failure("flips", f"the pattern has {patterns[region, unit]}", region, unit)
        for region, unit in impossible[:SHOWN]
    ]
    flips = p.edge_flips
    units = record.flip_units
    inner = np.flatnonzero(p.edge_hinges >= 0)
    for batch in _batches(len(inner), p.n_units):
        edges = inner[batch]
        left, right = p.edge_regions[edges].T
        change = patterns[left].astype(np.int16) - patterns[right]
        bounds = np.searchsorted(flips.edges, [edges[0], edges[-1] + 1])
        chosen = slice(*bounds)
        np.subtract.at(
            change,
            (np.searchsorted(edges, flips.edges[chosen]), units[chosen]),
            flips.steps[chosen],
        )
        places = np.argwhere(change)
        n_wrong += len(places)
        for i, unit in places[: SHOWN - len(failures)]:
            message = f"edge {edges[i]} to region {right[i]} contradicts the patterns"
            failures.append(record.failure("flips", message, left[i], unit))
    detail = "inner edges: patterns differ in the edge's units alone, by one breakpoint"
    return record.add("flips", len(inner), detail, failures, n_wrong)


def _edges_and_hinges(p: Partition) -> tuple[Ints, Ints]:
    """Inner edges and the hinges that change sign there, one entry for each pair."""
    inner = np.flatnonzero(p.edge_hinges >= 0)
    hinges = np.concatenate([p.edge_hinges[inner], p.shared_hinges >> 1])
    return np.concatenate([inner, p.shared_edges]), hinges


def _inner_points(p: Partition) -> Floats:
    """The mean of each region's corners, (R, 2)."""
    corners, starts = p.vertices[p.region_vertices], p.region_offsets[:-1]
    n_corners = np.diff(p.region_offsets)[:, None]
    first = corners[starts]
    spans = corners - first[_corner_regions(p)]
    return first + np.add.reduceat(spans, starts) / n_corners


class _Observation:
    """What the program and the model's own forward pass make of vertices and inner points.

    Attributes
    ----------
    ends : ndarray
        (n, 2), the hinges of `_edges_and_hinges` at the two ends of the edge.
    reach, noise : ndarray
        (H,), each hinge's largest absolute value at a vertex, and so on the slice, and the error
        of computing it.
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
        self.reach = self._hinge_sizes(sizes)
        noise = _noise(program, p.slice, sizes)
        self.noise = self._hinge_sizes(noise)
        self.output_noise = noise[program.output].flatten().numpy()
        self.sides = np.empty((p.n_regions, len(self.reach)), np.int8)
        for batch, values in self._follow(_inner_points(p), outputs):
            found = self._hinges(values)
            self.sides[batch] = np.where(np.abs(found) > self.noise, np.sign(found), 0)
        self.sides[p.areas <= _allowed_distance(p.slice) * p.perimeters] = 0
        self.own, self.converted = torch.cat(outputs, 1).flatten(2).numpy()

    def _follow(self, uv: Floats, outputs: list[Tensor]) -> Iterator[tuple[slice, list[Tensor]]]:
        """Batches of points (n, 2) with all the program's values there; adds both outputs."""
        steps = self._program.steps
        widest = max([self._slice.dim, *(prod(step.shape) for step in steps)])
        with torch.no_grad():
            for batch in _batches(len(uv), widest):
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

    def _hinge_sizes(self, sizes: list[Tensor]) -> Floats:
        """For each hinge, (H,), the size of its unit's pre-activation."""
        steps = self._program.piecewise_steps
        counts = [len(step.breakpoints) for step in steps]
        units = [sizes[step.inputs[0]].flatten().numpy() for step in steps]
        return np.concatenate([np.zeros(0), *map(np.repeat, units, counts)])


def _noise(program: Program, slice_: Slice, sizes: list[Tensor]) -> list[Tensor]:
    """Bounds of the errors with which a program's values are computed on a slice.

    A running error analysis (Higham, §3.3), with the largest absolute values on the slice.
    """
    far = np.abs(slice_.polygon).max(axis=0) @ np.abs(slice_.basis) + np.abs(slice_.origin)
    noise = [16 * TWO_ROUNDINGS * torch.from_numpy(far).reshape(slice_.input_shape)]
    largest = 0.0
    for step, made in zip(program.steps, sizes[1:], strict=True):
        (read,) = step.inputs
        error, size = noise[read][None], sizes[read][None]
        if isinstance(step, PiecewiseLinear):
            steepest, furthest = step.slopes.abs().amax(0), step.breakpoints.abs().amax(0)
            error = steepest * (error + 8 * TWO_ROUNDINGS * (size + furthest))
            error = error + 8 * TWO_ROUNDINGS * step.anchor.abs()
        else:
            magnitudes = step.magnitudes()
            rounding = (step.n_terms + 2) * TWO_ROUNDINGS
            error = magnitudes.linear(error) + rounding * magnitudes(size)
        largest = max(largest, float(made.max()))
        noise.append(error[0].clamp(max=WORST * largest))
    return noise


def _check_zero_lines(record: _Record, observation: _Observation) -> bool:
    p = record.partition
    edges, hinges = _edges_and_hinges(p)
    allowed = TOLERANCE * observation.reach[hinges] + observation.noise[hinges]
    wrong = np.flatnonzero(np.abs(observation.ends).max(axis=1) > allowed)
    failures = (
        record.failure(
            "zero lines",
            f"edge {edge} to region {p.edge_regions[edge, 1]} leaves the unit's zero line",
            p.edge_regions[edge, 0],
            unit,
        )
        for edge, unit in zip(edges[wrong], record.hinge_units[hinges[wrong]], strict=True)
    )
    detail = "units of inner edges: they are at their breakpoints at both ends"
    return record.add("zero lines", len(edges), detail, failures, len(wrong))


def _check_patterns(
    record: _Record, observation: _Observation, patterns: NDArray[np.uint8]
) -> bool:
    sides = observation.sides
    expected = np.where(record.exceeded(patterns), 1, -1).astype(np.int8)
    wrong = np.argwhere(sides == -expected)
    failures = (
        record.failure(
            "patterns",
            f"the pattern has {patterns[region, unit]}, the model has not",
            region,
            unit,
        )
        for region, unit in zip(wrong[:, 0], record.hinge_units[wrong[:, 1]], strict=True)
    )
    detail = "regions: the pattern is that of the pre-activations at an inner point"
    if n_doubtful := sides.size - np.count_nonzero(sides):
        detail += f" ({n_doubtful:,} too near a breakpoint to tell)"
    return record.add("patterns", len(sides), detail, failures, len(wrong))


def _check_outputs(record: _Record, observation: _Observation) -> None:
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
        wrong = np.flatnonzero(~(errors <= allowed).all(axis=1))
        failures = (
            record.failure(name, f"an output is off by {errors[i].max():.3g}", regions[i])
            for i in wrong
        )
        record.add(name, len(found), detail, failures, len(wrong))

    regions, corners = np.arange(p.n_regions), _corner_regions(p)
    around = np.zeros(p.n_vertices, np.intp)
    around[p.region_vertices] = corners
    detail = "vertices and inner points: the converted model's outputs are the model's own"
    places = np.concatenate([around, regions])
    compare("conversion", detail, places, observation.converted, own)
    points = np.concatenate([p.vertices[p.region_vertices], _inner_points(p)])
    expected = np.concatenate([own[p.region_vertices], own[p.n_vertices :]])
    detail = "corners and inner points: the region's affine map has the model's own outputs"
    chosen = np.concatenate([corners, regions])
    compare("affine maps", detail, chosen, values(chosen, points), expected)
    inner = p.edge_hinges >= 0
    left, right = np.repeat(p.edge_regions[inner], 2, axis=0).T
    ends = p.vertices[p.edges[inner].ravel()]
    detail = "ends of inner edges: the affine maps on both sides have the same outputs"
    compare("continuity", detail, left, values(left, ends), values(right, ends))


# --- Enclosures ------------------------------------------------------------------------------

TWO_ROUNDINGS = 2.0**-52
"""Twice the unit roundoff of float64."""

TINY = 2.0**-1000
"""More than 2^20 products lose by underflow, also where subnormal numbers are flushed to zero."""

CONSTANT = np.array([[0.0], [0.0], [1.0]])
"""Which column of an affine map (columns, units) takes the offsets."""


@dataclass(frozen=True, eq=False)
class Ball:
    """An array of real numbers x of which ``|x - mid| <= rad`` is known.

    Nothing is known where a midpoint is not finite or a radius is NaN.

    Parameters
    ----------
    mid, rad : ndarray
        float64, of one shape.
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
        return Ball(mid, _up(self.rad + other.rad + TWO_ROUNDINGS * np.abs(mid)))

    def __sub__(self, other: Ball) -> Ball:
        return self + Ball(-other.mid, other.rad)

    def __mul__(self, other: Ball) -> Ball:
        mid = self.mid * other.mid
        spread = np.abs(self.mid) * other.rad + self.rad * (np.abs(other.mid) + other.rad)
        return Ball(mid, _up(spread + TWO_ROUNDINGS * np.abs(mid)))

    @property
    def signs(self) -> NDArray[np.int8]:
        """-1 and 1 where the sign is certain, 0 where it is not."""
        certain = np.isfinite(self.mid) & (np.abs(self.mid) > self.rad)
        return np.where(certain, np.sign(self.mid), 0).astype(np.int8)

    @property
    def largest(self) -> Floats:
        """Upper bounds of the absolute values."""
        return _up(np.abs(self.mid) + self.rad)

    @property
    def smallest(self) -> Floats:
        """Lower bounds of the absolute values; 0 where there is no other."""
        return np.fmax(np.abs(self.mid) - self.rad, 0) * (1 - 2.0**-48)


def _up(radius: Floats) -> Floats:
    """An upper bound of a sum of products that are not negative, after up to eight roundings."""
    return radius * (1 + 2.0**-48) + TINY


class EnclosedNetwork:
    """The network on a slice, in balls.

    Parameters
    ----------
    program : Program
        As for `ExactNetwork`.
    slice_ : Slice
    """

    def __init__(self, program: Program, slice_: Slice):
        steps = read_steps(program)
        bends = [number for number, step in enumerate(steps) if isinstance(step, Bend)]
        self._plane = Ball.of(np.vstack([slice_.basis, slice_.origin]))
        for step in steps[: min(bends, default=0)]:
            self._plane = _affine(step, self._plane, CONSTANT)
        self._steps = steps[min(bends, default=0) :]

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

        For patterns (k, units) that the units of the layers before have.
        """
        shape = (len(patterns), *self._plane.mid.shape)
        rows = Ball(
            np.broadcast_to(self._plane.mid, shape), np.broadcast_to(self._plane.rad, shape)
        )
        start = 0
        for step in self._steps:
            if isinstance(step, Bend):
                yield step, rows
                stop = start + len(step.anchors)
                rows = _on_pieces(step, rows, patterns[:, start:stop])
                start = stop
            else:
                rows = _affine(step, rows, CONSTANT)


def _affine(step: Product | Scaling | Bend, x: Ball, constant: Floats) -> Ball:
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
    terms = [step.anchors, step.slopes[0] * (z.mid - step.breakpoints[0])]
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
    sizes = sum(np.abs(term) for term in terms)
    rounding = (len(terms) + 4) * TWO_ROUNDINGS * sizes
    return Ball(sum(terms), _up(steepest * z.rad + rounding))


def _on_pieces(step: Bend, rows: Ball, pieces: NDArray[np.uint8]) -> Ball:
    """A bend on affine functions (k, 3, units), of which it is known on which piece they are."""
    slopes, breakpoints = step.slopes, step.breakpoints
    # From piece to piece, the offset makes up for the change of slope at the breakpoint.
    steps = [
        step.anchors[None],
        -slopes[:1] * breakpoints[:1],
        -np.diff(slopes, axis=0) * breakpoints,
    ]
    sizes = np.abs(slopes[:-1]) + np.abs(slopes[1:])
    sizes = [*(np.abs(x) for x in steps[:2]), sizes * np.abs(breakpoints)]
    rounding = (len(slopes) + 6) * TWO_ROUNDINGS * np.cumsum(np.vstack(sizes), axis=0)[1:]
    offsets = Ball(np.cumsum(np.vstack(steps), axis=0)[1:], _up(rounding))
    places = pieces, np.arange(pieces.shape[1])
    slope, offset = Ball.of(slopes[places][:, None]), offsets[places][:, None]
    return rows * slope + offset * Ball.of(CONSTANT)


# --- The proof -------------------------------------------------------------------------------


class _Proof:
    """The places, tiling and signs of the module's documentation."""

    def __init__(self, record: _Record, program: Program, patterns: NDArray[np.uint8]):
        p = record.partition
        self._record = record
        self._partition = p
        self._patterns = patterns
        self._first_hinges = np.cumsum([0, *(layer.n_hinges for layer in p.network.layers)])
        self._enclosed = EnclosedNetwork(program, p.slice)
        self._exact = ExactNetwork(program, p.slice)
        self._edge_offsets, self._edges_around = _edges_around(p)
        self._first, self._second = (
            self._edges_around[self._edge_offsets[:-1] + k] for k in (0, 1)
        )
        self._line = lru_cache(None)(self._exact_line)
        self._point = lru_cache(None)(self._exact_point)
        self._corners, self._sides = _outline(p, self._is_corner)

    def run(self) -> None:
        """Add the proof's checks to the record, each where those before it have passed."""
        with np.errstate(over="ignore", invalid="ignore"):
            if self._check_outline() and self._check_places() and self._check_tiling():
                self._check_signs()

    def _check_outline(self) -> bool:
        n_outer = np.count_nonzero(self._partition.edge_hinges < 0)
        n_wrong = int(not len(self._corners))
        wrong = [Failure("outline", "the outer edges do not lead round the slice")][:n_wrong]
        detail = "outer edges: they lead round the slice from corner to corner"
        return self._record.add("outline", n_outer, detail, wrong, n_wrong)

    # Places

    def _check_places(self) -> bool:
        p = self._partition
        distances = self._enclosed_distances()
        self._is_computed = ~(distances.max(axis=1) <= _allowed_distance(p.slice))
        for vertex in np.flatnonzero(self._is_computed).tolist():
            point, stored = self._point(vertex), point_at(*p.vertices[vertex])
            distances[vertex] = np.inf if point is None else distance_bound(point, stored)
        self._places = Ball(p.vertices, distances)
        wrong = np.flatnonzero(np.isinf(distances).any(axis=1))
        failures = (
            self._record.failure(
                "places",
                f"the lines of the edges at vertex {v} do not meet",
                p.edge_regions[self._second[v], 0],
                self._record.edge_units[self._second[v]],
            )
            for v in wrong
        )
        detail = (
            f"vertices: no further than {distances.max():.2g} from where the lines of two edges "
            f"meet ({np.count_nonzero(self._is_computed):,} computed in integers)"
        )
        return self._record.add("places", p.n_vertices, detail, failures, len(wrong))

    def _enclosed_distances(self) -> Floats:
        """Bounds of the errors of both coordinates of stored vertices, (V, 2); NaN for unknown."""
        lines = self._enclosed_lines()
        u, v = (Ball.of(x) for x in self._partition.vertices.T)
        (a, b, at_first), (c, d, at_second) = (
            (line[:, 0], line[:, 1], line[:, 0] * u + line[:, 1] * v + line[:, 2])
            for line in (lines[self._first], lines[self._second])
        )
        # Cramer's rule for the step to where both lines vanish.
        steps = (at_second * b - at_first * d).largest, (at_first * c - at_second * a).largest
        with np.errstate(divide="ignore"):
            distances = _up(np.column_stack(steps) / (a * d - b * c).smallest[:, None])
        distances[self._corners] = 0
        return distances

    def _enclosed_lines(self) -> Ball:
        """The lines of all edges as affine functions, (E, 3)."""
        p = self._partition
        mid, rad = np.empty((p.n_edges, 3)), np.empty((p.n_edges, 3))

        def store(edges: Ints, lines: Ball) -> None:
            mid[edges], rad[edges] = lines.mid, lines.rad

        outer = np.flatnonzero(p.edge_hinges < 0)
        store(outer, _side_lines(p.slice)[self._sides[outer]])
        inner = np.flatnonzero(p.edge_hinges >= 0)
        inner = inner[np.argsort(p.edge_regions[inner, 0], kind="stable")]
        ranks = self._record.hinge_ranks
        for batch in _batches(p.n_regions, 3 * max(p.layer_sizes, default=1)):
            bounds = np.searchsorted(p.edge_regions[inner, 0], [batch.start, batch.stop])
            edges = inner[slice(*bounds)]
            for layer, (bend, rows) in enumerate(self._enclosed.rows(self._patterns[batch])):
                here = edges[p.edge_layers[edges] == layer]
                units = p.edge_units[here]
                breakpoints = np.zeros((len(here), 3))
                breakpoints[:, 2] = bend.breakpoints[ranks[p.edge_hinges[here]], units]
                lines = rows[p.edge_regions[here, 0] - batch.start, :, units]
                store(here, lines - Ball.of(breakpoints))
        return Ball(mid, rad)

    def _exact_line(self, edge: int) -> Row:
        p = self._partition
        if p.edge_hinges[edge] < 0:
            side = self._sides[edge]
            start, end = p.slice.polygon[[side, (side + 1) % len(p.slice.polygon)]]
            return line_through(point_at(*start), point_at(*end))
        layer = p.edge_layers[edge]
        hinge = p.edge_hinges[edge] - self._first_hinges[layer]
        return self._exact.hinges(layer, self._patterns[p.edge_regions[edge, 0]], [hinge])[0]

    def _exact_point(self, vertex: int) -> Point | None:
        """Where a vertex is; None if the lines of its edges are all parallel."""
        if vertex in self._corners:
            return point_at(*self._partition.vertices[vertex])
        around = self._edges_around[slice(*self._edge_offsets[[vertex, vertex + 1]])].tolist()
        first = self._line(around[0])
        points = (intersection(first, self._line(edge)) for edge in around[1:])
        return next(filter(None, points), None)

    def _is_corner(self, vertex: int, corner: Floats) -> bool:
        """Whether all inner edges at a vertex are on lines through a corner of the slice."""
        around = self._edges_around[slice(*self._edge_offsets[[vertex, vertex + 1]])]
        inner = around[self._partition.edge_hinges[around] >= 0].tolist()
        return all(sign_at(self._line(edge), point_at(*corner)) == 0 for edge in inner)

    # Tiling

    def _check_tiling(self) -> bool:
        p = self._partition
        here, (before, after) = p.region_vertices, _neighbours(p)
        climbs = self._climbs(p.edges)
        rises = climbs[p.region_halfedges >> 1] * np.where(p.region_halfedges & 1, -1, 1) > 0
        n_minima = np.add.reduceat((rises & ~rises[before]).astype(int), p.region_offsets[:-1])
        outer = np.flatnonzero(self._sides >= 0)
        ends = np.column_stack([self._corners, np.roll(self._corners, -1)])
        backwards = outer[climbs[outer] != self._climbs(ends)[self._sides[outer]]]
        bent = np.flatnonzero(self._turns(here[before], here, here[after]) <= 0)
        regions, fail = _corner_regions(p), self._record.failure
        failures = chain(
            (fail("tiling", f"no left turn at vertex {here[i]}", regions[i]) for i in bent),
            (fail("tiling", "the loop winds", region) for region in np.flatnonzero(n_minima != 1)),
            (fail("tiling", f"edge {e} runs back", p.edge_regions[e, 0]) for e in backwards),
        )
        n_wrong = len(bent) + np.count_nonzero(n_minima != 1) + len(backwards)
        detail = "corners of regions: exact vertices make strictly convex loops that tile the slice"
        return self._record.add("tiling", len(here), detail, failures, n_wrong)

    def _turns(self, p: Ints, q: Ints, r: Ints) -> NDArray[np.int8]:
        """1 where the way over three vertices turns left."""
        into, out = self._places[q] - self._places[p], self._places[r] - self._places[q]
        signs = (into[:, 0] * out[:, 1] - into[:, 1] * out[:, 0]).signs
        for i in np.flatnonzero(signs == 0):
            signs[i] = turn(*self._points(p[i], q[i], r[i]))
        return signs

    def _climbs(self, pairs: Ints) -> NDArray[np.int8]:
        """1 where the second vertex of a pair (n, 2) is higher along `SWEEP`, -1 where lower.

        Where they are level, the one with the greater first coordinate is higher.
        """
        step = self._places[pairs[:, 1]] - self._places[pairs[:, 0]]
        along, across = (Ball.of(np.array(float(x))) for x in (SWEEP[1], -SWEEP[0]))
        signs = (step[:, 0] * along + step[:, 1] * across).signs
        for i in np.flatnonzero(signs == 0):
            points = self._points(*pairs[i])
            signs[i] = order_along(SWEEP, *points) or order_along((0, 1, 0), *points)
        return signs

    def _points(self, *vertices: int) -> list[Point]:
        """Exact vertices, whose places have been checked: none is None."""
        return list(filter(None, (self._point(int(vertex)) for vertex in vertices)))

    # Signs

    def _check_signs(self) -> bool:
        p, record = self._partition, self._record
        signs = self._enclosed_signs()
        record.n_interval = np.count_nonzero(signs)
        record.n_exact = signs.size - record.n_interval
        unsure = signs == 0
        for edges in (self._first, self._second):
            # Corners are no crossings, and computed vertices may be on other edges' lines.
            hinges = np.where(self._is_computed, -1, p.edge_hinges[edges])
            hinges[self._corners] = -1
            crossings = np.flatnonzero(hinges >= 0)
            unsure[crossings, hinges[crossings]] = False
        n_computed = self._compute_signs(signs, *np.nonzero(unsure))
        wrong = np.concatenate([np.zeros((0, 2), int), *self._contradictions(signs)])
        failures = (
            record.failure("signs", "the exact signs at the corners are not the pattern's", *place)
            for place in zip(wrong[:, 0], record.hinge_units[wrong[:, 1]], strict=True)
        )
        detail = (
            f"pairs of a vertex and a hinge: {record.n_interval:,} signs by intervals, "
            f"{record.n_exact - n_computed:,} where the hinge defines the vertex, "
            f"{n_computed:,} in integers"
        )
        return record.add("signs", signs.size, detail, failures, len(wrong))

    def _enclosed_signs(self) -> NDArray[np.int8]:
        """Signs (V, H) of all hinges at all vertices, 0 where they are not certain."""
        p = self._partition
        signs = np.empty((p.n_vertices, self._first_hinges[-1]), np.int8)
        for batch in _batches(p.n_vertices, max(p.layer_sizes, default=1)):
            layers = self._enclosed.preactivations(self._places[batch])
            for (bend, z), start in zip(layers, self._first_hinges[:-1], strict=True):
                m, stop = len(bend.breakpoints), start + bend.breakpoints.size
                for rank, breakpoints in enumerate(bend.breakpoints):
                    signs[batch, start + rank : stop : m] = (z - Ball.of(breakpoints)).signs
        return signs

    def _compute_signs(self, signs: NDArray[np.int8], vertices: Ints, hinges: Ints) -> int:
        """Write exact signs of pairs of a vertex and a hinge; return how many there are."""
        regions = self._partition.edge_regions[self._first[vertices], 0]
        layers = np.searchsorted(self._first_hinges, hinges, side="right") - 1
        # Pairs in the same region share most of the work.
        order = np.lexsort((hinges, vertices, regions))
        columns = (x[order].tolist() for x in (regions, vertices, layers, hinges))
        pairs = zip(*columns, strict=True)
        for (region, vertex, layer), group in groupby(pairs, key=itemgetter(0, 1, 2)):
            chosen = [hinge for *_, hinge in group]
            numbers = [hinge - self._first_hinges[layer] for hinge in chosen]
            rows = self._exact.hinges(layer, self._patterns[region], numbers)
            (point,) = self._points(vertex)
            signs[vertex, chosen] = [sign_at(row, point) for row in rows]
        return len(order)

    def _contradictions(self, signs: NDArray[np.int8]) -> Iterator[Ints]:
        """Pairs (n, 2) of a region and a hinge whose signs at the corners are not the pattern's."""
        p = self._partition
        for batch in _batches(p.n_regions, 8 * signs.shape[1]):
            offsets = p.region_offsets[batch.start : batch.stop + 1]
            corners = signs[p.region_vertices[offsets[0] : offsets[-1]]]
            low, high = (
                reduce.reduceat(corners, offsets[:-1] - offsets[0])
                for reduce in (np.minimum, np.maximum)
            )
            exceeded = self._record.exceeded(self._patterns[batch])
            wrong = np.where(exceeded, (low < 0) | (high <= 0), high > 0)
            yield np.argwhere(wrong) + np.array([batch.start, 0])


def _outline(p: Partition, is_corner: Callable[[int, Floats], bool]) -> tuple[Ints, Ints]:
    """The slice's corners among the vertices, and the side of each edge, -1 for inner edges.

    There are no corners where the outer edges are no loop that visits the corners in order. Several
    vertices may be rounded to one corner; `is_corner` tells them apart.
    """
    sides = np.full(p.n_edges, -1)
    outer = np.flatnonzero(p.edge_hinges < 0).tolist()
    leaving = dict(zip(p.edges[outer, 0].tolist(), outer, strict=True))
    loop = [outer[0]]
    while (following := leaving.pop(int(p.edges[loop[-1], 1]), outer[0])) != outer[0]:
        loop.append(following)
    starts = p.edges[loop, 0]
    places = []
    for corner in p.slice.polygon:
        here = np.flatnonzero((p.vertices[starts] == corner).all(axis=1)).tolist()
        places += [place for place in here if is_corner(int(starts[place]), corner)][:1]
    lengths = np.diff([*places, *places[:1]]) % len(loop)
    if len(loop) < len(outer) or len(places) < len(p.slice.polygon) or lengths.sum() != len(loop):
        return np.zeros(0, int), sides
    sides[np.roll(loop, -places[0])] = np.repeat(np.arange(len(places)), lengths)
    return starts[places], sides


def _edges_around(p: Partition) -> tuple[Ints, Ints]:
    """The edges at each vertex, as offsets and edges; the best two to place it by come first.

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


def _side_lines(slice_: Slice) -> Ball:
    """The slice's sides as affine functions, (n, 3), positive on their left."""
    start = Ball.of(slice_.polygon)
    end = Ball.of(np.roll(slice_.polygon, -1, axis=0))
    columns = (
        start[:, 1] - end[:, 1],
        end[:, 0] - start[:, 0],
        start[:, 0] * end[:, 1] - start[:, 1] * end[:, 0],
    )
    return Ball(*(np.column_stack([getattr(x, name) for x in columns]) for name in ("mid", "rad")))
