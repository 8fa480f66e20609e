"""Exact arithmetic against fractions, step by step through programs."""

from __future__ import annotations

import math
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from splinecam.convert import convert
from splinecam.errors import InvalidArgumentError, InvalidSliceError, UnsupportedLayerError
from splinecam.exact import (
    ExactNetwork,
    distance_bound,
    integers,
    intersection,
    line_through,
    order_along,
    point_at,
    power_of,
    read_steps,
    sign_at,
    turn,
)
from splinecam.program import Affine, PiecewiseLinear, Program
from splinecam.slices import Slice

whole = st.integers(-6, 6)
rows = st.tuples(whole, whole, whole)
coordinates = st.floats(-1e3, 1e3)
points = st.builds(point_at, coordinates, coordinates)


def value(row: tuple[int, int, int], point: tuple[int, int, int]) -> Fraction:
    """An affine function at a point, as fractions have it."""
    x, y = (Fraction(point[i], point[2]) for i in (0, 1))
    return row[0] * x + row[1] * y + row[2]


def sign_of(number: Any) -> int:
    return (number > 0) - (number < 0)


# --- Predicates ------------------------------------------------------------------------------


@given(rows, points)
def test_sign_is_that_of_the_value(row, point):
    assert sign_at(row, point) == sign_of(value(row, point))


@given(coordinates, coordinates)
def test_point_of_floats_is_exact_and_reduced(u, v):
    x, y, w = point_at(u, v)
    assert (Fraction(x, w), Fraction(y, w)) == (Fraction(u), Fraction(v))
    assert w > 0
    assert math.gcd(x, y, w) == 1


def test_point_takes_the_smallest_and_the_largest_floats():
    x, y, w = point_at(5e-324, -1.7e308)
    assert Fraction(x, w) == Fraction(5e-324)
    assert Fraction(y, w) == Fraction(-1.7e308)


@given(rows, rows)
def test_lines_meet_where_both_vanish(row, other):
    point = intersection(row, other)
    determinant = row[0] * other[1] - row[1] * other[0]
    if determinant == 0:
        assert point is None
    else:
        assert point is not None
        assert sign_at(row, point) == sign_at(other, point) == 0
        assert point[2] > 0
        assert math.gcd(*point) == 1


@given(points, points, points)
def test_line_through_points_is_positive_on_its_left(p, q, r):
    line = line_through(p, q)
    assert sign_at(line, p) == sign_at(line, q) == 0
    (px, py), (qx, qy), (rx, ry) = ((Fraction(s[0], s[2]), Fraction(s[1], s[2])) for s in (p, q, r))
    cross = (qx - px) * (ry - py) - (qy - py) * (rx - px)
    assert turn(p, q, r) == sign_at(line, r) == sign_of(cross)


@given(points, points)
def test_line_runs_from_its_first_to_its_second_point(p, q):
    assert order_along(line_through(p, q), p, q) == (p != q)
    assert order_along(line_through(p, q), q, p) == -(p != q)


def test_crossings_one_ulp_apart_are_ordered():
    along, first = (0, 1, 0), point_at(1.0, 0.0)
    second = point_at(math.nextafter(1.0, 2), 5.0)
    assert order_along(along, first, second) == 1
    assert order_along(along, first, point_at(1.0, -7.0)) == 0


@given(points, points)
def test_distance_bound_is_the_next_float(p, q):
    distance = max(abs(Fraction(p[i], p[2]) - Fraction(q[i], q[2])) for i in (0, 1))
    bound = distance_bound(p, q)
    assert bound == 0 if distance == 0 else bound >= distance
    assert bound <= float(distance) * (1 + 1e-15) + 1e-323


def test_distance_beyond_floats_is_infinite():
    assert distance_bound((10**400, 0, 1), (0, 0, 1)) == math.inf


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1))
def test_floats_become_the_integers_they_are(values):
    array = np.array(values)
    power = power_of(array)
    assert integers(array, power + 3) == [int(Fraction(x) * 2 ** (power + 3)) for x in values]
    exact = [Fraction(x) * 2**power for x in values]
    assert all(x.denominator == 1 for x in exact)
    assert power == 0 or any(x.numerator % 2 for x in exact)


# --- Networks --------------------------------------------------------------------------------


def fractions(values: Any) -> np.ndarray:
    array = np.asarray(values)
    numbers = [Fraction(x) for x in array.ravel().tolist()]
    return np.array(numbers, dtype=object).reshape(array.shape)


def apply_affine(step: Affine, x: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Apply a step whose matrix is seen in what it does to basis vectors."""
    basis = torch.eye(x.size, dtype=torch.float64).reshape(x.size, *shape)
    matrix = fractions(step.linear(basis).reshape(x.size, -1)).T
    y = matrix @ x
    return y if step.offset is None else y + fractions(step.offset.expand(step.shape)).ravel()


def apply_bend(step: PiecewiseLinear, z: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Apply a piecewise-linear step by its definition; say also which pieces were met."""
    breakpoints, slopes, anchors = (
        fractions(step.per_unit(table)).T
        for table in (step.breakpoints, step.slopes, step.anchor[None])
    )
    made, pieces = [], []
    for x, t, s, (anchor,) in zip(z, breakpoints, slopes, anchors, strict=True):
        kinks = zip(t, np.diff(s), strict=True)
        made.append(anchor + s[0] * (x - t[0]) + sum(k * max(x - u, 0) for u, k in kinks))
        pieces.append(sum(x > u for u in t))
    return np.array(made, dtype=object), pieces


def follow(program: Program, slice_: Slice, u: float, v: float) -> tuple[list[np.ndarray], bytes]:
    """Pre-activations of all layers at a point of the plane, and the pattern, in fractions."""
    origin, first, second = map(fractions, (slice_.origin, *slice_.basis))
    x = origin + Fraction(u) * first + Fraction(v) * second
    shape, preactivations, pattern = program.input_shape, [], []
    for step in program.steps:
        if isinstance(step, PiecewiseLinear):
            preactivations.append(x)
            x, pieces = apply_bend(step, x)
            pattern += pieces
        else:
            x = apply_affine(step, x, shape)
        shape = step.shape
    return preactivations, bytes(pattern)


class Shifted(nn.Module):
    def forward(self, x):
        return 0.1 - x * torch.tensor([3.0, -0.7, 1e-5])


def normalised() -> nn.Module:
    torch.manual_seed(0)
    norm = nn.BatchNorm1d(4)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
            assert tensor is not None
            tensor.copy_(torch.rand(4) + 0.1)
    return nn.Sequential(nn.Linear(2, 4), norm, nn.Hardtanh(-0.3, 0.4), nn.Linear(4, 2), nn.ReLU())


def of_images() -> nn.Module:
    torch.manual_seed(1)
    norm = nn.BatchNorm2d(1)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([0.7]))
        norm.bias.copy_(torch.tensor([-0.2]))
    rows = nn.Linear(3, 4)  # of each row of an image
    return nn.Sequential(norm, rows, nn.ReLU6(), nn.Flatten(), nn.Linear(8, 5), nn.PReLU(5))


def wide_range() -> nn.Module:
    model = nn.Sequential(nn.Linear(2, 5), nn.LeakyReLU(0.01), nn.Linear(5, 3), nn.ReLU()).double()
    rng = np.random.default_rng(0)
    with torch.no_grad():
        for parameter in model.parameters():
            sizes = 10 ** rng.uniform(-8, 8, parameter.shape)
            parameter.copy_(torch.from_numpy(rng.normal(size=parameter.shape) * sizes))
    return model


def subnormal() -> nn.Module:
    layer = nn.Linear(2, 2).double()
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[5e-324, 1.0], [-1e-310, 0.0]], dtype=torch.float64))
        layer.bias.copy_(torch.tensor([0.0, 5e-324], dtype=torch.float64))
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(2, 2).double(), nn.ReLU())


def mlp(*widths: int) -> nn.Sequential:
    torch.manual_seed(2)
    modules: list[nn.Module] = []
    for a, b in pairwise(widths):
        modules += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*modules)


def moved(distance: float) -> nn.Module:
    model = mlp(2, 4, 4).double()
    with torch.no_grad():
        model[0].bias -= model[0].weight @ torch.tensor([distance, -distance]).double()
    return model


SQUARE = Slice.box((-1, 1), (-1, 1))

CASES: dict[str, tuple[nn.Module, Slice]] = {
    "mlp": (mlp(2, 6, 5, 4), SQUARE),
    "far": (moved(1e6), SQUARE.with_box((1e6 - 2, 1e6 + 2), (-1e6 - 2, 2 - 1e6))),
    "batch norm": (normalised(), SQUARE),
    "two matrices": (
        nn.Sequential(nn.Linear(2, 3), Shifted(), nn.Linear(3, 4), nn.Softshrink(0.1)),
        SQUARE,
    ),
    "images": (of_images(), Slice.through(np.random.default_rng(3).normal(size=(3, 1, 2, 3)))),
    "wide range": (wide_range(), SQUARE),
    "subnormal": (subnormal(), SQUARE),
    "no affine step before": (nn.Sequential(nn.ReLU(), nn.Linear(2, 2), nn.ReLU()), SQUARE),
}


@pytest.mark.parametrize("name", CASES)
def test_rows_are_the_preactivations(name):
    model, slice_ = CASES[name]
    program = convert(model, slice_.input_shape)
    network = ExactNetwork(program, slice_)
    assert network.layer_sizes == tuple(step.n_units for step in program.piecewise_steps)
    rng = np.random.default_rng(4)
    low, high = slice_.polygon.min(axis=0), slice_.polygon.max(axis=0)
    met = set()
    for u, v in rng.uniform(low, high, size=(12, 2)).tolist():
        preactivations, pattern = follow(program, slice_, u, v)
        met.add(pattern)
        for layer, expected in enumerate(preactivations):
            found = network.rows(layer, pattern)
            scale = 2 ** network.power(layer)
            assert [value(row, point_at(u, v)) for row in found] == [z * scale for z in expected]
    assert len(met) > 1


@pytest.mark.parametrize("name", ["batch norm", "two matrices", "images"])
def test_hinges_vanish_at_the_breakpoints(name):
    model, slice_ = CASES[name]
    program = convert(model, slice_.input_shape)
    network = ExactNetwork(program, slice_)
    u, v = 0.3, -0.2
    preactivations, pattern = follow(program, slice_, u, v)
    for layer, (step, z) in enumerate(zip(program.piecewise_steps, preactivations, strict=True)):
        thresholds = fractions(step.per_unit(step.breakpoints)).T
        expected = (z[:, None] - thresholds).ravel() * 2 ** network.power(layer)
        found = network.hinges(layer, pattern)
        assert [value(row, point_at(u, v)) for row in found] == expected.tolist()
        last = len(expected) - 1
        assert network.hinges(layer, pattern, [last, 0]) == [found[last], found[0]]


def test_rows_of_chosen_units_come_in_their_order():
    network = ExactNetwork(convert(mlp(2, 3, 4), (2,)), SQUARE)
    all_rows = network.rows(1, b"\1\0\1")
    assert network.rows(1, b"\1\0\1", [3, 0, 3]) == [all_rows[3], all_rows[0], all_rows[3]]


def test_prefix_may_be_an_array_and_the_whole_pattern():
    network = ExactNetwork(convert(mlp(2, 3, 4), (2,)), SQUARE)
    pattern = np.array([1, 0, 1, 1, 1, 1, 1], np.uint8)
    assert network.rows(1, pattern) == network.rows(1, b"\1\0\1")


def test_units_that_are_off_leave_nothing():
    network = ExactNetwork(convert(mlp(2, 3, 4), (2,)), SQUARE)
    bias = mlp(2, 3, 4)[2].bias.tolist()
    scale = 2 ** network.power(1)
    assert network.rows(1, bytes(3)) == [(0, 0, b * scale) for b in bias]


def test_prefix_that_is_too_short_is_refused():
    network = ExactNetwork(convert(mlp(2, 3, 4), (2,)), SQUARE)
    with pytest.raises(InvalidArgumentError, match="prefix has 2 entries; layer 1 has 3 units"):
        network.rows(1, b"\0\1")


def test_slice_of_another_input_is_refused():
    with pytest.raises(InvalidSliceError, match=r"shape \(2,\), the model .* shape \(3,\)"):
        ExactNetwork(convert(mlp(3, 4), (3,)), SQUARE)


class Rolled:
    """A linear map of a kind that exact arithmetic does not know."""

    n_terms = 1

    def __call__(self, x):
        return x.roll(1, -1)

    def magnitudes(self):
        return self


RELU = (torch.zeros(1).double(), torch.tensor([0.0, 1.0]).double(), torch.tensor(0.0).double())


def test_other_linear_maps_are_refused():
    steps = (Affine("turn", (0,), (2,), Rolled()), PiecewiseLinear("fold", (1,), (2,), *RELU))
    with pytest.raises(UnsupportedLayerError, match=r"'turn' is a Rolled; .* MatMul, Scale"):
        read_steps(Program(steps, (2,), 2))


def test_steps_that_read_other_values_are_refused():
    fold = PiecewiseLinear("fold", (0,), (2,), *RELU)
    again = PiecewiseLinear("again", (0,), (2,), *RELU)
    with pytest.raises(UnsupportedLayerError, match=r"'again' reads the values \(0,\); .* \(1,\)"):
        read_steps(Program((fold, again), (2,), 2))


def test_steps_after_the_last_bend_do_not_matter():
    fold = PiecewiseLinear("fold", (0,), (2,), *RELU)
    program = Program((fold, convert(nn.Linear(2, 1), (2,)).steps[0]), (2,), 1)
    assert len(read_steps(program)) == 1
