"""The network as a straight list of affine steps, piecewise-linear steps and maxima.

A `Program` is in single-assignment form: value 0 is the network's input, and step ``i`` reads the
values that its ``inputs`` name and makes value ``i + 1``. A chain of layers reads only the value
before it; branches read several. Every coefficient is a float64 tensor, and these coefficients
*define* the network whose partition is computed.

All values carry a leading batch dimension, so a step acts on points ``(n, *shape)`` and, by
`Affine.push`, on the columns of an affine map just as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from math import inf, prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from splinecam.linear import (
    Applied,
    Convolution,
    Gather,
    LinearMap,
    MatMul,
    Reshape,
    Scale,
    Shape,
    Sum,
    Units,
    flat,
)

if TYPE_CHECKING:
    from scipy.sparse import csr_array

__all__ = [
    "Affine",
    "Applied",
    "Convolution",
    "Gather",
    "Head",
    "LinearMap",
    "MatMul",
    "MaxGroups",
    "PiecewiseLinear",
    "Program",
    "Reshape",
    "Scale",
    "Step",
    "Sum",
]


@dataclass(frozen=True, eq=False)
class Affine:
    """The step ``y = linear(x, …) + offset``.

    Parameters
    ----------
    name : str
        Where the step comes from: the module's path in the model.
    inputs : tuple of int
        The values that the step reads, in the order in which `linear` takes them; a value may
        come more than once.
    shape : tuple of int
        Shape of the value that it makes, without the batch dimension.
    linear : LinearMap
        A linear map on batches.
    offset : Tensor or None
        float64, broadcastable to `shape`; None where the step is linear.
    """

    name: str
    inputs: tuple[int, ...]
    shape: Shape
    linear: LinearMap
    offset: Tensor | None = None

    def __call__(self, *xs: Tensor) -> Tensor:
        """Values of the step where those that it reads are `xs`, each ``(n, *its_shape)``."""
        y = self.linear(*xs)
        return y if self.offset is None else y + self.offset.to(y.device)

    @property
    def n_terms(self) -> int:
        """How many products each entry of the result sums up, at most."""
        return self.linear.n_terms

    def magnitudes(self) -> Affine:
        """The same step with the absolute values of its coefficients."""
        offset = None if self.offset is None else self.offset.abs()
        return replace(self, linear=self.linear.magnitudes(), offset=offset)

    def push(self, *columns: Tensor) -> Tensor:
        """Compose with affine maps given by their columns, the constant column last.

        Parameters
        ----------
        *columns : Tensor
            (k + 1, *its_shape) for each value that the step reads.

        Returns
        -------
        Tensor
            (k + 1, *shape).
        """
        pushed = self.linear(*columns)
        if self.offset is None:
            return pushed
        constant = pushed[-1] + self.offset.to(pushed.device)
        return torch.cat([pushed[:-1], constant[None]])

    def rows(self, units: Units, *shapes: Shape) -> list[csr_array]:
        """Read the coefficients of some entries of the value that the step makes.

        Parameters
        ----------
        units : ndarray of int64, (k,)
            Entries of the value, flattened.
        *shapes : tuple of int
            Shape of each value that the step reads, without the batch dimension.

        Returns
        -------
        list of csr_array
            For each of these, the coefficients ``(k, prod(shape))`` with respect to its entries.
        """
        return self.linear.rows(units, *shapes)


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
    shape: Shape
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

    def preactivations(self, x: Tensor) -> Tensor:
        """What the units are functions of, ``(n, n_units)``: the value itself."""
        return flat(x)

    def patterns(self, x: Tensor) -> Tensor:
        """How many of its breakpoints every unit exceeds, ``(n, n_units)`` uint8."""
        exceeded = [x > t for t in self.breakpoints.to(x.device)]
        return flat(torch.stack(exceeded).sum(dim=0, dtype=torch.uint8))

    def per_unit(self, table: Tensor) -> Tensor:
        """Expand `breakpoints` or `slopes` (or ``anchor[None]``) to ``(len(table), units)``."""
        rows, *shape = table.shape
        aligned = table.reshape(rows, *(1,) * (len(self.shape) - len(shape)), *shape)
        return aligned.expand(rows, *self.shape).reshape(rows, self.n_units)


@dataclass(frozen=True, eq=False)
class MaxGroups:
    """The maxima over groups of a value's entries: max-pooling, maxout, a maximum of two values.

    Every group is a unit. Its pattern is the position of its largest member in the group, the
    first one where several are largest, as torch has it. Minima are maxima of negated entries.

    Parameters
    ----------
    name : str
        The module's path in the model, or the path and the name of the function.
    inputs : tuple of int
        The one value that the step reads.
    shape : tuple of int
        Shape of the value that it makes, without the batch dimension.
    members : Tensor
        int64 ``(n_units, m)``: for every entry of the flattened result, the positions of its
        group in the flattened value that the step reads. For a pooling window these are its
        positions in row-major order; those in the padding are -1. Each group has some member.
    """

    name: str
    inputs: tuple[int, ...]
    shape: Shape
    members: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Maxima of points ``(n, *its_shape)``."""
        return self.preactivations(x).amax(dim=-1).reshape(len(x), *self.shape)

    @property
    def n_units(self) -> int:
        """Number of groups."""
        return prod(self.shape)

    def preactivations(self, x: Tensor) -> Tensor:
        """What is compared: the members of every group, ``(n, n_units, m)``, -inf for padding."""
        members = self.members.to(x.device)
        return flat(x)[:, members.clamp(min=0)].masked_fill(members < 0, -inf)

    def patterns(self, x: Tensor) -> Tensor:
        """Position in its group of every unit's first largest member, ``(n, n_units)``.

        The dtype is uint8, or int32 where a group has more than 256 members.
        """
        first = self.preactivations(x).argmax(dim=-1)
        return first.to(torch.uint8 if self.members.shape[1] <= 256 else torch.int32)


Step = Affine | PiecewiseLinear | MaxGroups


@dataclass(frozen=True, eq=False)
class Head:
    """What a model does after the network's output, if it keeps the order of the outputs.

    Such a softmax or sigmoid changes neither the partition nor the largest output, so that it is
    no part of the program.

    Parameters
    ----------
    name : str
        The module's path in the model, or the path and the name of the function.
    function : callable
        Takes a batch ``(n, *shape)``, and makes one of the same shape.
    shape : tuple of int
        Shape of what it is applied to, without the batch dimension; the network's output has as
        many entries, in the same order.
    """

    name: str
    function: Callable[[Tensor], Tensor]
    shape: Shape

    def __call__(self, y: Tensor) -> Tensor:
        """The model's own outputs where those of the network are `y`."""
        return self.function(y.reshape(len(y), *self.shape)).reshape(y.shape)


@dataclass(frozen=True, eq=False)
class Program:
    """A piecewise-linear network.

    Parameters
    ----------
    steps : tuple of Affine, PiecewiseLinear or MaxGroups
        Step ``i`` makes value ``i + 1``; value 0 is the input.
    input_shape : tuple of int
        Shape of one input, without the batch dimension.
    output : int
        The value that is the network's output.
    head : Head or None
        What the model goes on to do with that output; no part of the network.
    """

    steps: tuple[Step, ...]
    input_shape: Shape
    output: int
    head: Head | None = None

    @property
    def output_shape(self) -> tuple[int, ...]:
        """Shape of one output, without the batch dimension."""
        return self.steps[self.output - 1].shape if self.output else self.input_shape

    @property
    def piecewise_steps(self) -> tuple[PiecewiseLinear | MaxGroups, ...]:
        """The steps that are not affine, in execution order: the layers of the partition."""
        return tuple(s for s in self.steps if not isinstance(s, Affine))

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs ``(n, *output_shape)`` at inputs ``(n, *input_shape)``: float64, x's device."""
        if not self.output:
            return x.double()
        for index, value in self._values(x):
            if index == self.output:
                return value
        raise AssertionError("a program makes its own output")

    def preactivations(self, x: Tensor) -> list[Tensor]:
        """What the piecewise steps act on at inputs ``(n, *input_shape)``.

        Returns
        -------
        list of Tensor
            For each of `piecewise_steps`: ``(n, n_units)``; for `MaxGroups`, the members of each
            group ``(n, n_units, m)``, with -inf where a window reaches into the padding.
        """
        return [step.preactivations(value) for step, value in self._bends(x)]

    def patterns(self, x: Tensor) -> Tensor:
        """Activation patterns at inputs ``(n, *input_shape)``, by plain evaluation.

        Returns
        -------
        Tensor
            (n, total number of units): how many of its breakpoints each unit exceeds, and for a
            group the position of its first largest member. The dtype is uint8, or int32 where a
            group has more than 256 members.
        """
        found = [step.patterns(value) for step, value in self._bends(x)]
        return torch.cat([torch.zeros(len(x), 0, dtype=torch.uint8, device=x.device), *found], 1)

    def _bends(self, x: Tensor) -> Iterator[tuple[PiecewiseLinear | MaxGroups, Tensor]]:
        """The piecewise steps, each with the value that it reads."""
        values = {0: x.double(), **dict(self._values(x))}
        return ((s, values[s.inputs[0]]) for s in self.steps if not isinstance(s, Affine))

    def _values(self, x: Tensor) -> Iterator[tuple[int, Tensor]]:
        values = [x.double()]
        for step in self.steps:
            values.append(step(*(values[i] for i in step.inputs)))
            yield len(values) - 1, values[-1]
