"""The network on a slice without rounding: rational predicates, and the network they ask about.

The network is the `Program` whose float64 coefficients are taken as the rational numbers they
are, on the plane ``origin + u * basis[0] + v * basis[1]`` with the slice's stored floats. All
numbers are Python integers; where a division by a power of two remains, its exponent is kept
once for a whole step of the program.

- A *row* ``(a, b, c)`` is the affine function ``a u + b v + c`` on the plane, up to a positive
  factor; it stands for the line where it vanishes, directed so that it is positive on its left.
- A *point* ``(x, y, w)`` with ``w > 0`` and without a common divisor is ``(x / w, y / w)``, so
  that equal points are equal tuples.
- A sign is -1, 0 or 1.

Examples
--------
>>> half = point_at(0.5, 0.0)
>>> vertical, horizontal = (2, 0, -1), (0, 1, 0)
>>> intersection(vertical, horizontal) == half, sign_at(vertical, point_at(0.25, 7.0))
(True, -1)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import gcd, inf, nextafter
from operator import mul
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from splinecam.errors import InvalidArgumentError, InvalidSliceError, UnsupportedLayerError
from splinecam.program import Affine, MatMul, PiecewiseLinear, Program, Reshape, Scale
from splinecam.slices import Slice

Floats = NDArray[np.float64]
Row = tuple[int, int, int]
Point = tuple[int, int, int]

HELD_ROWS = 2**16
"""Rows of pre-activations that an `ExactNetwork` keeps."""

HELD_INPUTS = 2**9
"""Inputs of a matrix, on regions with one pattern, that each product in the network keeps."""

DIGITS = 53
"""Binary digits of a float64."""


# --- Predicates ------------------------------------------------------------------------------


def sign(number: int) -> int:
    """The sign of an integer: -1, 0 or 1."""
    return (number > 0) - (number < 0)


def sign_at(row: Row, point: Point) -> int:
    """The sign of an affine function at a point."""
    a, b, c = row
    x, y, w = point
    return sign(a * x + b * y + c * w)


def order_along(row: Row, p: Point, q: Point) -> int:
    """1 where `q` comes after `p` along a line, -1 where before, 0 where beside each other.

    The line of a row runs in direction ``(b, -a)``, which has the positive side on its left. The
    points may lie off the line: compared are their feet on it.
    """
    a, b, _ = row
    along = b * (q[0] * p[2] - p[0] * q[2]) - a * (q[1] * p[2] - p[1] * q[2])
    return sign(along)


def turn(p: Point, q: Point, r: Point) -> int:
    """1 where the way from `p` over `q` to `r` turns left, -1 where right, 0 on a line."""
    return sign_at(line_through(p, q), r)


def line_through(p: Point, q: Point) -> Row:
    """The line from `p` through `q`, zero on both and positive on its left."""
    return p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]


def intersection(row: Row, other: Row) -> Point | None:
    """The point that two lines share; None for parallel ones, and where a row is constant."""
    x, y, w = line_through(row, other)  # the same cross product: points and lines are dual
    if w == 0:
        return None
    divisor = gcd(x, y, w) * sign(w)
    return x // divisor, y // divisor, w // divisor


def point_at(u: float, v: float) -> Point:
    """The point with these plane coordinates."""
    (x, p), (y, q) = float(u).as_integer_ratio(), float(v).as_integer_ratio()
    w = max(p, q)  # both are powers of two
    return x * (w // p), y * (w // q), w


def distance_bound(p: Point, q: Point) -> float:
    """The larger difference of two points' coordinates, rounded up."""
    numerator = max(abs(p[i] * q[2] - q[i] * p[2]) for i in (0, 1))
    denominator = p[2] * q[2]
    if not numerator:
        return 0.0
    if numerator.bit_length() - denominator.bit_length() > 1000:
        return inf
    return nextafter(numerator / denominator, inf)


# --- Floats as integers ----------------------------------------------------------------------


def power_of(values: Floats) -> int:
    """The least k >= 0 for which all ``values * 2**k`` are integers."""
    mantissas, exponents = _digits(values)
    lowest_bits = np.frexp((mantissas & -mantissas).astype(np.float64))[1] - 1
    needed = -(exponents + lowest_bits)[mantissas != 0]
    return int(max(0, needed.max(initial=0)))


def integers(values: Floats, power: int) -> list[int]:
    """The integers ``values * 2**power``, for a `power` of at least `power_of(values)`."""
    mantissas, exponents = _digits(values)
    shifts = (exponents + power).tolist()
    return [m << s if s >= 0 else m >> -s for m, s in zip(mantissas.tolist(), shifts, strict=True)]


def _digits(values: Floats) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Integers m and exponents e with ``values = m * 2**e``."""
    fractions, exponents = np.frexp(values)
    return np.ldexp(fractions, DIGITS).astype(np.int64), exponents.astype(np.int64) - DIGITS


# --- Reading programs ------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Product:
    """A step ``W x + offset``, for each block of K entries of a flattened value.

    Parameters
    ----------
    weight : ndarray
        (D, K) float64.
    offset : ndarray
        (blocks * D,) float64.
    """

    weight: Floats
    offset: Floats


@dataclass(frozen=True, eq=False)
class Scaling:
    """A step ``factor * x + offset`` for each entry of a flattened value; both (units,) float64."""

    factor: Floats
    offset: Floats


@dataclass(frozen=True, eq=False)
class Bend:
    """A piecewise-linear step, unit by unit.

    Parameters
    ----------
    breakpoints : ndarray
        (m, units) float64.
    slopes : ndarray
        (m + 1, units) float64.
    anchors : ndarray
        (units,) float64, the values at the first breakpoints.
    """

    breakpoints: Floats
    slopes: Floats
    anchors: Floats


def read_steps(program: Program) -> list[Product | Scaling | Bend]:
    """The steps of a program up to its last piecewise-linear one, on flattened values.

    Raises
    ------
    UnsupportedLayerError
        If the program is no chain of matrix products, scalings, reshapes and piecewise-linear
        functions.
    """
    steps: list[Product | Scaling | Bend] = []
    n_steps = 0
    for index, step in enumerate(program.steps[: program.output]):
        if step.inputs != (index,):
            raise UnsupportedLayerError(
                f"'{step.name}' reads the values {step.inputs}; exact arithmetic accepts chains, "
                f"where it reads {(index,)}"
            )
        steps.append(_read_bend(step) if isinstance(step, PiecewiseLinear) else _read_affine(step))
        if isinstance(step, PiecewiseLinear):
            n_steps = len(steps)
    return steps[:n_steps]


def _read_bend(step: PiecewiseLinear) -> Bend:
    tables = (step.breakpoints, step.slopes, step.anchor[None])
    breakpoints, slopes, anchors = (step.per_unit(table).numpy() for table in tables)
    return Bend(breakpoints, slopes, anchors[0])


def _read_affine(step: Affine) -> Product | Scaling:
    shape, linear = step.shape, step.linear
    n_units = int(np.prod(shape))
    offset = np.zeros(n_units)
    if step.offset is not None:
        offset = step.offset.expand(shape).reshape(-1).numpy()
    if isinstance(linear, MatMul):
        return Product(linear.weight.numpy(), offset)
    if isinstance(linear, Scale):
        return Scaling(linear.factor.expand(shape).reshape(-1).numpy(), offset)
    if isinstance(linear, Reshape):
        return Scaling(np.ones(n_units), offset)
    raise UnsupportedLayerError(
        f"'{step.name}' is a {type(linear).__name__}; exact arithmetic accepts MatMul, Scale and "
        "Reshape"
    )


# --- The network -----------------------------------------------------------------------------


class ExactNetwork:
    """The network on a slice, in integers.

    Where the units of all earlier layers keep their sides of their breakpoints, each
    pre-activation z of a layer is affine in the plane coordinates; it is computed when it is
    first asked for, and kept.

    Parameters
    ----------
    program : Program
        A chain of matrix products, scalings, reshapes and piecewise-linear steps.
    slice_ : Slice

    Raises
    ------
    UnsupportedLayerError
        If a step is of another kind.
    InvalidSliceError
        If the slice's input shape is not the program's.

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
        stage: _Stage = _Plane(slice_)
        self._bends: list[_ExactBend] = []
        n_seen = 0
        for step in read_steps(program):
            if isinstance(step, Bend):
                stage = _ExactBend(stage, step, n_seen)
                self._bends.append(stage)
                n_seen += len(step.anchors)
            elif isinstance(step, Product):
                stage = _ExactProduct(stage, step, n_seen)
            else:
                stage = _ExactScaling(stage, step)
        self._row = lru_cache(HELD_ROWS)(self._computed_row)

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Units of each layer."""
        return tuple(bend.n_units for bend in self._bends)

    def power(self, layer: int) -> int:
        """The k for which a row of this layer is the pre-activation times ``2**k``."""
        return self._bends[layer].row_power

    def rows(
        self,
        layer: int,
        prefix: bytes | NDArray[np.unsignedinteger],
        units: Sequence[int] | None = None,
    ) -> list[Row]:
        """Pre-activations of a layer where the units before it have a given pattern.

        Parameters
        ----------
        layer : int
            Which piecewise-linear step.
        prefix : bytes or ndarray
            (n,) how many of its breakpoints each unit of the layers before exceeds; more entries
            than those, as a whole pattern has them, are ignored.
        units : sequence of int, optional
            Which units of the layer. Default: all.

        Returns
        -------
        list of Row
            z is ``(a u + b v + c) * 2**-power(layer)``.

        Raises
        ------
        InvalidArgumentError
            If the prefix is too short.
        """
        bend = self._bends[layer]
        pattern = prefix if isinstance(prefix, bytes) else prefix.astype(np.uint8).tobytes()
        if len(pattern) < bend.start:
            raise InvalidArgumentError(
                f"prefix has {len(pattern)} entries; layer {layer} has {bend.start} units before it"
            )
        chosen = range(bend.n_units) if units is None else units
        return [self._row(layer, pattern[: bend.start], unit) for unit in chosen]

    def hinges(
        self,
        layer: int,
        prefix: bytes | NDArray[np.unsignedinteger],
        chosen: Sequence[int] | None = None,
    ) -> list[Row]:
        """Hinges of a layer, ``z - t_j``, numbered unit by unit; else as `rows`."""
        bend = self._bends[layer]
        n = len(bend.breakpoints)
        numbers = range(bend.n_units * n) if chosen is None else chosen
        rows = self.rows(layer, prefix, [number // n for number in numbers])
        return [
            (a, b, c - bend.breakpoints[number % n][number // n])
            for number, (a, b, c) in zip(numbers, rows, strict=True)
        ]

    def _computed_row(self, layer: int, prefix: bytes, unit: int) -> Row:
        return self._bends[layer].preactivations(prefix, [unit])[0]


class _Stage(Protocol):
    """A value of the program: entry i times ``2**power`` is an integer affine function."""

    @property
    def power(self) -> int: ...

    def rows(self, pattern: bytes, units: Sequence[int]) -> list[Row]:
        """Some entries where units have a pattern."""
        ...


class _Plane:
    """The slice's plane in input space."""

    def __init__(self, slice_: Slice):
        self.power = max(power_of(slice_.basis), power_of(slice_.origin))
        columns = (integers(c, self.power) for c in (*slice_.basis, slice_.origin))
        self._rows: list[Row] = list(zip(*columns, strict=True))

    def rows(self, pattern: bytes, units: Sequence[int]) -> list[Row]:
        return [self._rows[unit] for unit in units]


class _ExactProduct:
    """A product with a matrix, whose rows become integers when they are first used."""

    def __init__(self, before: _Stage, step: Product, n_seen: int):
        weight_power = max(power_of(step.weight), power_of(step.offset) - before.power)
        self.power = before.power + weight_power
        self._before = before
        self._n_seen = n_seen
        self._shape = step.weight.shape
        self._offset = integers(step.offset, self.power)
        self._inputs = lru_cache(HELD_INPUTS)(self._computed_inputs)
        self._weights = lru_cache(None)(lambda row: integers(step.weight[row], weight_power))

    def rows(self, pattern: bytes, units: Sequence[int]) -> list[Row]:
        return [self._product(pattern[: self._n_seen], unit) for unit in units]

    def _product(self, pattern: bytes, unit: int) -> Row:
        block, row = divmod(unit, self._shape[0])
        live, inputs = self._inputs(pattern, block)
        weights = self._weights(row)
        weights = [weights[i] for i in live]
        a, b, c = (sum(map(mul, weights, column)) for column in inputs)
        return a, b, c + self._offset[unit]

    def _computed_inputs(
        self, pattern: bytes, block: int
    ) -> tuple[list[int], tuple[list[int], list[int], list[int]]]:
        """Which entries of a block are not zero, and these, by columns."""
        width = self._shape[1]
        rows = self._before.rows(pattern, range(block * width, (block + 1) * width))
        live = [i for i, row in enumerate(rows) if any(row)]
        a, b, c = ([rows[i][k] for i in live] for k in range(3))
        return live, (a, b, c)


class _ExactScaling:
    """A factor and an offset for each entry."""

    def __init__(self, before: _Stage, step: Scaling):
        factor_power = max(power_of(step.factor), power_of(step.offset) - before.power)
        self.power = before.power + factor_power
        self._before = before
        self._factors = integers(step.factor, factor_power)
        self._offset = integers(step.offset, self.power)

    def rows(self, pattern: bytes, units: Sequence[int]) -> list[Row]:
        return [
            _scaled(row, self._factors[unit], self._offset[unit])
            for unit, row in zip(units, self._before.rows(pattern, units), strict=True)
        ]


class _ExactBend:
    """A piecewise-linear step: on each of its pieces a factor and an offset for each entry."""

    def __init__(self, before: _Stage, step: Bend, start: int):
        self.start = start
        self.n_units = len(step.anchors)
        self.row_power = max(before.power, power_of(step.breakpoints))
        slope_power = max(power_of(step.slopes), power_of(step.anchors) - self.row_power)
        self.power = self.row_power + slope_power
        self.breakpoints = [integers(t, self.row_power) for t in step.breakpoints]
        self._before = before
        self._shift = self.row_power - before.power
        self._slopes = [integers(s, slope_power) for s in step.slopes]
        self._offsets = self._piece_offsets(integers(step.anchors, self.power))

    def _piece_offsets(self, anchors: list[int]) -> list[list[int]]:
        """What is added to slope times z on each piece: it makes up for the changes of slope."""
        lists = zip(anchors, self._slopes[0], self.breakpoints[0], strict=True)
        offsets = [[value - slope * t for value, slope, t in lists]]
        for breakpoints, (below, above) in zip(
            self.breakpoints, pairwise(self._slopes), strict=True
        ):
            lists = zip(offsets[-1], below, above, breakpoints, strict=True)
            offsets.append([offset + (p - q) * t for offset, p, q, t in lists])
        return offsets

    def preactivations(self, pattern: bytes, units: Sequence[int]) -> list[Row]:
        """The step's inputs."""
        rows = self._before.rows(pattern, units)
        if not self._shift:
            return rows
        return [_scaled(row, 1 << self._shift, 0) for row in rows]

    def rows(self, pattern: bytes, units: Sequence[int]) -> list[Row]:
        pieces = [pattern[self.start + unit] for unit in units]
        slopes = [self._slopes[piece][unit] for piece, unit in zip(pieces, units, strict=True)]
        sloping = [unit for unit, slope in zip(units, slopes, strict=True) if slope]
        inputs = dict(zip(sloping, self.preactivations(pattern, sloping), strict=True))
        return [
            _scaled(inputs.get(unit, (0, 0, 0)), slope, self._offsets[piece][unit])
            for unit, slope, piece in zip(units, slopes, pieces, strict=True)
        ]


def _scaled(row: Row, factor: int, offset: int) -> Row:
    a, b, c = row
    return factor * a, factor * b, factor * c + offset
