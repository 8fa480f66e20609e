"""What a network makes of the vertices of a partition, and of a point inside each of its regions.

Everything is in float64, with bounds of the rounding errors, for the checks of
`splinecam.proof.verify`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from splinecam.common.types import Floats, Ints
from splinecam.convert.forward import Forward
from splinecam.partition.partition import Partition
from splinecam.program import Affine, MaxGroups, PiecewiseLinear, Program
from splinecam.proof.certificate import Record, allowed_distance, batches, corner_regions
from splinecam.slices import Slice

if TYPE_CHECKING:
    from torch.export import ExportedProgram

Patterns = NDArray[np.uint8]
Model: TypeAlias = "nn.Module | ExportedProgram"

EPS = float(np.finfo(np.float64).eps)

WORST = 1e-6
"""Where bounds of rounding errors are cut off, relative to the largest numbers in a network.

In deep networks the worst cases multiply up to far more than what happens.
"""


class Observation:
    """What the program and the model's own forward pass make of vertices and inner points.

    Parameters
    ----------
    record : Record
    program : Program
    model : torch.nn.Module or ExportedProgram
        What the program has been converted from.

    Attributes
    ----------
    off : ndarray
        (n, 2), how far the unit of each of `Partition.edge_flips` is from the end of its piece, at
        the two ends of the edge.
    reach, noise : ndarray
        (n,), the largest absolute value at vertices, and so on the slice, of the numbers that these
        units act on, and the error of computing them.
    contrary : ndarray
        (m, 2), the regions and the units, counted through the network, whose pieces are not those
        at inner points.
    n_doubtful : int
        How many units' pieces at inner points may be noise. Regions so small that errors of
        vertices may have moved the inner points away count as a whole.
    own, made : ndarray
        (V + R, out), outputs of the model's own forward pass and of the program without its head.
    output_noise : ndarray
        (out,), the error of computing outputs.
    """

    def __init__(self, record: Record, program: Program, model: Model):
        self._record = record
        self._slice = record.partition.slice
        self._program = program
        self._model = Forward(model, self._slice.input_shape)
        self._outputs: list[Tensor] = []
        sizes = self._observe_vertices()
        noise = _noise(program, self._slice, sizes)
        self.output_noise = noise[program.output].flatten().numpy()
        self.reach, self.noise = np.zeros(len(self.off)), np.zeros(len(self.off))
        for ends in self._ends:
            for bounds, values in ((self.reach, sizes), (self.noise, noise)):
                entries = values[ends.value].flatten().numpy()
                # Two members of a group are compared, but one number with a breakpoint.
                bounds[ends.flips] = entries[ends.own] + entries[ends.other] * ends.is_group
        self._observe_inner_points(noise)
        self.own, self.made = torch.cat(self._outputs, 1).flatten(2).numpy()

    def _observe_vertices(self) -> list[Tensor]:
        """Set `off`; return the largest absolute values of all the program's values."""
        p, program = self._record.partition, self._program
        flips = p.edge_flips
        self._ends = list(_ends(self._record, program))
        vertices = p.edges[flips.edges].ravel()
        order = np.argsort(vertices, kind="stable")
        off = np.empty(len(vertices))
        place = np.empty(len(flips.edges), np.intp)  # in the arrays of its layer
        for ends in self._ends:
            place[ends.flips] = np.arange(len(ends.flips))
        shapes = [program.input_shape, *(step.shape for step in program.steps)]
        sizes = [torch.zeros(shape, dtype=torch.float64) for shape in shapes]
        for batch, values in self._follow(p.vertices):
            for size, value in zip(sizes, values, strict=True):
                torch.maximum(size, value.abs().amax(0), out=size)
            chosen = order[slice(*np.searchsorted(vertices[order], [batch.start, batch.stop]))]
            layers = flips.layers[chosen >> 1]
            for layer, ends in enumerate(self._ends):
                here = chosen[layers == layer]
                x = values[ends.value].flatten(1).numpy()
                off[here] = ends.distances(x, vertices[here] - batch.start, place[here >> 1])
        self.off = off.reshape(-1, 2)
        return sizes

    def _observe_inner_points(self, noise: list[Tensor]) -> None:
        """Set `contrary` and `n_doubtful`."""
        p = self._record.partition
        points = inner_points(p)
        is_tiny = p.areas <= allowed_distance(p.slice) * p.perimeters
        self.n_doubtful, contrary = 0, [np.zeros((0, 2), np.intp)]
        for block, patterns in self._record.region_blocks():
            for batch, values in self._follow(points[block]):
                regions = np.arange(block.start + batch.start, block.start + batch.stop)
                margins = _margins(self._program, values, noise, patterns[batch])
                margins[is_tiny[regions]] = 0
                self.n_doubtful += np.count_nonzero(margins == 0)
                where = np.argwhere(margins < 0)
                contrary.append(np.column_stack([regions[where[:, 0]], where[:, 1]]))
        self.contrary = np.concatenate(contrary)

    def _follow(self, uv: Floats) -> Iterator[tuple[slice, list[Tensor]]]:
        """Batches of points (n, 2) with all the program's values there; keeps the outputs."""
        program = self._program
        widest = max([self._slice.dim, *map(_n_entries, program.steps)])
        with torch.no_grad():
            for batch in batches(len(uv), widest):
                values = [torch.from_numpy(self._slice.embed(uv[batch]))]
                for step in program.steps:
                    values.append(step(*(values[i] for i in step.inputs)))
                made = values[program.output]
                own = self._model(values[0]).reshape(made.shape)
                self._outputs.append(torch.stack([own, made]))
                yield batch, values


def inner_points(p: Partition) -> Floats:
    """The mean of each region's corners, (R, 2)."""
    corners, starts = p.vertices[p.region_vertices], p.region_offsets[:-1]
    first = corners[starts]
    spans = corners - first[corner_regions(p)]
    return first + np.add.reduceat(spans, starts) / np.diff(p.region_offsets)[:, None]


def piece_table(program: Program) -> NDArray[np.bool_]:
    """Which pieces each unit has, (units, most): as many as it may, or those not in the padding."""
    rows = []
    for step in program.piecewise_steps:
        if isinstance(step, MaxGroups):
            rows.append(step.members.numpy() >= 0)
        else:
            rows.append(np.ones((step.n_units, len(step.breakpoints) + 1), bool))
    most = max((row.shape[1] for row in rows), default=1)
    padded = [np.pad(row, [(0, 0), (0, most - row.shape[1])]) for row in rows]
    return np.concatenate([np.zeros((0, most), bool), *padded])


@dataclass(frozen=True, eq=False)
class _Ends:
    """For the flips of one layer, where the pieces on both sides of the edge end.

    Parameters
    ----------
    value : int
        The value that the layer reads.
    flips : ndarray
        (n,) which of `Partition.edge_flips`.
    own, other : ndarray
        (n,) entries of the value; for a unit with breakpoints the same one.
    breakpoints : ndarray
        (n,) what the entry is compared with; 0 in a group, where it is compared with another one.
    is_group : bool
    """

    value: int
    flips: Ints
    own: Ints
    other: Ints
    breakpoints: Floats
    is_group: bool

    def distances(self, x: Floats, points: Ints, places: Ints) -> Floats:
        """How far flips at some places of these arrays are from it, at points of x (n, entries)."""
        found = x[points, self.own[places]] - self.breakpoints[places]
        return found - x[points, self.other[places]] if self.is_group else found


def _ends(record: Record, program: Program) -> Iterator[_Ends]:
    flips = record.partition.edge_flips
    for layer, step in enumerate(program.piecewise_steps):
        chosen = np.flatnonzero(flips.layers == layer)
        units, (left, right) = flips.units[chosen], record.flip_pieces[chosen].T
        if isinstance(step, MaxGroups):
            members = step.members.numpy()
            last = members.shape[1] - 1
            own, other = (members[units, np.minimum(side, last)] for side in (left, right))
            zeros = np.zeros(len(chosen))
            yield _Ends(step.inputs[0], chosen, own, other, zeros, is_group=True)
        else:
            table = step.per_unit(step.breakpoints).numpy()
            ranks = np.clip(left - (flips.steps[chosen] > 0), 0, len(table) - 1)
            breakpoints = table[ranks, units]
            yield _Ends(step.inputs[0], chosen, units, units, breakpoints, is_group=False)


def _margins(
    program: Program, values: list[Tensor], noise: list[Tensor], patterns: Patterns
) -> Floats:
    """How far inside of their pieces units are, (n, units): 0 within the noise, else without it."""
    found, start = [np.zeros((len(patterns), 0))], 0
    for step in program.piecewise_steps:
        pieces = patterns[:, start : start + step.n_units].astype(np.intp)
        start += step.n_units
        read = step.preactivations(values[step.inputs[0]]).numpy()
        error = noise[step.inputs[0]]
        if isinstance(step, MaxGroups):
            pieces = np.minimum(pieces, read.shape[2] - 1)[..., None]
            chosen = np.take_along_axis(read, pieces, 2)[..., 0]
            np.put_along_axis(read, pieces, -np.inf, 2)
            margin = chosen - read.max(axis=2)
            members = step.preactivations(error[None])[0]
            errors = 2 * members.amax(dim=1).numpy()
        else:
            table = step.per_unit(step.breakpoints).numpy()
            pieces = np.minimum(pieces, len(table))
            ends = np.pad(table, [(1, 1), (0, 0)], constant_values=((-np.inf, np.inf), (0, 0)))
            units = np.arange(step.n_units)
            margin = np.minimum(read - ends[pieces, units], ends[pieces + 1, units] - read)
            errors = error.flatten().numpy()
        found.append(np.where(np.abs(margin) > errors, margin, 0))
    return np.concatenate(found, axis=1)


def _n_entries(step: Affine | PiecewiseLinear | MaxGroups) -> int:
    """How many numbers a step makes, or compares."""
    return step.members.numel() if isinstance(step, MaxGroups) else prod(step.shape)


def _noise(program: Program, slice_: Slice, sizes: list[Tensor]) -> list[Tensor]:
    """Bounds of the errors with which a program's values are computed on a slice.

    A running error analysis (Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed.,
    2002, §3.3) with the values' largest sizes on the slice; all roundings count twice. Terms of a
    sum that cancel, as they do on a small slice far from the origin, leave their errors behind: the
    bounds are cut off later by how much smaller than its terms a step's result is.
    """
    far = np.abs(slice_.origin) + np.abs(slice_.polygon).max(axis=0) @ np.abs(slice_.basis)
    noise = [16 * EPS * torch.from_numpy(far).reshape(slice_.input_shape)]
    largest, cancelled = 0.0, 1.0
    for step, made in zip(program.steps, sizes[1:], strict=True):
        errors, read = ([values[i][None] for i in step.inputs] for values in (noise, sizes))
        if isinstance(step, PiecewiseLinear):
            steepest, furthest = step.slopes.abs().amax(0), step.breakpoints.abs().amax(0)
            error = steepest * (errors[0] + 8 * EPS * (read[0] + furthest))
            error = error + 8 * EPS * step.anchor.abs()
        elif isinstance(step, MaxGroups):
            error = step(*errors)
        else:
            magnitudes = step.magnitudes()
            terms = magnitudes(*read)
            error = magnitudes.linear(*errors) + (step.n_terms + 2) * EPS * terms
            cancelled = max(cancelled, _quotient(terms.max(), made.max()))
        largest = max(largest, float(made.max()))
        if np.isfinite(cancelled):
            error = error.clamp(max=WORST * largest * cancelled)
        noise.append(error[0])
    return noise


def _quotient(terms: Tensor, made: Tensor) -> float:
    """How much larger than its result a sum's terms are; infinite where nothing is left of them."""
    if not terms:
        return 1.0
    return float(terms / made) if made else np.inf
