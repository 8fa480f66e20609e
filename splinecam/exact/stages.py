"""The values of a program on a slice as integer affine functions, computed on demand.

A *stage* stands for one value. Where the units before it have a given pattern, each of its entries
is an affine function on the plane; multiplied by ``2**power``, one power for the whole stage, it
has integer coefficients. Asked for some entries, a stage asks the stages that it reads for the
entries that these depend on, and no others; what has been computed is kept for a while.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice, pairwise
from math import prod
from operator import mul
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from splinecam.errors import InvalidArgumentError, UnsupportedLayerError
from splinecam.exact.dyadic import integers, power_of
from splinecam.exact.predicates import Row
from splinecam.program import (
    Affine,
    Applied,
    Gather,
    LinearMap,
    MaxGroups,
    PiecewiseLinear,
    Reshape,
    Scale,
    Sum,
)
from splinecam.slices import Slice

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
T = TypeVar("T")

HELD_ROWS = 2**17
"""Rows that a stage keeps, but it keeps what it has for the two latest patterns in any case."""

HELD_INPUTS = 2**19
"""Inputs of products that a stage keeps, likewise."""

FINEST = 256
"""Power for coefficients that torch computes, such as averages and weights of interpolation.

Floats of at least 2^-203 in absolute value have it. That is more than enough for products of three
differences of numbers near one, each of them 0 or no less than 2^-54.
"""

Pattern = bytes | tuple[int, ...]
"""Of some units; bytes hash once, tuples serve where groups have more members than a byte tells."""

PADDING = -1
"""In place of the number of an entry: none."""

ZERO: Row = (0, 0, 0)


class Stage(ABC):
    """A value of the program.

    Parameters
    ----------
    n_units : int
        Number of entries.
    n_seen : int
        How many units come before: that long a part of the pattern matters.
    power : int
        Entry i times ``2**power`` is an integer affine function.
    """

    def __init__(self, n_units: int, n_seen: int, power: int):
        self.n_units = n_units
        self.n_seen = n_seen
        self.power = power
        self._held = _memory(HELD_ROWS, n_units, dict[int, Row])

    def rows(self, pattern: Pattern, units: Collection[int]) -> list[Row]:
        """Some entries where units have a pattern."""
        prefix = pattern[: self.n_seen]
        held = self._held(prefix)
        missing = [unit for unit in units if unit not in held]
        if missing:
            held.update(zip(missing, self._computed(prefix, missing), strict=True))
        return [held[unit] for unit in units]

    @abstractmethod
    def _computed(self, prefix: Pattern, units: Sequence[int]) -> Iterable[Row]:
        """Entries that are not known yet."""


class Plane(Stage):
    """The slice's plane in input space."""

    def __init__(self, slice_: Slice):
        super().__init__(slice_.dim, 0, max(power_of(slice_.basis), power_of(slice_.origin)))
        columns = (integers(c, self.power) for c in (*slice_.basis, slice_.origin))
        self._rows: list[Row] = list(zip(*columns, strict=True))

    def _computed(self, prefix: Pattern, units: Sequence[int]) -> Iterable[Row]:
        return (self._rows[unit] for unit in units)


class Product(Stage):
    """A matrix times parts of a value (*windows*), plus an offset.

    Parameters
    ----------
    before : Stage
        The value that is read.
    weight : ndarray
        (d, k) float64, the matrix; its rows become integers when they are first used.
    windows : ndarray
        (n, k) int64, the entries of the value that make up each window; -1 where it has a zero.
    places : ndarray
        (units, 2) int64, the window and the row of the matrix that make each entry.
    offset : ndarray
        (units,) float64.
    """

    def __init__(self, before: Stage, weight: Floats, windows: Ints, places: Ints, offset: Floats):
        weight_power = max(power_of(weight), power_of(offset) - before.power)
        super().__init__(len(offset), before.n_seen, before.power + weight_power)
        self._before = before
        self._windows = windows
        self._places = list(map(tuple, places.tolist()))
        self._offset = integers(offset, self.power)
        self._weights = lru_cache(None)(lambda row: integers(weight[row], weight_power))
        self._known = _memory(HELD_INPUTS, windows.size, dict[int, _Window])
        self._latest: dict[int, _Window] = {}

    def _computed(self, prefix: Pattern, units: Sequence[int]) -> Iterator[Row]:
        places = [self._places[unit] for unit in units]
        known = self._known(prefix)
        if missing := {window for window, _ in places if window not in known}:
            known.update(self._look_up(prefix, list(missing)))
        for unit, (window, row) in zip(units, places, strict=True):
            made = known[window].made
            if row not in made:
                a, b, c = known[window].times(self._weights(row))
                made[row] = a, b, c + self._offset[unit]
            yield made[row]

    def _look_up(self, prefix: Pattern, windows: list[int]) -> Iterator[tuple[int, _Window]]:
        """Windows where units have a pattern."""
        positions = self._windows[windows].tolist()
        needed = dict.fromkeys(chain.from_iterable(positions))
        needed.pop(PADDING, None)
        rows = dict(zip(needed, self._before.rows(prefix, needed), strict=True))
        rows[PADDING] = ZERO
        for window, entries in zip(windows, positions, strict=True):
            inputs = [rows[i] for i in entries]
            latest = self._latest.get(window)
            # Most windows are the same for the next pattern, and so are their products.
            if latest is None or latest.inputs != inputs:
                latest = self._latest[window] = _Window(inputs)
            yield window, latest


class _Window:
    """Factors of products: some affine functions, and what rows of a matrix made of them."""

    def __init__(self, inputs: list[Row]):
        self.inputs = inputs
        self.made: dict[int, Row] = {}
        self._live = [i for i, row in enumerate(inputs) if any(row)]
        columns = list(zip(*(inputs[i] for i in self._live), strict=True))
        self._columns = columns or [()] * 3

    def times(self, weights: list[int]) -> Row:
        """The sum of the functions, each times its weight."""
        live = [weights[i] for i in self._live]
        a, b, c = (sum(map(mul, live, column)) for column in self._columns)
        return a, b, c


class Combination(Stage):
    """A linear map whose coefficients are read entry by entry, plus an offset.

    Parameters
    ----------
    before : sequence of Stage
        The values that are read.
    step : Affine
    shapes : sequence of tuple of int
        Shapes of these values.

    Raises
    ------
    UnsupportedLayerError
        When rows are asked for: if a coefficient that torch has computed is too small.
    """

    def __init__(self, before: Sequence[Stage], step: Affine, shapes: Sequence[tuple[int, ...]]):
        offset = offset_of(step)
        power = max(stage.power for stage in before) + _power_of_coefficients(step.linear)
        power = max(power, power_of(offset))
        super().__init__(len(offset), max(stage.n_seen for stage in before), power)
        self._before = before
        self._step = step
        self._shapes = shapes
        self._offset = integers(offset, power)
        self._terms: dict[int, list[tuple[int, int, int]]] = {}

    def _computed(self, prefix: Pattern, units: Sequence[int]) -> Iterator[Row]:
        self._read([unit for unit in units if unit not in self._terms])
        terms = [self._terms[unit] for unit in units]
        inputs = [
            self._inputs(prefix, number, chain.from_iterable(terms))
            for number in range(len(self._before))
        ]
        for unit, own in zip(units, terms, strict=True):
            if len(own) == 1:
                ((number, i, factor),) = own
                yield scaled(inputs[number][i], factor, self._offset[unit])
            else:
                rows = [scaled(inputs[number][i], factor, 0) for number, i, factor in own]
                a, b, c = map(sum, zip(ZERO, *rows, strict=True))
                yield a, b, c + self._offset[unit]

    def _inputs(
        self, prefix: Pattern, number: int, terms: Iterable[tuple[int, int, int]]
    ) -> dict[int, Row]:
        """The entries of one of the values that appear in terms."""
        needed = dict.fromkeys(i for which, i, _ in terms if which == number)
        return dict(zip(needed, self._before[number].rows(prefix, needed), strict=True))

    def _read(self, units: list[int]) -> None:
        """Read coefficients: terms (number of the value, its entry, factor) of some entries."""
        if not units:
            return
        found: list[list[tuple[int, int, int]]] = [[] for _ in units]
        for number, matrix in enumerate(self._step.rows(np.array(units), *self._shapes)):
            power = self.power - self._before[number].power
            coefficients = np.asarray(matrix.data, np.float64)
            if power_of(coefficients) > power:
                raise UnsupportedLayerError(
                    f"'{self._step.name}' has coefficients that are no multiples of 2^-{power}; "
                    "exact arithmetic accepts coarser ones, since its integers would grow too long"
                )
            columns = zip(matrix.indices.tolist(), integers(coefficients, power), strict=True)
            for terms, count in zip(found, np.diff(matrix.indptr).tolist(), strict=True):
                terms += ((number, i, factor) for i, factor in islice(columns, count))
        self._terms.update(zip(units, found, strict=True))


def _power_of_coefficients(linear: LinearMap) -> int:
    """The power with which a map's coefficients are integers."""
    if isinstance(linear, Reshape | Gather):
        return 0
    if isinstance(linear, Scale):
        return power_of(linear.factor.numpy())
    if isinstance(linear, Sum):
        return power_of(np.array(linear.factors))
    weights = linear.weights if isinstance(linear, Applied) else ()
    # Products of weights, and sums of such, are multiples of the product of the smallest bits,
    # also when they are rounded to floats.
    return sum(power_of(weight.numpy()) for weight in weights) if weights else FINEST


class Bend(Stage):
    """A piecewise-linear step: on each of its pieces a factor and an offset for each entry.

    Parameters
    ----------
    before : Stage
        The pre-activations.
    step : PiecewiseLinear

    Attributes
    ----------
    start : int
        How many units come before this step's.
    row_power : int
        The power for pre-activations and breakpoints.
    breakpoints : list of list of int
        The breakpoints of all units, one list for the first of each, and so on.
    """

    def __init__(self, before: Stage, step: PiecewiseLinear, start: int):
        tables = (step.breakpoints, step.slopes, step.anchor[None])
        breakpoints, slopes, anchors = (step.per_unit(table).numpy() for table in tables)
        self.start = start
        self.row_power = max(before.power, power_of(breakpoints))
        slope_power = max(power_of(slopes), power_of(anchors) - self.row_power)
        super().__init__(step.n_units, start + step.n_units, self.row_power + slope_power)
        self.breakpoints = [integers(t, self.row_power) for t in breakpoints]
        self._before = before
        self._shift = self.row_power - before.power
        self._slopes = [integers(s, slope_power) for s in slopes]
        self._offsets = self._piece_offsets(integers(anchors[0], self.power))

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

    def preactivations(self, pattern: Pattern, units: Sequence[int]) -> list[Row]:
        """The step's inputs."""
        rows = self._before.rows(pattern, units)
        return [scaled(row, 1 << self._shift, 0) for row in rows] if self._shift else rows

    def _computed(self, prefix: Pattern, units: Sequence[int]) -> Iterator[Row]:
        pieces = [prefix[self.start + unit] for unit in units]
        slopes = [self._slopes[piece][unit] for piece, unit in zip(pieces, units, strict=True)]
        sloping = [unit for unit, slope in zip(units, slopes, strict=True) if slope]
        inputs = dict(zip(sloping, self.preactivations(prefix, sloping), strict=True))
        for unit, slope, piece in zip(units, slopes, pieces, strict=True):
            yield scaled(inputs.get(unit, ZERO), slope, self._offsets[piece][unit])


class Maximum(Stage):
    """The maxima of groups: each is its largest member.

    Parameters
    ----------
    before : Stage
        The value whose entries are the members.
    step : MaxGroups

    Attributes
    ----------
    start : int
        How many units come before this step's.
    row_power : int
        The power for members.
    """

    def __init__(self, before: Stage, step: MaxGroups, start: int):
        super().__init__(step.n_units, start + step.n_units, before.power)
        self.start = start
        self.row_power = before.power
        self._before = before
        self._members: list[list[int]] = step.members.tolist()
        self._name = step.name

    def members(self, pattern: Pattern, places: Sequence[tuple[int, int]]) -> list[Row]:
        """Members of groups: of some units, those at some positions."""
        numbers = [self._members[unit][position] for unit, position in places]
        if PADDING in numbers:
            unit, position = places[numbers.index(PADDING)]
            raise InvalidArgumentError(
                f"position {position} of unit {unit} of '{self._name}' is in the padding"
            )
        return self._before.rows(pattern, numbers)

    def _computed(self, prefix: Pattern, units: Sequence[int]) -> list[Row]:
        return self.members(prefix, [(unit, prefix[self.start + unit]) for unit in units])


def pattern_of(array: NDArray[np.integer]) -> Pattern:
    """A pattern from its entries (n,)."""
    is_narrow = array.dtype == np.uint8 or array.max(initial=0) < 256
    return array.astype(np.uint8).tobytes() if is_narrow else tuple(array.tolist())


def scaled(row: Row, factor: int, offset: int) -> Row:
    """An affine function times a factor, plus an offset."""
    a, b, c = row
    if factor == 1:
        return (a, b, c + offset) if offset else row
    return factor * a, factor * b, factor * c + offset


def offset_of(step: Affine) -> Floats:
    """The offset of all entries of the value that a step makes, (units,)."""
    if step.offset is None:
        return np.zeros(prod(step.shape))
    return step.offset.expand(step.shape).reshape(-1).numpy()


def _memory(entries: int, each: int, new: Callable[[], T]) -> Callable[[Pattern], T]:
    """What hands out memories for patterns, each of a number of entries, and keeps the latest."""
    return lru_cache(max(2, entries // max(1, each)))(lambda prefix: new())
