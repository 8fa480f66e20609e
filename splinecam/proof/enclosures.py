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

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from splinecam.common.types import Floats
from splinecam.linear import LinearMap, Shape
from splinecam.program import Affine, MaxGroups, PiecewiseLinear, Program, Step
from splinecam.slices import Slice

TWO_ROUNDINGS = 2.0**-52
"""Twice the unit roundoff of float64."""

TINY = 2.0**-1000
"""More than 2^20 products lose by underflow."""

CONSTANT = np.array([0.0, 0.0, 1.0])
"""Which column of an affine map takes the offsets."""


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

    def is_equal(self, other: Ball) -> NDArray[np.bool_]:
        """Where both are known to be the same number."""
        same = self.mid.view(np.int64) == other.mid.view(np.int64)
        return same & (self.rad == 0) & (other.rad == 0) & np.isfinite(self.mid)

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


class EnclosedNetwork:
    """The network on a slice, in balls.

    Parameters
    ----------
    program : Program
    slice_ : Slice

    Attributes
    ----------
    layers : list of EnclosedBend or EnclosedMaximum
        The piecewise steps.
    """

    def __init__(self, program: Program, slice_: Slice):
        shapes = [program.input_shape, *(step.shape for step in program.steps)]
        enclosed = [_enclosed(step, [shapes[i] for i in step.inputs]) for step in program.steps]
        self.layers = [step for step in enclosed if not isinstance(step, EnclosedAffine)]
        last = enclosed.index(self.layers[-1]) if self.layers else -1
        self._steps = list(zip(enclosed, (step.inputs for step in program.steps), strict=True))
        del self._steps[last + 1 :]
        # Values before any bend, as affine functions on the plane.
        self._plane = {0: Ball.of(np.vstack([slice_.basis, slice_.origin]))[None]}
        for made, (step, inputs) in enumerate(self._steps, 1):
            if isinstance(step, EnclosedAffine) and set(inputs) <= set(self._plane):
                self._plane[made] = step.on_columns(*(self._plane[i] for i in inputs))

    def preactivations(self, uv: Ball) -> Iterator[Ball]:
        """What each layer acts on at points (n, 2) of the plane.

        Yields
        ------
        Ball
            (n, units); for a layer of maxima the members of each group, (n, units, m), with
            midpoints of -inf in the padding.
        """
        u, v = uv[:, :1], uv[:, 1:]
        values = _Started(self._plane, lambda x: x[:, 0] * u + x[:, 1] * v + x[:, 2])
        for made, (step, inputs) in enumerate(self._steps, 1):
            if made in self._plane:
                continue
            read = [values[i] for i in inputs]
            if isinstance(step, EnclosedAffine):
                values[made] = step(*read)
            else:
                yield step.reads(read[0])
                values[made] = step(read[0])

    def rows(self, patterns: NDArray[np.uint8]) -> Iterator[Ball]:
        """What each layer acts on, as affine functions: (k, 3, units) or (k, 3, units, m).

        They hold where the units of the layers before have the patterns (k, units).
        """
        values = _Started(self._plane, lambda x: x[np.zeros(len(patterns), int)])
        start = 0
        for made, (step, inputs) in enumerate(self._steps, 1):
            if made in self._plane:
                continue
            read = [values[i] for i in inputs]
            if isinstance(step, EnclosedAffine):
                values[made] = step.on_columns(*read)
            else:
                yield step.reads(read[0])
                stop = start + step.n_units
                values[made] = step.on_pieces(read[0], patterns[:, start:stop])
                start = stop


class _Started(dict[int, Ball]):
    """Values that, where they are not known, come from those on the plane."""

    def __init__(self, plane: dict[int, Ball], start: Callable[[Ball], Ball]):
        self._plane = plane
        self._start = start

    def __missing__(self, value: int) -> Ball:
        self[value] = self._start(self._plane[value])
        return self[value]


class EnclosedAffine:
    """An affine step on flattened values."""

    def __init__(self, step: Affine, shapes: Sequence[Shape]):
        self._linear = step.linear
        self._magnitudes = step.linear.magnitudes()
        self._n_terms = step.n_terms
        self._shapes = shapes
        self._is_rearrangement = step.n_terms == 0 and step.offset is None
        offset = torch.zeros(()) if step.offset is None else step.offset
        self._offset = offset.expand(step.shape).reshape(-1).numpy()

    def __call__(self, *xs: Ball) -> Ball:
        """Values (n, units) at points."""
        return self._apply(xs, self._offset)

    def on_columns(self, *xs: Ball) -> Ball:
        """Values as affine functions, (k, 3, units)."""
        return self._apply(xs, np.multiply.outer(CONSTANT, self._offset))

    def _apply(self, xs: Sequence[Ball], offset: Floats) -> Ball:
        mid = self._mapped(self._linear, [x.mid for x in xs])
        if self._is_rearrangement:
            return Ball(mid, self._mapped(self._linear, [x.rad for x in xs]))
        bound = (self._n_terms + 4) * TWO_ROUNDINGS
        mid = mid + offset
        spread = self._mapped(self._magnitudes, [x.rad + bound * np.abs(x.mid) for x in xs])
        spread = spread + bound * np.abs(offset)
        # The last term is NaN where the midpoint has overflown.
        return Ball(mid, spread * (1 + bound) + TINY + 0 * mid)

    def _mapped(self, linear: LinearMap, xs: Sequence[Floats]) -> Floats:
        """Apply a linear map to values (…, units)."""
        outer = xs[0].shape[:-1]
        batches = (
            torch.from_numpy(np.ascontiguousarray(x)).reshape(-1, *shape)
            for x, shape in zip(xs, self._shapes, strict=True)
        )
        return linear(*batches).reshape(*outer, -1).numpy()


class EnclosedBend:
    """A piecewise-linear step on flattened values.

    Attributes
    ----------
    breakpoints : ndarray
        (b, units) float64.
    n_units, n_read : int
        Number of units, and of the numbers that they act on.
    """

    def __init__(self, step: PiecewiseLinear):
        tables = (step.breakpoints, step.slopes, step.anchor[None])
        self.breakpoints, self._slopes, (self._anchors,) = (
            step.per_unit(table).numpy() for table in tables
        )
        self.n_units = self.n_read = step.n_units

    def reads(self, x: Ball) -> Ball:
        """The pre-activations."""
        return x

    def __call__(self, z: Ball) -> Ball:
        """Values at points: no steeper in a ball than the steepest piece that the ball meets."""
        kinks = np.diff(self._slopes, axis=0)
        terms = [self._slopes[0] * (z.mid - self.breakpoints[0])]
        terms += [
            k * np.maximum(z.mid - t, 0) for k, t in zip(kinks, self.breakpoints, strict=True)
        ]
        low, high = np.nextafter(z.mid - z.rad, -np.inf), np.nextafter(z.mid + z.rad, np.inf)
        mid, size = self._anchors, np.abs(self._anchors)
        for term in terms:
            mid, size = mid + term, size + np.abs(term)
        rounding = (len(terms) + 6) * TWO_ROUNDINGS * size
        rad = round_up(self._steepest(low, high) * z.rad + rounding)
        # A function that is flat below its first breakpoint is known there without any doubt.
        is_known = (self._slopes[0] == 0) & (high < self.breakpoints[0])
        return Ball(np.where(is_known, self._anchors, mid), np.where(is_known, 0.0, rad))

    def _steepest(self, low: Floats, high: Floats) -> Floats:
        """The largest absolute slope between two numbers for each unit, (n, units)."""
        steepest = np.zeros_like(low)
        for piece, slope in enumerate(np.abs(self._slopes)):
            met = np.ones(low.shape, bool)
            if piece > 0:
                met &= high > self.breakpoints[piece - 1]
            if piece < len(self.breakpoints):
                met &= low < self.breakpoints[piece]
            np.maximum(steepest, slope, out=steepest, where=met)
        return steepest

    def on_pieces(self, z: Ball, pieces: NDArray[np.uint8]) -> Ball:
        """Values as affine functions (k, 3, units), each of them on a known piece (k, units)."""
        places = pieces, np.arange(self.n_units)
        slope = Ball.of(self._slopes[places][:, None])
        offset = self._piece_offsets[places][:, None]
        return z * slope + offset * Ball.of(CONSTANT[:, None])

    @cached_property
    def _piece_offsets(self) -> Ball:
        """What is added to slope times z on each piece, (b + 1, units)."""
        slopes, breakpoints = self._slopes, self.breakpoints
        # From piece to piece, the offset makes up for the change of slope at the breakpoint.
        changes = np.diff(slopes, axis=0) * breakpoints
        terms = np.vstack([self._anchors, -slopes[0] * breakpoints[0], -changes])
        sizes = np.abs(terms)
        sizes[2:] = (np.abs(slopes[:-1]) + np.abs(slopes[1:])) * np.abs(breakpoints)
        rounding = (len(terms) + 6) * TWO_ROUNDINGS * np.cumsum(sizes, axis=0)
        return Ball(np.cumsum(terms, axis=0), round_up(rounding))[1:]


class EnclosedMaximum:
    """The maxima of groups of a flattened value's entries.

    Attributes
    ----------
    members : ndarray
        (units, m) int64, as in `MaxGroups`.
    n_units, n_read : int
        Number of groups, and of all their members.
    """

    def __init__(self, step: MaxGroups):
        self.members = step.members.numpy()
        self.n_units, self.n_read = step.n_units, self.members.size

    def reads(self, x: Ball) -> Ball:
        """The members of each group, (…, units, m)."""
        padding = self.members < 0
        mid, rad = x.mid[..., self.members], x.rad[..., self.members]
        return Ball(np.where(padding, -np.inf, mid), np.where(padding, 0.0, rad))

    def __call__(self, x: Ball) -> Ball:
        """Values (n, units) at points: no more doubtful than any member that may be largest."""
        members = self.reads(x)
        mid = members.mid.max(axis=-1)
        low = (members.mid - members.rad).max(axis=-1)
        high = np.nextafter(members.mid + members.rad, np.inf)
        may_be = ~(high < np.nextafter(low, -np.inf)[..., None])
        rad = np.where(may_be, members.rad, 0.0).max(axis=-1)
        return Ball(mid, rad)

    def on_pieces(self, x: Ball, pieces: NDArray[np.uint8]) -> Ball:
        """Values as affine functions (k, 3, units), each with a known largest member (k, units)."""
        chosen = self.members[np.arange(self.n_units), pieces][:, None]
        return Ball(*(np.take_along_axis(y, chosen, axis=2) for y in (x.mid, x.rad)))


def _enclosed(
    step: Step, shapes: Sequence[Shape]
) -> EnclosedAffine | EnclosedBend | EnclosedMaximum:
    if isinstance(step, Affine):
        return EnclosedAffine(step, shapes)
    return EnclosedBend(step) if isinstance(step, PiecewiseLinear) else EnclosedMaximum(step)
