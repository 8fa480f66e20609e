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

These checks are in float64, with tolerances. `splinecam.proof.strict` has none.
"""

from __future__ import annotations

import numpy as np
import torch

from splinecam.common.types import Floats, Ints
from splinecam.convert import convert
from splinecam.errors import InvariantError
from splinecam.partition.partition import Partition
from splinecam.program import MaxGroups, Program
from splinecam.proof.certificate import (
    SHOWN,
    TOLERANCE,
    Certificate,
    Failure,
    Record,
    allowed_distance,
    corner_regions,
    neighbours,
)
from splinecam.proof.observation import Model, Observation, inner_points, piece_table
from splinecam.proof.strict import prove

ROUNDING = 1e-12
"""Error that affine maps may have, relative to the numbers that they add up."""


def verify(partition: Partition, model: Model, *, strict: bool = False) -> Certificate:
    """Check a partition against the model that it is said to be of.

    Parameters
    ----------
    partition : Partition
        Whoever made it.
    model : torch.nn.Module or ExportedProgram
        It is converted anew and run on a private float64 copy; it is left as it is.
    strict : bool
        Whether to prove that the partition is exactly the model's, as `splinecam.proof.strict`
        explains: the sign of every unit at every vertex is certified, by interval arithmetic with
        outward rounding, and in integers where intervals are not enough. The proof is attempted if
        all other checks pass.

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
    >>> from splinecam.proof.verify import verify
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
        observation = Observation(record, program, model)
        _check_convexity(record)
        has_pieces = _check_pieces(record, program)
        _check_flips(record, program)
        _check_zero_lines(record, observation)
        _check_patterns(record, observation)
        if has_pieces:
            _check_outputs(record, program, observation)
        if strict and not record.has_failed:
            prove(record, program)
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
    p = record.partition
    found = list(zip(p.layer_names, p.layer_sizes, strict=True))
    expected = [(step.name, step.n_units) for step in program.piecewise_steps]
    message = f"the partition has layers (name, units) {found}, the model {expected}"
    detail = "layers: names and numbers of units are the model's"
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


def _check_pieces(record: Record, program: Program) -> bool:
    table = piece_table(program)
    n_units, most = table.shape
    n_wrong, failures = 0, []
    for block, patterns in record.region_blocks():
        is_piece = table[np.arange(n_units), np.minimum(patterns, most - 1)] & (patterns < most)
        places = np.argwhere(~is_piece)
        n_wrong += len(places)
        for row, unit in places[: SHOWN - len(failures)]:
            message = f"there is no piece {patterns[row, unit]}"
            failures.append(record.failure("pieces", message, block.start + row, unit))
    detail = "regions: their patterns are of pieces that the units have"
    return record.add("pieces", record.partition.n_regions, detail, failures, n_wrong)


def _check_flips(record: Record, program: Program) -> None:
    p, flips = record.partition, record.partition.edge_flips
    groups = [isinstance(step, MaxGroups) for step in program.piecewise_steps]
    is_group = np.array([*groups, False])[flips.layers]
    n_wrong, failures = 0, []
    for block in record.edge_blocks():
        change = block.left.astype(np.int16) - block.right
        places = block.flip_rows, record.flip_units[block.flips]
        unchanged = ~change.any(axis=1)
        expected = np.where(is_group[block.flips], change[places], flips.steps[block.flips])
        expected[expected == 0] = 1  # in a group: no change where there should be one
        np.subtract.at(change, places, expected)
        # Flips that cancel each other leave no difference that would contradict them.
        change[unchanged, record.edge_units[block.edges[unchanged]]] = 1
        wrong = np.argwhere(change)
        n_wrong += len(wrong)
        for i, unit in wrong[: SHOWN - len(failures)]:
            left, right = p.edge_regions[block.edges[i]]
            message = f"edge {block.edges[i]} to region {right} contradicts the patterns"
            failures.append(record.failure("flips", message, left, unit))
    n_inner = np.count_nonzero(p.edge_layers >= 0)
    detail = "inner edges: patterns differ in the edge's units alone, and by one breakpoint"
    record.add("flips", n_inner, detail, failures, n_wrong)


# --- The model -------------------------------------------------------------------------------


def _check_zero_lines(record: Record, observation: Observation) -> None:
    p, edges = record.partition, record.partition.edge_flips.edges
    allowed = TOLERANCE * observation.reach + observation.noise
    wrong = np.flatnonzero(np.abs(observation.off).max(axis=1) > allowed)
    failures = (
        record.failure(
            "zero lines",
            f"edge {edge} to region {p.edge_regions[edge, 1]} is off the line where the unit is at "
            "its breakpoint",
            p.edge_regions[edge, 0],
            unit,
        )
        for edge, unit in zip(edges[wrong], record.flip_units[wrong], strict=True)
    )
    detail = "edges and units that flip there: the unit is at its breakpoint at both ends"
    record.add("zero lines", len(edges), detail, failures, len(wrong))


def _check_patterns(record: Record, observation: Observation) -> None:
    failures = (
        record.failure("patterns", "the pattern has not the model's piece", region, unit)
        for region, unit in observation.contrary
    )
    detail = "regions: the pattern is that of the pre-activations at an inner point"
    if observation.n_doubtful:
        detail += f" ({observation.n_doubtful:,} signs too near zero to tell)"
    n_wrong = len(observation.contrary)
    record.add("patterns", record.partition.n_regions, detail, failures, n_wrong)


def _check_outputs(record: Record, program: Program, observation: Observation) -> None:
    """The program's outputs, and those of the regions' affine maps, against the model's own.

    What a softmax or sigmoid that ends the model is applied to, the model does not show; then the
    maps are compared with the program's outputs, and these, after it, with the model's.
    """
    p, head = record.partition, program.head
    own = observation.own if head is None else observation.made
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
    everywhere = np.append(around, regions)
    if head is None:
        compare("conversion", detail, everywhere, observation.made, own)
    else:
        # A change of its arguments by ε changes a softmax, sigmoid or log-softmax by 2 ε at most.
        allowed = np.full_like(allowed, 2 * allowed.max())
        after = head(torch.from_numpy(observation.made)).numpy()
        compare("conversion", detail, everywhere, after, observation.own)
    points = np.concatenate([p.vertices[p.region_vertices], inner_points(p)])
    expected = np.concatenate([own[p.region_vertices], own[p.n_vertices :]])
    chosen = np.append(corners, regions)
    detail = "corners and inner points: the region's affine map has the model's own outputs"
    compare("affine maps", detail, chosen, values(chosen, points), expected)
    inner = p.edge_layers >= 0
    left, right = np.repeat(p.edge_regions[inner], 2, axis=0).T
    ends = p.vertices[p.edges[inner].ravel()]
    detail = "ends of inner edges: the affine maps on both sides have the same outputs"
    compare("continuity", detail, left, values(left, ends), values(right, ends))
