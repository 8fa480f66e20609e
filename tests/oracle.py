"""Exact reference for the partition that a piecewise-linear network makes of a convex polygon.

It shares no code with the package and decides nothing in floating point. The network's rational
parameters are first made integers (a layer times a positive constant changes no sign), and cells
are then cut by one unit and one breakpoint after the other:

- an affine function on a cell is an integer row ``(a, b, c)``, meaning ``a x + b y + c``;
- a point is the homogeneous triple ``(x w, y w, w)`` of integers without a common divisor and
  with ``w > 0``, so that equal points are equal tuples;
- every decision is the sign of a row's value at a point.

The definitions are those of the design (§1): a region is a maximal connected open part of the
slice on which every unit stays on one side of each of its breakpoints (``z > t`` or not); a unit
that sits on a breakpoint over an open set does not exceed it there.

Why there is one region per pattern: where all earlier units keep their sides a unit is affine,
so the points with a given pattern are an intersection of half-planes, which is convex.

Why no region has a corner inside another one's side: the activations are continuous, so along a
common side of two cells a unit changes sign at the same points seen from either cell, and a
strict change of sign along a side cuts both. By induction over the cuts, the cells always meet
side to side. `OraclePartition.check` would fail if they did not.

Examples
--------
>>> relu = OracleLayer(weight=[[1, 0], [0, 1]], bias=[0, 0])
>>> p = partition(OracleNetwork([relu]), [(-1, -1), (1, -1), (1, 1), (-1, 1)])
>>> p.n_regions, p.n_vertices, p.n_edges
(4, 9, 12)
>>> sorted(p.patterns)
[(0, 0), (0, 1), (1, 0), (1, 1)]
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np

Line = tuple[int, int, int]
Homogeneous = tuple[int, int, int]
Polygon = list[Homogeneous]  # counter-clockwise, no three corners in a line
Point = tuple[Fraction, Fraction]
Pattern = tuple[int, ...]
T = TypeVar("T")

# --- networks -------------------------------------------------------------------------------


@dataclass(frozen=True)
class OracleLayer:
    """``z = weight @ x + bias``, then a continuous piecewise-linear function of each ``z``.

    All numbers are taken as the exact rationals they are.

    Parameters
    ----------
    weight, bias
        Shapes (D, K) and (D,).
    breakpoints
        Increasing, at least one: (m,) for all units, or one such list per unit.
    slopes
        (m + 1,) for all units, or one such list per unit: left of, between and right of the
        breakpoints.
    value
        The function's value at the first breakpoint: for all units, or (D,).
    """

    weight: Any
    bias: Any
    breakpoints: Any = (0,)
    slopes: Any = (0, 1)
    value: Any = 0

    @cached_property
    def exact_weight(self) -> np.ndarray:
        """(D, K) object array of Fractions."""
        return fractions(self.weight)

    @cached_property
    def exact_bias(self) -> np.ndarray:
        """(D,) object array of Fractions."""
        return fractions(self.bias)

    @cached_property
    def activations(self) -> list[Activation]:
        """The activation function of each unit."""
        n_units = len(self.exact_bias)
        breakpoints, slopes = (
            list(lists) if hasattr(lists[0], "__len__") else [lists] * n_units
            for lists in (self.breakpoints, self.slopes)
        )
        value = list(self.value) if hasattr(self.value, "__len__") else [self.value] * n_units
        return [Activation.of(*f) for f in zip(breakpoints, slopes, value, strict=True)]


@dataclass(frozen=True)
class OracleOutput:
    """The affine map ``weight @ x + bias`` of the last layer's output; shapes (D, K), (D,)."""

    weight: Any
    bias: Any


@dataclass(frozen=True)
class OracleNetwork:
    """Layers one after the other, the first of them on the two coordinates of the plane."""

    layers: Sequence[OracleLayer]
    output: OracleOutput | None = None

    @cached_property
    def units(self) -> list[tuple[int, int]]:
        """(layer, unit) of each entry of a pattern."""
        return [
            (index, unit)
            for index, layer in enumerate(self.layers)
            for unit in range(len(layer.exact_bias))
        ]

    groups = frozenset[int]()
    """The layers of maxima: there are none."""

    def largest_terms(self) -> tuple[np.ndarray, np.ndarray]:
        """Sums of the absolute values of the terms of A (out, 2) and b (out,), of any region."""
        slopes, offsets = np.eye(2), np.zeros(2)
        for layer in self.layers:
            weight, bias = magnitudes(layer.weight), magnitudes(layer.bias)
            steepest = np.array([max(map(abs, f.slopes)) for f in layer.activations], float)
            highest = np.array([max(map(abs, f.intercepts)) for f in layer.activations], float)
            slopes = steepest[:, None] * (weight @ slopes)
            offsets = steepest * (weight @ offsets + bias) + highest
        if self.output is not None:
            weight, bias = magnitudes(self.output.weight), magnitudes(self.output.bias)
            slopes, offsets = weight @ slopes, weight @ offsets + bias
        return slopes, offsets

    def evaluate(self, point: Any) -> tuple[list[np.ndarray], np.ndarray]:
        """Evaluate each layer's pre-activations and the output at a point, straight and exactly."""
        x = fractions(point)
        pre_activations = []
        for layer in self.layers:
            z = layer.exact_weight @ x + layer.exact_bias
            pre_activations.append(z)
            values = [f(z_i) for f, z_i in zip(layer.activations, z, strict=True)]
            x = np.array(values, dtype=object)
        if self.output is not None:
            x = fractions(self.output.weight) @ x + fractions(self.output.bias)
        return pre_activations, x

    def pattern_at(self, point: Any) -> Pattern:
        """Evaluate the activation pattern at a point."""
        pre_activations, _ = self.evaluate(point)
        return tuple(
            f.piece(z_i)
            for layer, z in zip(self.layers, pre_activations, strict=True)
            for f, z_i in zip(layer.activations, z, strict=True)
        )


@dataclass(frozen=True)
class Activation:
    """``slopes[p] z + intercepts[p]`` on piece ``p``, the number of breakpoints below ``z``."""

    breakpoints: tuple[Fraction, ...]
    slopes: tuple[Fraction, ...]
    intercepts: tuple[Fraction, ...]

    @classmethod
    def of(cls, breakpoints: Any, slopes: Any, value: Any) -> Activation:
        t, s = tuple(fractions(breakpoints)), tuple(fractions(slopes))
        if not t or len(s) != len(t) + 1 or any(a >= b for a, b in pairwise(t)):
            raise ValueError(f"need m >= 1 increasing breakpoints and m + 1 slopes, got {t}, {s}")
        intercepts = [Fraction(value) - s[0] * t[0]]
        for j in range(len(t)):  # continuity at t[j]
            intercepts.append(intercepts[j] + (s[j] - s[j + 1]) * t[j])
        return cls(t, s, tuple(intercepts))

    def piece(self, z: Fraction) -> int:
        return sum(z > t for t in self.breakpoints)

    def __call__(self, z: Fraction) -> Fraction:
        piece = self.piece(z)
        return self.slopes[piece] * z + self.intercepts[piece]


def fractions(values: Any) -> np.ndarray:
    """Turn numbers (nested sequences, arrays, CPU tensors) into an object array of Fractions."""
    if hasattr(values, "detach"):
        values = values.detach().double().numpy()
    return _convert(Fraction, values)  # refuses NaN and infinity


def magnitudes(numbers: Any) -> np.ndarray:
    """Absolute values, as floats."""
    return np.abs(fractions(numbers)).astype(float)


def as_integers(numbers: np.ndarray) -> np.ndarray:
    """Turn Fractions that are integers into these."""
    assert all(number.denominator == 1 for number in numbers.flat)
    return _convert(int, numbers)


def _convert(number: Callable[[Any], Any], values: Any) -> np.ndarray:
    array = np.array(values, dtype=object)
    return np.array([number(value) for value in array.flat], dtype=object).reshape(array.shape)


# --- cutting --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _IntegerLayer:
    """A layer with integer parameters, as object arrays, equal to the true one up to a factor."""

    weight: np.ndarray
    bias: np.ndarray
    breakpoints: list[np.ndarray]
    slopes: list[np.ndarray]
    intercepts: list[np.ndarray]

    @classmethod
    def of(cls, layer: OracleLayer, scale: int) -> tuple[_IntegerLayer, int]:
        """Scale a layer whose input comes multiplied by ``scale``; also returns its output's."""
        breakpoints, slopes, intercepts = (
            [fractions(getattr(f, name)) for f in layer.activations]
            for name in ("breakpoints", "slopes", "intercepts")
        )
        factor = common_denominator(layer.exact_weight, layer.exact_bias, *breakpoints)
        z_scale = factor * scale
        slope_factor = common_denominator(*slopes, *intercepts)
        out_scale = slope_factor * z_scale
        integers = cls(
            weight=as_integers(layer.exact_weight * factor),
            bias=as_integers(layer.exact_bias * z_scale),
            breakpoints=[as_integers(t * z_scale) for t in breakpoints],
            slopes=[as_integers(slope * slope_factor) for slope in slopes],
            intercepts=[as_integers(intercept * out_scale) for intercept in intercepts],
        )
        return integers, out_scale


@dataclass(frozen=True)
class Cell:
    """A convex polygon, with the input of the next layer as affine functions on it."""

    corners: Polygon
    rows: np.ndarray  # (K, 3) integers
    pattern: Pattern


def partition(network: OracleNetwork, polygon: Any) -> OraclePartition:
    """Cut a convex polygon, (n, 2) corners in either order, into the regions of a network."""
    slice_corners = convex_corners(polygon)
    cells = [Cell(slice_corners, np.array([[1, 0, 0], [0, 1, 0]], dtype=object), ())]
    scale = 1
    for exact_layer in network.layers:
        layer, scale = _IntegerLayer.of(exact_layer, scale)
        cells = [part for cell in cells for part in _cut_by_layer(cell, layer)]
    return OraclePartition(network, slice_corners, cells, scale)


def convex_corners(polygon: Any) -> Polygon:
    """Make the corners of a strictly convex polygon counter-clockwise; refuse any other."""
    corners = [_homogeneous(*fractions(point)) for point in polygon]
    if len(corners) >= 3 and _determinant(*corners[:3]) < 0:
        corners.reverse()
    turns = [_determinant(corners[i - 2], corners[i - 1], p) for i, p in enumerate(corners)]
    fan = [_determinant(corners[0], p, q) for p, q in pairwise(corners[1:])]  # goes round once
    if len(corners) < 3 or min(turns) <= 0 or min(fan) <= 0:
        raise ValueError(f"the polygon is not strictly convex: {polygon}")
    return corners


def _cut_by_layer(cell: Cell, layer: _IntegerLayer) -> Iterator[Cell]:
    """Cut a cell by all units of a layer, and carry the layer's output along."""
    z = layer.weight @ cell.rows
    z[:, 2] += layer.bias
    parts: list[tuple[Polygon, Pattern]] = [(cell.corners, ())]
    for row, breakpoints in zip(z, layer.breakpoints, strict=True):
        whole = cut_by_unit(cell.corners, row, breakpoints)
        if len(whole) == 1:  # on one side everywhere: spare the parts the same question
            parts = [(corners, (*pattern, whole[0][1])) for corners, pattern in parts]
        else:
            parts = [
                (piece, (*pattern, exceeded))
                for corners, pattern in parts
                for piece, exceeded in cut_by_unit(corners, row, breakpoints)
            ]
    for corners, pattern in parts:
        pieces = list(enumerate(pattern))
        rows = z * np.array([[layer.slopes[unit][piece]] for unit, piece in pieces], dtype=object)
        intercepts = [layer.intercepts[unit][piece] for unit, piece in pieces]
        rows[:, 2] += np.array(intercepts, dtype=object)
        yield Cell(corners, rows, cell.pattern + pattern)


def cut_by_unit(
    corners: Polygon, row: np.ndarray, breakpoints: np.ndarray
) -> list[tuple[Polygon, int]]:
    """Cut a polygon by a unit; pieces with the number of breakpoints that they exceed."""
    a, b, c = row
    pieces = [(corners, 0)]
    for breakpoint in breakpoints:
        pieces = [
            (half, exceeded + side)
            for piece, exceeded in pieces
            for half, side in cut_by_line(piece, (a, b, c - breakpoint))
        ]
    return pieces


def cut_by_line(corners: Polygon, line: Line) -> list[tuple[Polygon, int]]:
    """Cut a polygon into its parts with ``line <= 0`` (side 0) and ``line > 0`` (side 1)."""
    a, b, c = line
    values = [a * x + b * y + c * w for x, y, w in corners]
    if max(values) <= 0:
        return [(corners, 0)]
    if min(values) >= 0:
        return [(corners, 1)]
    below: Polygon = []
    above: Polygon = []
    for i, (p, u) in enumerate(zip(corners, values, strict=True), start=1 - len(corners)):
        q, v = corners[i], values[i]  # the next corner
        if u <= 0:
            below.append(p)
        if u >= 0:
            above.append(p)
        if min(u, v) < 0 < max(u, v):
            crossing = _crossing(p, u, q, v)
            below.append(crossing)
            above.append(crossing)
    return [(below, 0), (above, 1)]


def _crossing(p: Homogeneous, u: int, q: Homogeneous, v: int) -> Homogeneous:
    """Find the zero, between ``p`` and ``q``, of the line with values u, v of opposite sign."""
    u, v = abs(u), abs(v)
    return _reduced(v * p[0] + u * q[0], v * p[1] + u * q[1], v * p[2] + u * q[2])


def _homogeneous(x: Fraction, y: Fraction) -> Homogeneous:
    w = math.lcm(x.denominator, y.denominator)
    return _reduced(int(x * w), int(y * w), w)


def _reduced(x: int, y: int, w: int) -> Homogeneous:
    divisor = math.gcd(x, y, w)
    return x // divisor, y // divisor, w // divisor


def _determinant(p: Homogeneous, q: Homogeneous, r: Homogeneous) -> int:
    """Positive when ``p, q, r`` turn left, zero when they are in a line."""
    return (
        p[0] * (q[1] * r[2] - r[1] * q[2])
        - p[1] * (q[0] * r[2] - r[0] * q[2])
        + p[2] * (q[0] * r[1] - r[0] * q[1])
    )


def common_denominator(*arrays: np.ndarray) -> int:
    return math.lcm(*(value.denominator for array in arrays for value in array.flat))


# --- the result -----------------------------------------------------------------------------


@dataclass(frozen=True)
class OracleEdge:
    """A side shared by two regions, or by a region and the outside.

    Parameters
    ----------
    ends
        Indices of the two vertices, the left region's polygon going from the first to the second.
    regions
        Indices of the regions on the left and on the right, -1 for the outside.
    flips
        The (layer, unit) pairs in which the two regions' patterns differ; none on the slice's
        boundary.
    """

    ends: tuple[int, int]
    regions: tuple[int, int]
    flips: frozenset[tuple[int, int]]


class OraclePartition:
    """The regions of a network on a slice, exactly.

    Attributes
    ----------
    network
        What was partitioned.
    patterns
        Per region, how many of its breakpoints each unit exceeds; units in execution order.
    vertices
        The distinct corners (x, y) of the regions.
    loops
        Per region, the vertices of its polygon, counter-clockwise, all of them true corners.
    edges
        Each one once; regions meet side to side, so an edge is a whole side of both of them.
    """

    def __init__(self, network: Any, slice_corners: Polygon, cells: list[Cell], scale: int) -> None:
        self.network = network
        self.patterns = [cell.pattern for cell in cells]
        self._cells = cells
        self._scale = scale  # of the cells' rows
        self._slice_corners = slice_corners
        index: dict[Homogeneous, int] = {}
        self.loops = [
            tuple(index.setdefault(corner, len(index)) for corner in cell.corners) for cell in cells
        ]
        self._points = list(index)
        self._left_region = {
            side: region for region, loop in enumerate(self.loops) for side in _sides(loop)
        }
        self.edges = [
            self._edge(side, left)
            for side, left in self._left_region.items()
            if left > self._right_region(side)
        ]
        self.check()

    def _right_region(self, side: tuple[int, int]) -> int:
        return self._left_region.get((side[1], side[0]), -1)

    def _edge(self, side: tuple[int, int], left: int) -> OracleEdge:
        right = self._right_region(side)
        flips = frozenset[tuple[int, int]]()
        if right >= 0:
            both = zip(self.network.units, self.patterns[left], self.patterns[right], strict=True)
            flips = frozenset(unit for unit, here, there in both if here != there)
        return OracleEdge(side, (left, right), flips)

    @property
    def n_regions(self) -> int:
        return len(self.patterns)

    @property
    def n_vertices(self) -> int:
        return len(self._points)

    @property
    def n_edges(self) -> int:
        return len(self.edges)

    @cached_property
    def vertices(self) -> list[Point]:
        return [_cartesian(point) for point in self._points]

    @cached_property
    def polygons(self) -> list[list[Point]]:
        """The corners of each region, counter-clockwise."""
        return [[self.vertices[vertex] for vertex in loop] for loop in self.loops]

    @cached_property
    def areas(self) -> list[Fraction]:
        return [_area(polygon) for polygon in self.polygons]

    @cached_property
    def slice_area(self) -> Fraction:
        return _area([_cartesian(point) for point in self._slice_corners])

    @cached_property
    def interior_edges(self) -> list[OracleEdge]:
        return [edge for edge in self.edges if edge.regions[1] >= 0]

    @cached_property
    def adjacency(self) -> frozenset[frozenset[int]]:
        """The pairs of regions that share an edge."""
        return frozenset(frozenset(edge.regions) for edge in self.interior_edges)

    @cached_property
    def affine_maps(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Per region the output's A (out, 2) and b (out,), object arrays of Fractions."""
        maps = []
        for cell in self._cells:
            rows = fractions(cell.rows) / Fraction(self._scale)
            if self.network.output is not None:
                rows = fractions(self.network.output.weight) @ rows
                rows[:, 2] += fractions(self.network.output.bias)
            maps.append((rows[:, :2], rows[:, 2]))
        return maps

    def check(self) -> None:
        """Assert what has to hold for any continuous network."""
        assert len(set(self.patterns)) == self.n_regions, "two regions share a pattern"
        assert len(self._left_region) == sum(map(len, self.loops)), "a side has two left regions"
        assert all(edge.flips for edge in self.interior_edges), "an edge without flips"
        assert len(self.adjacency) == len(self.interior_edges), "two regions share two edges"
        assert self.n_vertices - self.n_edges + self.n_regions == 1, "Euler's formula"
        assert min(self.areas) > 0, "a region without an area"
        assert sum(self.areas) == self.slice_area, "the areas do not sum to the slice's"
        boundary = [edge.ends for edge in self.edges if edge.regions[1] < 0]
        assert all(map(self._is_on_slice_boundary, boundary)), "regions do not meet side to side"
        degrees = np.bincount(np.ravel([edge.ends for edge in self.edges]))
        corners = set(self._slice_corners)
        assert corners <= set(self._points), "a corner of the slice is lost"
        assert all(
            degree >= 3 or point in corners
            for degree, point in zip(degrees, self._points, strict=True)
        ), "a vertex of degree 2 that is no corner of the slice"

    def _is_on_slice_boundary(self, side: tuple[int, int]) -> bool:
        p, q = (self._points[vertex] for vertex in side)
        return any(
            _determinant(a, b, p) == 0 == _determinant(a, b, q)
            for a, b in _sides(self._slice_corners)
        )


def _sides(loop: Sequence[T]) -> Iterator[tuple[T, T]]:
    """Pair the corners of a closed loop with their successors."""
    return zip(loop, [*loop[1:], loop[0]], strict=True)


def _cartesian(point: Homogeneous) -> Point:
    x, y, w = point
    return Fraction(x, w), Fraction(y, w)


def _area(polygon: list[Point]) -> Fraction:
    return sum((x * w - y * u for (x, y), (u, w) in _sides(polygon)), Fraction(0)) / 2


# --- reading torch models -------------------------------------------------------------------

_ACTIVATIONS: dict[str, Callable[[Any], tuple[Any, Any, Any]]] = {
    "ReLU": lambda module: ([0], [0, 1], 0),
    "LeakyReLU": lambda module: ([0], [module.negative_slope, 1], 0),
    "PReLU": lambda module: ([0], _prelu_slopes(module.weight), 0),
    "Abs": lambda module: ([0], [-1, 1], 0),
    "Hardtanh": lambda module: ([module.min_val, module.max_val], [0, 1, 0], module.min_val),
    "ReLU6": lambda module: ([0, 6], [0, 1, 0], 0),
    "Softshrink": lambda module: ([-module.lambd, module.lambd], [1, 0, 1], 0),
}


def read_sequential(model: Any, *, origin: Any = None, basis: Any = None) -> OracleNetwork:
    """Describe a torch `Sequential` of `Linear` and activation modules, by their class names.

    ``origin`` (D,) and ``basis`` (2, D) embed the plane when the model has not two inputs. A
    module called `Abs`, with no parameters, stands for the absolute value.
    """
    weight, bias = fractions(np.eye(2, dtype=int)), fractions([0, 0])
    if origin is not None:
        weight, bias = fractions(basis).T, fractions(origin)
    layers = []
    pending = False  # an affine map that no activation has followed yet
    for module in _flattened(model):
        name = type(module).__name__
        if name == "Linear":
            inner = fractions(module.weight)
            bias = inner @ bias + (fractions(module.bias) if module.bias is not None else 0)
            weight = inner @ weight
            pending = True
        elif name in _ACTIVATIONS:
            layers.append(OracleLayer(weight, bias, *_ACTIVATIONS[name](module)))
            n_units = len(bias)
            weight, bias = (fractions(np.eye(n_units, dtype=int)), fractions([0] * n_units))
            pending = False
        elif name not in {"Identity", "Flatten", "Dropout"}:
            raise ValueError(f"the oracle does not know {name}")
    return OracleNetwork(layers, OracleOutput(weight, bias) if pending else None)


def _prelu_slopes(weight: Any) -> list[Any]:
    slopes = [[slope, 1] for slope in fractions(weight)]
    return slopes[0] if len(slopes) == 1 else slopes


def _flattened(model: Any) -> Iterator[Any]:
    """Yield the modules in order, a module that is used twice, twice."""
    if type(model).__name__ == "Sequential":
        for module in model:
            yield from _flattened(module)
    else:
        yield model
