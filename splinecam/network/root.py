"""Reducing a `Program` on the whole slice, with torch's own layers.

Convolutions, averages and sums act on the columns of the two forms (see
`splinecam.network.reduction`), so no matrix of a convolution is ever made. What is left is a dense
network of the unsteady units.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import prod
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from splinecam.errors import InvalidSliceError
from splinecam.exact import ExactNetwork
from splinecam.network.bounds import UNIT_ROUNDOFF
from splinecam.network.candidates import Pool, first_equal, join_sizes, prove_equal
from splinecam.network.maxima import MaxStep
from splinecam.network.planar import Floats
from splinecam.network.reduced import ReducedNetwork
from splinecam.network.reduction import Ground, judge
from splinecam.network.restrict import activation_layer
from splinecam.network.tournaments import Tournament
from splinecam.network.units import Units
from splinecam.network.unsteady import UnsteadyUnits
from splinecam.program import Affine, MaxGroups, PiecewiseLinear, Program, Scale
from splinecam.slices import Slice


class Root(NamedTuple):
    """A network reduced on the slice."""

    network: ReducedNetwork
    ground: Ground


def reduce_program(program: Program, slice_: Slice, device: torch.device) -> Root:
    """Reduce a program to the units that are not steady on a slice.

    Raises
    ------
    InvalidSliceError
        If the slice's input shape is not the program's.
    """
    if slice_.input_shape != program.input_shape:
        raise InvalidSliceError(
            f"slice: its points have shape {slice_.input_shape}, "
            f"the model takes inputs of shape {program.input_shape}"
        )
    return _Pass(program, slice_, device).run()


class _Form(NamedTuple):
    """A value: raw and bounded columns, and what is known of their errors."""

    columns: Tensor  # (2, 3 + k, *shape): u, v, constant, unsteady units; raw, then bounded
    sizes: Tensor  # (5, *shape): see `join_sizes`


class _Pass:
    """One run through a program."""

    def __init__(self, program: Program, slice_: Slice, device: torch.device):
        self._program = program
        self._slice = slice_
        self._device = device
        self._unsteady = UnsteadyUnits(slice_.polygon)
        self._units = program_units(program)
        self._rest = np.zeros(self._units.n_units, pattern_type(self._units))
        self._tournaments: dict[int, Tournament] = {}
        self._n_steps = 0
        frame = np.vstack([slice_.basis, slice_.origin])
        columns = torch.from_numpy(np.stack([frame, frame]))
        magnitudes = np.tile(self._unsteady.ground.magnitudes(frame.T), (2, 1))
        sizes = join_sizes(np.zeros_like(magnitudes), magnitudes, np.zeros(len(frame.T)))
        shape = slice_.input_shape
        self._values = [
            _Form(
                columns.reshape(2, 3, *shape).to(device),
                torch.from_numpy(sizes).reshape(5, *shape).to(device),
            )
        ]

    def run(self) -> Root:
        last_use = {i: n for n, step in enumerate(self._program.steps) for i in step.inputs}
        for number, step in enumerate(self._program.steps[: self._program.output]):
            inputs = [self._values[i] for i in step.inputs]
            if isinstance(step, Affine):
                made = self._push(step, inputs)
            elif isinstance(step, PiecewiseLinear):
                made = self._bend(step, inputs[0])
            else:
                made = self._compete(step, inputs[0])
            self._values.append(made)
            for i in step.inputs:
                if last_use[i] == number:
                    self._values[i] = _EMPTY
        raw = _flat(self._values[-1].columns)[0]
        network = ReducedNetwork(
            self._units,
            tuple(self._unsteady.layers),
            np.ascontiguousarray(np.delete(raw, 2, axis=0).T),
            raw[2].copy(),
            self._rest,
            self._tournaments,
        )
        return Root(network, self._unsteady.ground)

    # -- affine steps -------------------------------------------------------------------------

    def _push(self, step: Affine, inputs: Sequence[_Form]) -> _Form:
        width = 3 + len(self._unsteady.ground.largest)
        columns = step.linear(*(_widened(x.columns, width).flatten(0, 1) for x in inputs))
        columns = columns.reshape(2, width, *step.shape)
        sizes = step.linear.magnitudes()(*(x.sizes for x in inputs))
        # Each entry sums up so many products, in any order (Higham 2002, §3.1); where all of them
        # are zero, as in the black margin of a picture, it is the offset.
        rounding = 2 * UNIT_ROUNDOFF * (step.n_terms + 2) * (sizes[2:4] > 0)
        if step.offset is not None:
            offset = step.offset.to(columns.device)
            columns[:, 2] += offset
            sizes[2:4] += offset.abs()
        if not _is_move(step):
            sizes[:2] += rounding * sizes[2:4]
        return _Form(columns, sizes)

    # -- piecewise-linear steps ---------------------------------------------------------------

    def _bend(self, step: PiecewiseLinear, value: _Form) -> _Form:
        raw, bounded, sizes = self._parts(value)
        number, first = self._next_step()
        functions = activation_layer(step)
        reach = judge(functions, *self._unsteady.ground.ranges(bounded, sizes[1]))
        unsteady = np.flatnonzero(~reach.steady)
        self._rest[first : first + len(raw)] = reach.pieces
        self._unsteady.add(functions, step.name, number, raw, sizes[0], unsteady, reach)
        made = [
            self._unsteady.activated(x, reach, unsteady, i == 0)
            for i, x in enumerate((raw, bounded))
        ]
        magnitudes = self._unsteady.magnitudes(*made)
        is_copied = reach.steady & (reach.offsets == 0) & np.isin(reach.slopes, (0.0, 1.0))
        errors = np.abs(reach.slopes) * sizes[:2] + 4 * UNIT_ROUNDOFF * magnitudes * ~is_copied
        errors[0, unsteady] = 0.0  # unit columns
        doubts = np.where(reach.steady, np.abs(reach.slopes) * sizes[4], 1.0)
        made_sizes = join_sizes(errors, magnitudes, doubts)
        if len(functions.anchors) == 1:
            leaders = self._leaders(number, raw, sizes, unsteady)
            made_sizes[:, unsteady] = made_sizes[:, leaders]
            for form in made:
                form[unsteady] = form[leaders]
        return self._form(made, made_sizes, step.shape)

    def _leaders(self, number: int, raw: Floats, sizes: Floats, unsteady: np.ndarray) -> np.ndarray:
        """The first unit with the same pre-activation as each unsteady one (n,).

        Parts of a picture that look the same make such units, and max groups compare them: with
        one column for all, differences that vanish are seen to.
        """
        leaders = unsteady[first_equal(raw[unsteady])]
        followers = np.flatnonzero(leaders != unsteady)
        units, others = unsteady[followers], leaders[followers]
        are_equal = prove_equal(
            sizes[:, units],
            sizes[:, others],
            units.tolist(),
            others.tolist(),
            lambda units: self._exact.rows(number, self._rest, units),
        )
        proved = unsteady.copy()
        proved[followers[are_equal]] = leaders[followers[are_equal]]
        return proved

    def _compete(self, step: MaxGroups, value: _Form) -> _Form:
        raw, bounded, sizes = self._parts(value)
        number, first = self._next_step()
        members = step.members.numpy().reshape(step.n_units, -1)
        max_step = MaxStep(members, Pool(raw, bounded, sizes), self._unsteady, step.name, number)
        tournament, *made, sizes = max_step.play(
            lambda places: self._exact.members(number, self._rest, places)
        )
        groups, settled = tournament.settled()
        self._rest[first + groups] = settled
        self._tournaments[number] = tournament
        return self._form(made, sizes, step.shape)

    def _form(self, made: Sequence[Floats], sizes: Floats, shape: tuple[int, ...]) -> _Form:
        """A value of this shape from its raw and bounded forms (N, 3 + k) and sizes (5, N)."""
        columns = torch.from_numpy(np.stack([x.T for x in made]))
        return _Form(
            columns.reshape(2, -1, *shape).to(self._device),
            torch.from_numpy(sizes).reshape(5, *shape).to(self._device),
        )

    def _next_step(self) -> tuple[int, int]:
        """The number of the piecewise-linear step that is run, and its first unit."""
        self._n_steps += 1
        return self._n_steps - 1, self._units.first_units[self._n_steps - 1]

    def _parts(self, value: _Form) -> tuple[Floats, Floats, Floats]:
        """Raw and bounded form (N, 3 + k) over all units so far, and sizes (5, N)."""
        columns = _widened(value.columns, 3 + len(self._unsteady.ground.largest))
        raw, bounded = (np.ascontiguousarray(form.T) for form in _flat(columns))
        return raw, bounded, value.sizes.reshape(5, -1).cpu().numpy()

    @cached_property
    def _exact(self) -> ExactNetwork:
        return ExactNetwork(self._program, self._slice)


_EMPTY = _Form(torch.empty(0), torch.empty(0))


def program_units(program: Program) -> Units:
    """The units of a program's piecewise-linear steps."""
    steps = program.piecewise_steps
    highest = (
        s.members.reshape(s.n_units, -1).shape[1] - 1
        if isinstance(s, MaxGroups)
        else len(s.breakpoints)
        for s in steps
    )
    return Units(
        tuple(s.name for s in steps),
        tuple(s.n_units for s in steps),
        tuple(highest),
        tuple(isinstance(s, MaxGroups) for s in steps),
    )


def pattern_type(units: Units) -> type[np.unsignedinteger]:
    """The type that holds all patterns."""
    return np.uint8 if max(units.highest, default=0) < 256 else np.uint16


def _flat(columns: Tensor) -> Floats:
    return columns.reshape(*columns.shape[:2], prod(columns.shape[2:])).cpu().numpy()


def _widened(columns: Tensor, width: int) -> Tensor:
    """Columns (2, 3 + k, *shape) with zeros for units that came later."""
    missing = width - columns.shape[1]
    if not missing:
        return columns
    return torch.cat([columns, columns.new_zeros(2, missing, *columns.shape[2:])], dim=1)


def _is_move(step: Affine) -> bool:
    """Whether a step makes no rounding, as it copies, negates or scales by powers of two."""
    if step.offset is not None:
        return False
    if isinstance(step.linear, Scale):
        return bool((torch.frexp(step.linear.factor).mantissa.abs() == 0.5).all())
    return step.n_terms == 0
