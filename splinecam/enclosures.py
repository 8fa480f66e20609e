"""The network on a slice in float64 with bounds of all errors.

A `Ball` encloses numbers by a midpoint and a radius (S. M. Rump, "Fast and parallel interval
arithmetic", BIT 39, 1999). With u = 2^-53, a sum of n products, in any order and with or without
fused operations, is off by at most γ_n = n u / (1 - n u) times the sum of their sizes (N. J.
Higham, "Accuracy and Stability of Numerical Algorithms", 2nd ed., 2002, §3.1), and by 2^-1022 more
for each product that underflows, flushed to zero or not. The radii below take 2 u in place of u,
more operations than there are, and 2^-1000; the excess covers the rounding of the radius itself,
which is made of sums of products that are not negative.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from splinecam._types import Floats
from splinecam.errors import UnsupportedLayerError
from splinecam.program import Affine, MatMul, PiecewiseLinear, Program, Reshape, Scale
from splinecam.slices import Slice

TWO_ROUNDINGS = 2.0**-52
"""Twice the unit roundoff of float64."""

TINY = 2.0**-1000
"""More than 2^20 products lose by underflow."""

CONSTANT = np.array([[0.0], [0.0], [1.0]])
"""Which column of an affine map (3, units) takes the offsets."""


@dataclass(frozen=True, eq=False)
class Ball:
    """An array of real numbers x of which ``|x - mid| <= rad`` is known.

    Nothing is known where a midpoint is not finite or a radius is NaN.

    Parameters
    ----------
    mid, rad : ndarray
        float64, of one shape.

    Examples
    --------
    >>> third = Ball.of(np.array([1.0])) * Ball(np.array([1 / 3]), np.array([1e-16]))
    >>> (third - Ball.of(np.array([0.333]))).signs
    array([1], dtype=int8)
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
        return Ball(mid, round_up(self.rad + other.rad + TWO_ROUNDINGS * np.abs(mid)))

    def __sub__(self, other: Ball) -> Ball:
        return self + Ball(-other.mid, other.rad)

    def __mul__(self, other: Ball) -> Ball:
        mid = self.mid * other.mid
        spread = np.abs(self.mid) * other.rad + self.rad * (np.abs(other.mid) + other.rad)
        return Ball(mid, round_up(spread + TWO_ROUNDINGS * np.abs(mid)))

    @property
    def signs(self) -> NDArray[np.int8]:
        """-1 and 1 where the sign is certain, 0 where it is not."""
        certain = np.isfinite(self.mid) & (np.abs(self.mid) > self.rad)
        return np.where(certain, np.sign(self.mid), 0).astype(np.int8)

    @property
    def largest(self) -> Floats:
        """Upper bounds of the absolute values."""
        return round_up(np.abs(self.mid) + self.rad)

    @property
    def smallest(self) -> Floats:
        """Lower bounds of the absolute values; 0 where there is no other."""
        return np.fmax(np.abs(self.mid) - self.rad, 0) * (1 - 2.0**-48)


def round_up(values: Floats) -> Floats:
    """Upper bounds of what eight roundings at most have made of numbers that are not negative."""
    return values * (1 + 2.0**-48) + TINY


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


class EnclosedNetwork:
    """The network on a slice, in balls.

    Parameters
    ----------
    program : Program
        As for `ExactNetwork`.
    slice_ : Slice
    """

    def __init__(self, program: Program, slice_: Slice):
        self._steps = read_steps(program)
        self._plane = Ball.of(np.vstack([slice_.basis, slice_.origin]))
        while self._steps and not isinstance(step := self._steps[0], Bend):
            self._plane = _affine(step, self._plane, CONSTANT)
            del self._steps[0]

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

        They hold where the units of the layers before have the patterns (k, units).
        """
        shape = (len(patterns), *self._plane.mid.shape)
        mid, rad = (np.broadcast_to(x, shape) for x in (self._plane.mid, self._plane.rad))
        rows, start = Ball(mid, rad), 0
        for step in self._steps:
            if isinstance(step, Bend):
                yield step, rows
                stop = start + len(step.anchors)
                rows = _on_pieces(step, rows, patterns[:, start:stop])
                start = stop
            else:
                rows = _affine(step, rows, CONSTANT)


def _affine(step: Product | Scaling, x: Ball, constant: Floats) -> Ball:
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
    terms = [step.slopes[0] * (z.mid - step.breakpoints[0])]
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
    mid, size = step.anchors, np.abs(step.anchors)
    for term in terms:
        mid, size = mid + term, size + np.abs(term)
    rounding = (len(terms) + 6) * TWO_ROUNDINGS * size
    return Ball(mid, round_up(steepest * z.rad + rounding))


def _on_pieces(step: Bend, rows: Ball, pieces: NDArray[np.uint8]) -> Ball:
    """A bend on affine functions (k, 3, units), each of them on a known piece."""
    slopes, breakpoints = step.slopes, step.breakpoints
    # From piece to piece, the offset makes up for the change of slope at the breakpoint.
    changes = np.diff(slopes, axis=0) * breakpoints
    terms = np.vstack([step.anchors, -slopes[0] * breakpoints[0], -changes])
    sizes = np.abs(terms)
    sizes[2:] = (np.abs(slopes[:-1]) + np.abs(slopes[1:])) * np.abs(breakpoints)
    rounding = (len(terms) + 6) * TWO_ROUNDINGS * np.cumsum(sizes, axis=0)
    offsets = Ball(np.cumsum(terms, axis=0), round_up(rounding))[1:]
    places = pieces, np.arange(pieces.shape[1])
    slope, offset = Ball.of(slopes[places][:, None]), offsets[places][:, None]
    return rows * slope + offset * Ball.of(CONSTANT)
