"""The network as a straight list of affine and piecewise-linear steps.

A `Program` is in single-assignment form: value 0 is the network's input, and step ``i`` reads the
values that its ``inputs`` name and makes value ``i + 1``. A chain of layers reads only the value
before it; branches read several. Every coefficient is a float64 tensor, and these coefficients
*define* the network whose partition is computed.

All values carry a leading batch dimension, so a step acts on points ``(n, *shape)`` and, by
`Affine.push`, on the columns of an affine map just as well.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import prod
from typing import Protocol

import torch
from torch import Tensor


class LinearMap(Protocol):
    """A linear map on batches."""

    @property
    def n_terms(self) -> int:
        """How many products each entry of the result sums up."""
        ...

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to a batch."""
        ...

    def magnitudes(self) -> LinearMap:
        """The same map with the absolute values of its coefficients."""
        ...


@dataclass(frozen=True, eq=False)
class MatMul:
    """Multiply the last dimension by a matrix: ``(n, ..., k) -> (n, ..., d)``."""

    weight: Tensor  # (d, k) float64

    @property
    def n_terms(self) -> int:
        """How many products each entry of the result sums up."""
        return self.weight.shape[1]

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to a batch."""
        return x @ self.weight.to(x.device).T

    def magnitudes(self) -> MatMul:
        """The same map with the absolute values of its coefficients."""
        return MatMul(self.weight.abs())


@dataclass(frozen=True, eq=False)
class Scale:
    """Multiply by constants: ``(n, *shape) -> (n, *shape)``."""

    factor: Tensor  # broadcastable to the value's shape, float64
    n_terms = 1

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to a batch."""
        return x * self.factor.to(x.device)

    def magnitudes(self) -> Scale:
        """The same map with the absolute values of its coefficients."""
        return Scale(self.factor.abs())


@dataclass(frozen=True)
class Reshape:
    """Rearrange every batch entry, in row-major order: ``(n, *old) -> (n, *new)``."""

    shape: tuple[int, ...]
    n_terms = 0

    def __call__(self, x: Tensor) -> Tensor:
        """Apply to a batch."""
        return x.reshape(x.shape[0], *self.shape)

    def magnitudes(self) -> Reshape:
        """The same map: its coefficients are ones."""
        return self


@dataclass(frozen=True, eq=False)
class Affine:
    """The step ``y = linear(x) + offset``.

    Parameters
    ----------
    name : str
        Where the step comes from: the module's path in the model.
    inputs : tuple of int
        The values that the step reads.
    shape : tuple of int
        Shape of the value that it makes, without the batch dimension.
    linear : callable
        A linear map on batches.
    offset : Tensor or None
        float64, broadcastable to `shape`; None where the step is linear.
    """

    name: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    linear: LinearMap
    offset: Tensor | None = None

    def __call__(self, x: Tensor) -> Tensor:
        """Values of the step at points ``(n, *shape)``."""
        y = self.linear(x)
        return y if self.offset is None else y + self.offset.to(y.device)

    @property
    def n_terms(self) -> int:
        """How many products each entry of the result sums up."""
        return self.linear.n_terms

    def magnitudes(self) -> Affine:
        """The same step with the absolute values of its coefficients."""
        offset = None if self.offset is None else self.offset.abs()
        return replace(self, linear=self.linear.magnitudes(), offset=offset)

    def push(self, columns: Tensor) -> Tensor:
        """Compose with an affine map given by its columns, the constant column last."""
        pushed = self.linear(columns)
        if self.offset is None:
            return pushed
        constant = pushed[-1] + self.offset.to(pushed.device)
        return torch.cat([pushed[:-1], constant[None]])


@dataclass(frozen=True, eq=False)
class PiecewiseLinear:
    r"""A continuous piecewise-linear function applied to every entry (unit) of a value.

    With breakpoints :math:`t_1 < … < t_m` and slopes :math:`s_0, …, s_m`, the function is
    :math:`f(z) = f(t_1) + s_0 (z - t_1) + \sum_j (s_j - s_{j-1}) \max(z - t_j, 0)`.

    Parameters
    ----------
    name : str
        The module's path in the model, or the path and the name of the function.
    inputs : tuple of int
        The one value that the step reads.
    shape : tuple of int
        Shape of that value, without the batch dimension.
    breakpoints : Tensor
        float64 ``(m, *s)``, ascending along the first dimension, with ``s`` broadcastable to
        `shape` (one set for all units, or one each).
    slopes : Tensor
        float64 ``(m + 1, *s)``: the slope below the first breakpoint, between them, and above.
    anchor : Tensor
        float64 ``s``: the function's value at its first breakpoint.
    """

    name: str
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    breakpoints: Tensor
    slopes: Tensor
    anchor: Tensor

    def __call__(self, z: Tensor) -> Tensor:
        """Activations of pre-activations ``(n, *shape)``."""
        breakpoints, slopes, anchor = (
            t.to(z.device) for t in (self.breakpoints, self.slopes, self.anchor)
        )
        y = anchor + slopes[0] * (z - breakpoints[0])
        for t, kink in zip(breakpoints, slopes.diff(dim=0), strict=True):
            y = y + kink * (z - t).clamp(min=0)
        return y

    @property
    def n_units(self) -> int:
        """Number of scalar entries."""
        return prod(self.shape)

    def per_unit(self, table: Tensor) -> Tensor:
        """Expand `breakpoints` or `slopes` (or ``anchor[None]``) to ``(len(table), units)``."""
        rows, *shape = table.shape
        aligned = table.reshape(rows, *(1,) * (len(self.shape) - len(shape)), *shape)
        return aligned.expand(rows, *self.shape).reshape(rows, self.n_units)


Step = Affine | PiecewiseLinear


@dataclass(frozen=True, eq=False)
class Program:
    """A piecewise-linear network.

    Parameters
    ----------
    steps : tuple of Affine or PiecewiseLinear
        Step ``i`` makes value ``i + 1``; value 0 is the input.
    input_shape : tuple of int
        Shape of one input, without the batch dimension.
    output : int
        The value that is the network's output.
    """

    steps: tuple[Step, ...]
    input_shape: tuple[int, ...]
    output: int

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one output, without the batch dimension."""
        return self.steps[self.output - 1].shape if self.output else self.input_shape

    @property
    def piecewise_steps(self) -> tuple[PiecewiseLinear, ...]:
        """The piecewise-linear steps in execution order: the layers of the partition."""
        return tuple(s for s in self.steps if isinstance(s, PiecewiseLinear))

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs ``(n, *output_shape)`` at inputs ``(n, *input_shape)``: float64, x's device."""
        if not self.output:
            return x.double()
        for index, value in self._values(x):
            if index == self.output:
                return value
        raise AssertionError("a program makes its own output")

    def preactivations(self, x: Tensor) -> list[Tensor]:
        """Inputs ``(n, units)`` of the piecewise-linear steps at inputs ``(n, *input_shape)``."""
        values: dict[int, Tensor] = {0: x.double()}
        values.update(self._values(x))
        return [values[s.inputs[0]].reshape(len(x), -1) for s in self.piecewise_steps]

    def _values(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        values = [x.double()]
        for step in self.steps:
            values.append(step(*(values[i] for i in step.inputs)))
            yield len(values) - 1, values[-1]
