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

These checks are in float64, with tolerances. `splinecam.proof` has none.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
import torch
from torch import Tensor, nn

from splinecam._types import Floats, Ints, Patterns
from splinecam.certificate import (
    SHOWN,
    TOLERANCE,
    Certificate,
    Failure,
    Record,
    allowed_distance,
    batches,
    corner_regions,
    neighbours,
)
from splinecam.consistency import inner_points
from splinecam.convert import convert
from splinecam.convert.replica import Replica
from splinecam.errors import InvariantError
from splinecam.partition import Partition
from splinecam.program import PiecewiseLinear, Program
from splinecam.proof import prove
from splinecam.slices import Slice

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
        Whether to prove that the partition is exactly the model's, as `splinecam.proof` explains:
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


# --- The partition alone ---------------------------------------------------------------------


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


# --- The model -------------------------------------------------------------------------------


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
        for batch, values in self._follow(inner_points(p), outputs):
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
    points = np.concatenate([p.vertices[p.region_vertices], inner_points(p)])
    expected = np.concatenate([own[p.region_vertices], own[p.n_vertices :]])
    chosen = np.append(corners, regions)
    detail = "corners and inner points: the region's affine map has the model's own outputs"
    compare("affine maps", detail, chosen, values(chosen, points), expected)
    inner = p.edge_hinges >= 0
    left, right = np.repeat(p.edge_regions[inner], 2, axis=0).T
    ends = p.vertices[p.edges[inner].ravel()]
    detail = "ends of inner edges: the affine maps on both sides have the same outputs"
    compare("continuity", detail, left, values(left, ends), values(right, ends))
