"""Exact reference for networks with branches and maxima of groups; see `oracle` for the rest.

A network is a list of steps on plain vectors. Value 0 is the point of the plane, and each step
makes the next value from earlier ones: an affine map, a continuous piecewise-linear function of
each entry, or the largest entries of groups. The first two cut as in `oracle`. A group has one cell
for each member m_j: where m_j > m_i for all earlier members i, and m_j >= m_i for all later ones.
As members are affine on a cell, this is an intersection with half-planes, and where several members
are largest over an area, it belongs to the first of them.

Why regions still meet side to side: the values are continuous, so on a common side of two cells
the largest members have the same values seen from either cell. Let p be inside a side of region A
where two regions B and C with other members of a group meet on the other side. B and C are of one
cell before the group was cut, since those cells meet side to side. Along the line of the side, the
largest members of B and of C are both equal to that of A and so to each other; their difference has
one sign beyond the line, so they cannot both be largest somewhere there, unless they are equal.
`OraclePartition.check` would fail if this were wrong.

Examples
--------
>>> graph = OracleGraph()
>>> absolute = graph.largest(graph.affine([(0, [[1, 0], [-1, 0]])]), [[0, 1]])
>>> p = partition_graph(graph, [(-1, -1), (1, -1), (1, 1), (-1, 1)])
>>> p.n_regions, sorted(p.patterns), [str(area) for area in p.areas]
(2, [(0,), (1,)], ['2', '2'])
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, reduce
from typing import Any

import numpy as np

from oracle import (
    Activation,
    Cell,
    OraclePartition,
    Pattern,
    Polygon,
    as_integers,
    common_denominator,
    convex_corners,
    cut_by_line,
    cut_by_unit,
    fractions,
)

Values = list[np.ndarray]


@dataclass(frozen=True)
class Affine:
    """The sum of ``matrix @ value`` over some values, and a bias; all of them Fractions."""

    terms: tuple[tuple[int, np.ndarray], ...]
    bias: np.ndarray

    def evaluate(self, values: Values) -> np.ndarray:
        return sum((matrix @ values[i] for i, matrix in self.terms), self.bias)

    def magnitudes(self, rows: Values) -> np.ndarray:
        """The same with absolute values, on floats (n, 3)."""
        made = sum(np.abs(matrix.astype(float)) @ rows[i] for i, matrix in self.terms)
        return made + np.outer(np.abs(self.bias.astype(float)), [0, 0, 1])

    def scale(self, scales: Sequence[int]) -> int:
        denominator = common_denominator(self.bias, *(matrix for _, matrix in self.terms))
        return denominator * math.lcm(*(scales[i] for i, _ in self.terms))

    def cut(self, cell: GraphCell, scales: Sequence[int], scale: int) -> Iterator[GraphCell]:
        terms = ((matrix * (scale // scales[i]), cell.values[i]) for i, matrix in self.terms)
        made = sum(as_integers(matrix) @ rows for matrix, rows in terms)
        made[:, 2] += as_integers(self.bias * scale)
        yield cell.followed_by(made)


@dataclass(frozen=True)
class Bend:
    """A continuous piecewise-linear function of each entry of a value."""

    value: int
    functions: list[Activation]

    def evaluate(self, values: Values) -> np.ndarray:
        entries = zip(self.functions, values[self.value], strict=True)
        return np.array([f(z) for f, z in entries], dtype=object)

    def magnitudes(self, rows: Values) -> np.ndarray:
        steepest = np.array([max(map(abs, f.slopes)) for f in self.functions], float)
        highest = np.array([max(map(abs, f.intercepts)) for f in self.functions], float)
        return steepest[:, None] * rows[self.value] + np.outer(highest, [0, 0, 1])

    def pattern(self, values: Values) -> Pattern:
        return tuple(f.piece(z) for f, z in zip(self.functions, values[self.value], strict=True))

    @cached_property
    def _factors(self) -> tuple[int, int]:
        """What makes breakpoints integers, and then slopes and intercepts."""
        names = ("breakpoints", "slopes", "intercepts")
        tables = [[fractions(getattr(f, name)) for f in self.functions] for name in names]
        return common_denominator(*tables[0]), common_denominator(*tables[1], *tables[2])

    def scale(self, scales: Sequence[int]) -> int:
        return math.prod(self._factors) * scales[self.value]

    def cut(self, cell: GraphCell, scales: Sequence[int], scale: int) -> Iterator[GraphCell]:
        factor, slope_factor = self._factors
        z_scale = factor * scales[self.value]
        z = cell.values[self.value] * factor
        parts: list[tuple[Polygon, Pattern]] = [(cell.corners, ())]
        for row, f in zip(z, self.functions, strict=True):
            breakpoints = as_integers(fractions(f.breakpoints) * z_scale)
            parts = [
                (piece, (*pattern, exceeded))
                for corners, pattern in parts
                for piece, exceeded in cut_by_unit(corners, row, breakpoints)
            ]
        for corners, pattern in parts:
            pieces = list(zip(self.functions, pattern, strict=True))
            slopes = fractions([f.slopes[piece] for f, piece in pieces])
            intercepts = fractions([f.intercepts[piece] for f, piece in pieces])
            made = z * as_integers(slopes * slope_factor)[:, None]
            made[:, 2] += as_integers(intercepts * scale)
            yield cell.followed_by(made, corners, pattern)


@dataclass(frozen=True)
class Largest:
    """The largest entries of groups of a value's entries; -1 stands for no entry."""

    value: int
    members: list[list[int]]

    def evaluate(self, values: Values) -> np.ndarray:
        x = values[self.value]
        return np.array([max(x[i] for i in m if i >= 0) for m in self.members], dtype=object)

    def magnitudes(self, rows: Values) -> np.ndarray:
        return np.array([rows[self.value][[i for i in m if i >= 0]].max(0) for m in self.members])

    def pattern(self, values: Values) -> Pattern:
        x = values[self.value]
        largest = self.evaluate(values)
        return tuple(
            next(k for k, i in enumerate(m) if i >= 0 and x[i] == top)
            for m, top in zip(self.members, largest, strict=True)
        )

    def scale(self, scales: Sequence[int]) -> int:
        return scales[self.value]

    def cut(self, cell: GraphCell, scales: Sequence[int], scale: int) -> Iterator[GraphCell]:
        x = cell.values[self.value]
        parts: list[tuple[Polygon, Pattern]] = [(cell.corners, ())]
        for m in self.members:
            parts = [
                (piece, (*pattern, position))
                for corners, pattern in parts
                for piece, position in _cut_by_group(corners, x, m)
            ]
        for corners, pattern in parts:
            chosen = [m[position] for m, position in zip(self.members, pattern, strict=True)]
            yield cell.followed_by(x[chosen], corners, pattern)


def _cut_by_group(
    corners: Polygon, x: np.ndarray, members: list[int]
) -> Iterator[tuple[Polygon, int]]:
    """The parts of a polygon where each member is the first largest one."""
    others = [(k, i) for k, i in enumerate(members) if i >= 0]
    for position, own in others:
        piece: Polygon | None = corners
        for k, i in others:
            if piece and k < position:
                piece = _part(piece, x[own] - x[i], 1)
            elif piece and k > position:
                piece = _part(piece, x[i] - x[own], 0)
        if piece:
            yield piece, position


def _part(corners: Polygon, row: np.ndarray, wanted: int) -> Polygon | None:
    """The part of a polygon where a function is positive (1) or not (0), if there is one."""
    a, b, c = row
    return next((part for part, side in cut_by_line(corners, (a, b, c)) if side == wanted), None)


@dataclass(frozen=True)
class GraphCell:
    """A convex polygon, with all values as integer affine functions on it, (n, 3)."""

    corners: Polygon
    values: tuple[np.ndarray, ...]
    pattern: Pattern

    def followed_by(
        self, made: np.ndarray, corners: Polygon | None = None, pattern: Pattern = ()
    ) -> GraphCell:
        """A part of the cell, with one more value."""
        return GraphCell(corners or self.corners, (*self.values, made), self.pattern + pattern)


class OracleGraph:
    """A network as a list of steps; its output is the last value.

    The methods add a step and return the number of the value that it makes.
    """

    output = None  # no affine map comes after the last value

    def __init__(self) -> None:
        self.steps: list[Affine | Bend | Largest] = []

    def affine(self, terms: Sequence[tuple[int, Any]], bias: Any = None) -> int:
        """Add ``matrix @ value`` over some values, and a bias."""
        exact = tuple((value, fractions(matrix)) for value, matrix in terms)
        n_units = len(exact[0][1])
        return self._add(Affine(exact, fractions([0] * n_units if bias is None else bias)))

    def bend(
        self, value: int, breakpoints: Any = (0,), slopes: Any = (0, 1), at_first: Any = 0
    ) -> int:
        """Apply one function to all entries; `at_first` is its value at the first breakpoint."""
        function = Activation.of(breakpoints, slopes, at_first)
        return self._add(Bend(value, [function] * self.size(value)))

    def largest(self, value: int, members: Any) -> int:
        """Take the largest entries of groups."""
        return self._add(Largest(value, [list(map(int, m)) for m in members]))

    def size(self, value: int) -> int:
        """How many entries a value has."""
        if value == 0:
            return 2
        step = self.steps[value - 1]
        if isinstance(step, Affine):
            return len(step.bias)
        return len(step.functions if isinstance(step, Bend) else step.members)

    def _add(self, step: Affine | Bend | Largest) -> int:
        self.steps.append(step)
        return len(self.steps)

    @property
    def layers(self) -> list[Bend | Largest]:
        """The steps that have patterns."""
        return [step for step in self.steps if not isinstance(step, Affine)]

    @property
    def layer_values(self) -> list[int]:
        """The values that the layers make."""
        return [i for i, step in enumerate(self.steps, 1) if not isinstance(step, Affine)]

    @property
    def units(self) -> list[tuple[int, int]]:
        """(layer, unit) of each entry of a pattern."""
        sizes = enumerate(map(self.size, self.layer_values))
        return [(layer, unit) for layer, size in sizes for unit in range(size)]

    @property
    def groups(self) -> set[int]:
        """The layers of maxima."""
        return {number for number, step in enumerate(self.layers) if isinstance(step, Largest)}

    def evaluate(self, point: Any) -> Values:
        """All values at a point, straight and exactly."""
        values = [fractions(point)]
        for step in self.steps:
            values.append(step.evaluate(values))
        return values

    def pattern_at(self, point: Any) -> Pattern:
        """The activation pattern at a point."""
        values = self.evaluate(point)
        return reduce(lambda found, step: found + step.pattern(values), self.layers, ())

    def largest_terms(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums of the absolute values of the terms of A (out, 2) and b (out,), of any region."""
        values = [np.eye(2, 3)]
        for step in self.steps:
            values.append(step.magnitudes(values))
        return values[-1][:, :2], values[-1][:, 2]


def partition_graph(graph: OracleGraph, polygon: Any) -> OraclePartition:
    """Cut a convex polygon, (n, 2) corners in either order, into the regions of a network."""
    corners = convex_corners(polygon)
    plane = np.array([[1, 0, 0], [0, 1, 0]], dtype=object)
    cells = [GraphCell(corners, (plane,), ())]
    scales = [1]
    for step in graph.steps:
        scale = step.scale(scales)
        cells = [part for cell in cells for part in step.cut(cell, scales, scale)]
        scales.append(scale)
    last = [Cell(cell.corners, cell.values[-1], cell.pattern) for cell in cells]
    return OraclePartition(graph, corners, last, scales[-1])
