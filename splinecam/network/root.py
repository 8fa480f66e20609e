"""Reducing a `Program` on the whole slice, with torch's own layers.

Convolutions, averages and sums act on the columns of the two forms (see
`splinecam.network.reduction`), so no matrix of a convolution is ever made. What is left is a dense
network of the unsteady units.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from math import prod
from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from splinecam.errors import InvalidSliceError, UnsupportedLayerError
from splinecam.exact import ExactNetwork, Row
from splinecam.network.bounds import UNIT_ROUNDOFF
from splinecam.network.candidates import Pool, first_equal, repeated
from splinecam.network.planar import Floats, Layer
from splinecam.network.reduced import ReducedLayer, ReducedNetwork
from splinecam.network.reduction import Ground, Reach, judge
from splinecam.network.restrict import activation_layer
from splinecam.network.tournaments import Round, Tournament
from splinecam.network.units import Units
from splinecam.program import Affine, MaxGroups, PiecewiseLinear, Program, Scale
from splinecam.slices import Slice

NO_ERROR = np.zeros(1)

Place = TypeVar("Place", int, tuple[int, int])


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
    sizes: Tensor  # (5, *shape): see `_sizes`


def _sizes(errors: Floats, magnitudes: Floats, doubts: Floats) -> Floats:
    """Sizes (5, N) of forms.

    Parameters
    ----------
    errors : ndarray
        (2, N): of both forms.
    magnitudes : ndarray
        (2, N): sums of the terms' absolute values.
    doubts : ndarray
        (N,): 0 for a value that cannot depend on any unsteady unit, else positive.
    """
    return np.concatenate([errors, magnitudes, doubts[None]])


class _Pass:
    """One run through a program."""

    def __init__(self, program: Program, slice_: Slice, device: torch.device):
        self._program = program
        self._slice = slice_
        self._device = device
        self._ground = Ground(slice_.polygon, np.zeros(0), np.zeros(0))
        self._units = program_units(program)
        self._rest = np.zeros(self._units.n_units, pattern_type(self._units))
        self._layers: list[ReducedLayer] = []
        self._tournaments: dict[int, Tournament] = {}
        self._n_steps = 0
        frame = np.vstack([slice_.basis, slice_.origin])
        columns = torch.from_numpy(np.stack([frame, frame]))
        magnitudes = np.tile(self._ground.magnitudes(frame.T), (2, 1))
        sizes = _sizes(np.zeros_like(magnitudes), magnitudes, np.zeros(len(frame.T)))
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
            tuple(self._layers),
            np.ascontiguousarray(np.delete(raw, 2, axis=0).T),
            raw[2].copy(),
            self._rest,
            self._tournaments,
        )
        return Root(network, self._ground)

    # -- affine steps -------------------------------------------------------------------------

    def _push(self, step: Affine, inputs: Sequence[_Form]) -> _Form:
        width = 3 + len(self._ground.largest)
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
        reach = judge(functions, *self._ground.ranges(bounded, sizes[1]))
        unsteady = np.flatnonzero(~reach.steady)
        self._rest[first : first + len(raw)] = reach.pieces
        self._add_layer(functions, step.name, number, raw, sizes[0], unsteady, reach)
        made = [self._activated(x, reach, unsteady, i == 0) for i, x in enumerate((raw, bounded))]
        magnitudes = self._magnitudes(*made)
        is_copied = reach.steady & (reach.offsets == 0) & np.isin(reach.slopes, (0.0, 1.0))
        errors = np.abs(reach.slopes) * sizes[:2] + 4 * UNIT_ROUNDOFF * magnitudes * ~is_copied
        errors[0, unsteady] = 0.0  # unit columns
        doubts = np.where(reach.steady, np.abs(reach.slopes) * sizes[4], 1.0)
        made_sizes = _sizes(errors, magnitudes, doubts)
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
        are_equal = self._prove_equal(
            sizes[:, units],
            sizes[:, others],
            units.tolist(),
            others.tolist(),
            lambda units: self._exact.rows(number, self._rest, units),
        )
        proved = unsteady.copy()
        proved[followers[are_equal]] = leaders[followers[are_equal]]
        return proved

    def _prove_equal(
        self,
        sizes: Floats,
        other_sizes: Floats,
        places: list[Place],
        other_places: list[Place],
        rows: Callable[[list[Place]], list[Row]],
    ) -> NDArray[np.bool_]:
        """Which pairs of values (n,) with equal raw forms are exactly equal on the whole slice.

        They are if the forms have no errors. Others are looked up in the exact network, if no
        unsteady unit matters for them.
        """
        proved = (sizes[0] == 0) & (other_sizes[0] == 0)
        asked = np.flatnonzero(~proved & (sizes[4] == 0) & (other_sizes[4] == 0)).tolist()
        if asked:
            try:
                some, others = (rows([at[i] for i in asked]) for at in (places, other_places))
            except UnsupportedLayerError:  # what is not proved takes time, nothing else
                return proved
            proved[asked] = [row == other for row, other in zip(some, others, strict=True)]
        return proved

    def _activated(self, form: Floats, reach: Reach, unsteady: np.ndarray, is_raw: bool) -> Floats:
        """Activations (N, 3 + k') from the form (N, 3 + k) of the pre-activations."""
        made = np.zeros((len(form), 3 + len(self._ground.largest)))
        np.multiply(form, reach.slopes[:, None], out=made[:, : form.shape[1]])
        made[:, 2] += reach.offsets
        if is_raw:
            made[unsteady] = 0.0
        made[unsteady, form.shape[1] + np.arange(len(unsteady))] = 1.0
        return made

    def _form(self, made: Sequence[Floats], sizes: Floats, shape: tuple[int, ...]) -> _Form:
        """A value of this shape from its raw and bounded forms (N, 3 + k) and sizes (5, N)."""
        columns = torch.from_numpy(np.stack([x.T for x in made]))
        return _Form(
            columns.reshape(2, -1, *shape).to(self._device),
            torch.from_numpy(sizes).reshape(5, *shape).to(self._device),
        )

    def _magnitudes(self, raw: Floats, bounded: Floats) -> Floats:
        """Sums (2, N) of the absolute values of the terms of both forms."""
        residues = self._ground._replace(largest=self._ground.halves)
        return np.stack([self._ground.magnitudes(raw), residues.magnitudes(bounded)])

    def _add_layer(
        self,
        functions: Layer,
        name: str,
        step: int,
        raw: Floats,
        errors: Floats,
        unsteady: np.ndarray,
        reach: Reach,
        round_: Round | None = None,
    ) -> None:
        if not len(unsteady):
            return
        tables = {
            field: table if len(table) == 1 else table[unsteady]
            for field, table in (
                ("breakpoints", functions.breakpoints),
                ("slopes", functions.slopes),
                ("anchors", functions.anchors),
            )
        }
        self._layers.append(
            ReducedLayer(
                name=name,
                weight=np.delete(raw[unsteady], 2, axis=1),
                bias=raw[unsteady, 2],
                **tables,
                weight_errors=NO_ERROR,
                bias_errors=errors[unsteady],
                step=step,
                units=unsteady,
                round=round_,
            )
        )
        self._ground = self._ground.add(reach.largest[unsteady], reach.halves[unsteady])

    def _next_step(self) -> tuple[int, int]:
        """The number of the piecewise-linear step that is run, and its first unit."""
        self._n_steps += 1
        return self._n_steps - 1, self._units.first_units[self._n_steps - 1]

    def _parts(self, value: _Form) -> tuple[Floats, Floats, Floats]:
        """Raw and bounded form (N, 3 + k) over all units so far, and sizes (5, N)."""
        columns = _widened(value.columns, 3 + len(self._ground.largest))
        raw, bounded = (np.ascontiguousarray(form.T) for form in _flat(columns))
        return raw, bounded, value.sizes.reshape(5, -1).cpu().numpy()

    @cached_property
    def _exact(self) -> ExactNetwork:
        return ExactNetwork(self._program, self._slice)

    # -- max groups ---------------------------------------------------------------------------

    def _compete(self, step: MaxGroups, value: _Form) -> _Form:
        raw, bounded, sizes = self._parts(value)
        number, first = self._next_step()
        members = step.members.numpy().reshape(step.n_units, -1)
        pool = Pool(raw, bounded, sizes)
        contending = self._contending(number, members, pool)
        # Contenders move up to the front; each stands for the places up to the next one.
        order = np.argsort(~contending, axis=1, kind="stable")[:, : contending.sum(axis=1).max()]
        is_hole = ~np.take_along_axis(contending, order, axis=1)
        candidates = np.where(is_hole, -1, np.take_along_axis(members, order, axis=1))
        starts = np.pad(
            np.where(is_hole, members.shape[1], order),
            ((0, 0), (0, 1)),
            constant_values=members.shape[1],
        )
        while candidates.shape[1] > 1:
            candidates, starts = self._play(pool, candidates, starts, step.name, number)
        winners = candidates[:, 0]
        tournament = Tournament(members, pool.children, pool.codes[winners])
        groups, settled = tournament.settled()
        self._rest[first + groups] = settled
        self._tournaments[number] = tournament
        made = pool.forms(winners)
        sizes = pool.sizes[:, winners]
        sizes[2:4] = self._magnitudes(*made)
        return self._form(made, sizes, step.shape)

    def _contending(self, number: int, members: np.ndarray, pool: Pool) -> NDArray[np.bool_]:
        """Which members (groups, places) may win somewhere.

        Others are below another one on the whole slice, or equal to an earlier one, as in even
        parts of a picture.
        """
        raw, bounded = pool.forms(np.arange(pool.sizes.shape[1]))
        lowest, highest = self._ground.ranges(bounded, pool.sizes[1])
        is_member = members >= 0
        best = np.where(is_member, lowest[members], -np.inf).max(axis=1)
        contending = is_member & (highest[members] >= best[:, None])
        classes = np.full(len(raw) + 1, -1)
        used = np.unique(members[contending])
        classes[used] = used[first_equal(raw[used])]
        groups, places, earlier = repeated(np.where(contending, members, -1), classes)
        are_equal = self._prove_equal(
            pool.sizes[:, members[groups, places]],
            pool.sizes[:, members[groups, earlier]],
            list(zip(groups.tolist(), places.tolist(), strict=True)),
            list(zip(groups.tolist(), earlier.tolist(), strict=True)),
            lambda at: self._exact.members(number, self._rest, at),
        )
        contending[groups[are_equal], places[are_equal]] = False
        return contending

    def _play(
        self, pool: Pool, candidates: np.ndarray, starts: np.ndarray, name: str, step: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Compare neighbouring candidates (groups, n) of all windows; return the winners.

        `starts` (groups, n + 1) are the first places that candidates stand for, and the end.
        """
        if candidates.shape[1] % 2:
            candidates = np.column_stack([candidates, np.full(len(candidates), -1)])
            starts = np.column_stack([starts, starts[:, -1]])
        earlier, later = candidates[:, ::2], candidates[:, 1::2]
        winners = np.where(earlier < 0, later, earlier)
        groups, pairs = np.nonzero((earlier >= 0) & (later >= 0))
        if not len(groups):
            return winners, starts[:, ::2]
        both = np.column_stack([earlier[groups, pairs], later[groups, pairs]])
        matches, which = np.unique(both, axis=0, return_inverse=True)
        which = which.reshape(-1)
        raw, bounded, sizes = pool.differences(matches)
        reach = judge(_RELU, *self._ground.ranges(bounded, sizes[1]))
        nodes = np.flatnonzero(~reach.steady)
        number_of = np.full(len(matches), -1)
        number_of[nodes] = np.arange(len(nodes))
        shown = number_of[which] >= 0
        group, place = groups[shown], 2 * pairs[shown] + 1
        spans = starts[group, place], starts[group, place + 1]
        round_ = Round(number_of[which[shown]], group, *spans)
        self._add_layer(_RELU, name, step, raw, sizes[0], nodes, reach, round_)
        results = np.where(reach.pieces > 0, matches[:, 1], matches[:, 0])
        made = [
            self._activated(x[nodes], reach.take(nodes), np.arange(len(nodes)), i == 0)
            for i, x in enumerate((raw, bounded))
        ]
        magnitudes = self._magnitudes(*made)
        errors = np.zeros_like(magnitudes)
        errors[1] = np.abs(reach.slopes[nodes]) * sizes[1, nodes]
        errors[1] += 4 * UNIT_ROUNDOFF * magnitudes[1]
        made_sizes = _sizes(errors, magnitudes, np.ones(len(nodes)))
        results[nodes] = pool.add(matches[nodes], made[0], made[1], made_sizes)
        winners[groups, pairs] = results[which]
        return winners, starts[:, ::2]


_RELU = Layer(
    name="",
    weight=np.zeros((1, 2)),
    bias=np.zeros(1),
    breakpoints=np.zeros((1, 1)),
    slopes=np.array([[0.0, 1.0]]),
    anchors=np.zeros(1),
    weight_errors=NO_ERROR,
    bias_errors=NO_ERROR,
)

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
