"""The network on a slice, in integers: rows of pre-activations on regions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from splinecam.errors import InvalidArgumentError, InvalidSliceError
from splinecam.exact.predicates import Row
from splinecam.exact.stages import (
    Bend,
    Combination,
    Maximum,
    Pattern,
    Plane,
    Product,
    Stage,
    offset_of,
    pattern_of,
)
from splinecam.program import Affine, Convolution, MatMul, PiecewiseLinear, Program
from splinecam.slices import Slice

HELD_ROWS = 2**16
"""Rows that an `ExactNetwork` has been asked for and keeps."""

Prefix = Pattern | NDArray[np.integer]

HELD_PREFIXES = 2**8
"""Patterns, cut off where a layer begins, that it keeps."""
Layer = TypeVar("Layer", Bend, Maximum)


class ExactNetwork:
    """The network on a slice, in integers.

    Where the units of all earlier layers keep their sides of their breakpoints, and groups their
    largest members, each pre-activation z of a layer is affine in the plane coordinates. It is
    computed when it is first asked for, with no more of the earlier layers than it depends on,
    and kept for a while.

    Parameters
    ----------
    program : Program
    slice_ : Slice

    Raises
    ------
    InvalidSliceError
        If the slice's input shape is not the program's.
    UnsupportedLayerError
        When rows are asked for: if they depend on a coefficient, computed by torch, that is no
        multiple of 2^-256, as averages and weights of interpolation are.

    Examples
    --------
    >>> import torch
    >>> from splinecam.convert import convert
    >>> model = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = model[0].weight.copy_(torch.tensor([[1.0, -0.5]])), model[0].bias.fill_(0.25)
    >>> network = ExactNetwork(convert(model, (2,)), Slice.box((-1, 1), (-1, 1)))
    >>> network.rows(0, b""), network.power(0)
    ([(4, -2, 1)], 2)
    """

    def __init__(self, program: Program, slice_: Slice):
        if slice_.input_shape != program.input_shape:
            raise InvalidSliceError(
                f"slice: its points have shape {slice_.input_shape}, "
                f"the model takes inputs of shape {program.input_shape}"
            )
        self._layers = _layers(program, slice_)
        self._row = lru_cache(HELD_ROWS)(self._computed_row)
        self._member = lru_cache(HELD_ROWS)(self._computed_member)
        self._cut_off = lru_cache(HELD_PREFIXES)(self._computed_prefix)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Units of each layer."""
        return tuple(layer.n_units for layer in self._layers)

    def power(self, layer: int) -> int:
        """The k for which a row of this layer is the pre-activation times ``2**k``."""
        return self._layers[layer].row_power

    def rows(self, layer: int, prefix: Prefix, units: Sequence[int] | None = None) -> list[Row]:
        """Pre-activations of a layer where the units before it have a given pattern.

        Parameters
        ----------
        layer : int
            Which of the program's piecewise steps; one with breakpoints.
        prefix : bytes, tuple of int or ndarray
            (n,) the pattern of each unit of the layers before; more entries than those, as a whole
            pattern has them, are ignored.
        units : sequence of int, optional
            Which units of the layer. Default: all.

        Returns
        -------
        list of Row
            z is ``(a u + b v + c) * 2**-power(layer)``.

        Raises
        ------
        InvalidArgumentError
            If the prefix is too short, or the layer of another kind.
        """
        self._checked(layer, Bend)
        pattern = self._pattern(layer, prefix)
        chosen = range(self._layers[layer].n_units) if units is None else units
        return [self._row(layer, pattern, unit) for unit in chosen]

    def hinges(self, layer: int, prefix: Prefix, chosen: Sequence[int] | None = None) -> list[Row]:
        """Hinges of a layer, ``z - t_j``, numbered unit by unit; else as `rows`."""
        bend = self._checked(layer, Bend)
        n = len(bend.breakpoints)
        numbers = range(bend.n_units * n) if chosen is None else chosen
        rows = self.rows(layer, prefix, [number // n for number in numbers])
        return [
            (a, b, c - bend.breakpoints[number % n][number // n])
            for number, (a, b, c) in zip(numbers, rows, strict=True)
        ]

    def members(self, layer: int, prefix: Prefix, places: Sequence[tuple[int, int]]) -> list[Row]:
        """Members of the groups of a layer of maxima.

        Parameters
        ----------
        layer : int
            Which of the program's piecewise steps; one of groups.
        prefix : bytes, tuple of int or ndarray
            As for `rows`.
        places : sequence of (int, int)
            Units and positions of members in their groups.

        Returns
        -------
        list of Row
            A member is ``(a u + b v + c) * 2**-power(layer)``.

        Raises
        ------
        InvalidArgumentError
            If the prefix is too short, the layer of another kind, or a position in the padding.
        """
        self._checked(layer, Maximum)
        pattern = self._pattern(layer, prefix)
        return [self._member(layer, pattern, place) for place in places]

    def differences(
        self, layer: int, prefix: Prefix, places: Sequence[tuple[int, int, int]]
    ) -> list[Row]:
        """Differences between members, of units `places` at one position minus at another.

        For ``(unit, later, earlier)`` it is the member at `later` minus that at `earlier`; else
        as `members`.
        """
        later = self.members(layer, prefix, [(unit, i) for unit, i, _ in places])
        earlier = self.members(layer, prefix, [(unit, i) for unit, _, i in places])
        return [(a - d, b - e, c - f) for (a, b, c), (d, e, f) in zip(later, earlier, strict=True)]

    def _checked(self, layer: int, kind: type[Layer]) -> Layer:
        found = self._layers[layer]
        if not isinstance(found, kind):
            raise InvalidArgumentError(
                f"layer {layer} is a {type(found).__name__}; accepted: a {kind.__name__}"
            )
        return found

    def _pattern(self, layer: int, prefix: Prefix) -> Pattern:
        """The pattern of the units before a layer."""
        if isinstance(prefix, np.ndarray):
            prefix = pattern_of(prefix)
        return self._cut_off(layer, prefix)

    def _computed_prefix(self, layer: int, pattern: Pattern) -> Pattern:
        start = self._layers[layer].start
        if len(pattern) < start:
            raise InvalidArgumentError(
                f"prefix has {len(pattern)} entries; layer {layer} has {start} units before it"
            )
        return pattern[:start]

    def _computed_row(self, layer: int, pattern: Pattern, unit: int) -> Row:
        return self._checked(layer, Bend).preactivations(pattern, [unit])[0]

    def _computed_member(self, layer: int, pattern: Pattern, place: tuple[int, int]) -> Row:
        return self._checked(layer, Maximum).members(pattern, [place])[0]


def _layers(program: Program, slice_: Slice) -> list[Bend | Maximum]:
    """The stages of the piecewise steps, connected to all that they depend on."""
    stages: list[Stage] = [Plane(slice_)]
    shapes = [program.input_shape]
    layers: list[Bend | Maximum] = []
    n_seen, n_layers = 0, len(program.piecewise_steps)
    for step in program.steps:
        if len(layers) == n_layers:
            break  # what follows is affine, up to the output
        before = [stages[i] for i in step.inputs]
        if isinstance(step, Affine):
            stages.append(_affine(step, before, [shapes[i] for i in step.inputs]))
        else:
            is_bend = isinstance(step, PiecewiseLinear)
            layer = Bend(before[0], step, n_seen) if is_bend else Maximum(before[0], step, n_seen)
            layers.append(layer)
            stages.append(layer)
            n_seen += layer.n_units
        shapes.append(step.shape)
    return layers


def _affine(step: Affine, before: list[Stage], shapes: list[tuple[int, ...]]) -> Stage:
    linear, offset = step.linear, offset_of(step)
    if isinstance(linear, MatMul):
        weight = linear.weight.numpy()
        windows = np.arange(prod(shapes[0])).reshape(-1, weight.shape[1])
        places = np.column_stack(np.divmod(np.arange(len(offset)), len(weight)))
    elif isinstance(linear, Convolution):
        weight = linear.weight.numpy().reshape(len(linear.weight), -1)
        windows, places = linear.windows(shapes[0])
    else:
        return Combination(before, step, shapes)
    return Product(before[0], weight, windows, places, offset)
