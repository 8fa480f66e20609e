"""Exact arithmetic against fractions, step by step through programs."""

from __future__ import annotations

import math
from fractions import Fraction
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import families_dag
from oracle_graph import partition_graph
from splinecam.convert import convert
from splinecam.errors import InvalidArgumentError, InvalidSliceError, UnsupportedLayerError
from splinecam.exact import (
    ExactNetwork,
    distance_bound,
    intersection,
    line_through,
    order_along,
    pattern_of,
    point_at,
    sign_at,
    turn,
)
from splinecam.exact.dyadic import integers, power_of
from splinecam.program import (
    Affine,
    Applied,
    Convolution,
    Gather,
    LinearMap,
    MatMul,
    MaxGroups,
    PiecewiseLinear,
    Program,
    Reshape,
    Scale,
    Sum,
)
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


def apply_affine(step: Affine, xs: list[np.ndarray], shapes: list[tuple[int, ...]]) -> np.ndarray:
    """Apply a step whose matrices are seen in what it does to basis vectors."""
    y = fractions(np.zeros(step.shape, int) if step.offset is None else full_offset(step)).ravel()
    for i, x in enumerate(xs):
        inputs = [torch.zeros(x.size, *shape, dtype=torch.float64) for shape in shapes]
        inputs[i] = torch.eye(x.size, dtype=torch.float64).reshape(x.size, *shapes[i])
        y = y + fractions(step.linear(*inputs).reshape(x.size, -1)).T @ x
    return y


def full_offset(step: Affine) -> torch.Tensor:
    assert step.offset is not None
    return step.offset.expand(step.shape)


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


def apply_maximum(step: MaxGroups, x: np.ndarray) -> tuple[np.ndarray, list[int]]:
    """Take the maxima of groups; say also which member is the first largest one."""
    groups = [[(x[i], -k) for k, i in enumerate(m) if i >= 0] for m in step.members.tolist()]
    best = [max(group) for group in groups]
    return np.array([value for value, _ in best], dtype=object), [-k for _, k in best]


def follow(program: Program, slice_: Slice, u: float, v: float) -> tuple[list[np.ndarray], bytes]:
    """Pre-activations of all layers at a point of the plane, and the pattern, in fractions.

    For a layer of maxima they are what it reads.
    """
    origin, first, second = map(fractions, (slice_.origin, *slice_.basis))
    values = [origin + Fraction(u) * first + Fraction(v) * second]
    shapes, preactivations, pattern = [program.input_shape], [], []
    for step in program.steps:
        read = [values[i] for i in step.inputs]
        if isinstance(step, Affine):
            values.append(apply_affine(step, read, [shapes[i] for i in step.inputs]))
        else:
            apply = apply_bend if isinstance(step, PiecewiseLinear) else apply_maximum
            made, places = apply(step, read[0])  # type: ignore[arg-type]
            values.append(made)
            preactivations.append(read[0])
            pattern += places
        shapes.append(step.shape)
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


# --- Branches and maxima ---------------------------------------------------------------------

RELU = (torch.zeros(1).double(), torch.tensor([0.0, 1.0]).double(), torch.tensor(0.0).double())
CLAMP = (
    torch.tensor([-0.75, 0.5]).double(),
    torch.tensor([0.0, 1.0, 0.25]).double(),
    torch.tensor(-0.75).double(),
)


class Steps:
    """A program that is being written."""

    def __init__(self, *input_shape: int):
        self.shapes = [input_shape]
        self.steps: list[Any] = []
        self.rng = np.random.default_rng(5)

    def _add(self, step: Any) -> int:
        self.steps.append(step)
        self.shapes.append(step.shape)
        return len(self.steps)

    def numbers(self, *shape: int) -> torch.Tensor:
        return torch.from_numpy(self.rng.normal(size=shape).astype(np.float32)).double()

    def affine(self, linear: LinearMap, *inputs: int, offset: bool = False) -> int:
        zeros = [torch.zeros(1, *self.shapes[i], dtype=torch.float64) for i in inputs]
        shape = tuple(linear(*zeros).shape[1:])
        added = self.numbers(*shape) if offset else None
        return self._add(Affine(f"a{len(self.steps)}", inputs, shape, linear, added))

    def dense(self, i: int, width: int) -> int:
        return self.affine(MatMul(self.numbers(width, self.shapes[i][-1])), i, offset=True)

    def relu(self, i: int) -> int:
        return self._add(PiecewiseLinear(f"r{len(self.steps)}", (i,), self.shapes[i], *RELU))

    def clamp(self, i: int) -> int:
        return self._add(PiecewiseLinear(f"c{len(self.steps)}", (i,), self.shapes[i], *CLAMP))

    def maximum(self, i: int, members: Any) -> int:
        groups = torch.as_tensor(members)
        return self._add(MaxGroups(f"m{len(self.steps)}", (i,), (len(groups),), groups))

    def program(self) -> Program:
        return Program(tuple(self.steps), self.shapes[0], len(self.steps))


def residual() -> Program:
    s = Steps(2)
    trunk = s.relu(s.dense(0, 5))
    for _ in range(3):
        branch = s.relu(s.dense(s.relu(s.dense(trunk, 4)), 5))
        trunk = s.relu(s.affine(Sum((1.0, -0.75)), trunk, branch))
    return s.program()


def dense_and_maxout() -> Program:
    s = Steps(2)
    first, second = s.clamp(s.dense(0, 3)), s.dense(0, 4)
    members = [[0, 1, -1], [2, 3, 0], [-1, 3, 1]]
    groups = s.maximum(second, members)
    joined = s.affine(Gather(torch.tensor([4, 0, -1, 5, 3, 2, 1])), first, groups)
    scaled = s.affine(Scale(s.numbers(7)), joined, offset=True)
    s.relu(s.dense(scaled, 3))
    return s.program()


def images() -> Program:
    s = Steps(2, 4, 5)
    convolution = Convolution(s.numbers(3, 2, 3, 3), (1, 1), (1, 1), (1, 1))
    x = s.relu(s.affine(convolution, 0, offset=True))
    rows, columns = np.indices((2, 2))
    corner = (2 * rows * 5 + 2 * columns)[..., None] + np.array([0, 1, 5, 6])
    pooled = s.maximum(x, (corner.reshape(-1, 4) + 20 * np.arange(3)[:, None, None]).reshape(-1, 4))
    pooled = s.affine(Reshape((3, 2, 2)), pooled)
    padded = partial(torch.nn.functional.conv2d, padding=1)
    again = s.affine(Applied(padded, (s.numbers(3, 3, 3, 3),), 27), pooled, offset=True)
    single = Convolution(s.numbers(3, 1, 2, 2), (1, 1), (1, 0), (2, 1), groups=3)
    again = s.affine(Sum((1.0, 1.0)), again, s.relu(s.affine(single, pooled)))
    joined = s.relu(s.affine(Sum((1.0, 0.5)), again, pooled))
    mean = s.affine(Applied(partial(torch.mean, dim=(2, 3)), (), 4), joined)
    third = s.affine(Applied(partial(torch.nn.functional.avg_pool1d, kernel_size=3), (), 3), mean)
    s.relu(s.affine(Sum((1.0, 1.0)), s.dense(third, 3), mean))
    return s.program()


PROGRAMS = {"residual": residual, "maxout": dense_and_maxout, "images": images}


def slice_for(program: Program) -> Slice:
    shape = program.input_shape
    if shape == (2,):
        return SQUARE
    return Slice.through(np.random.default_rng(6).normal(size=(3, *shape)))


@pytest.mark.parametrize("name", PROGRAMS)
def test_rows_of_branches_are_the_preactivations(name):
    program = PROGRAMS[name]()
    slice_ = slice_for(program)
    network = ExactNetwork(program, slice_)
    rng = np.random.default_rng(7)
    low, high = slice_.polygon.min(axis=0), slice_.polygon.max(axis=0)
    met = set()
    for u, v in rng.uniform(low, high, size=(6, 2)).tolist():
        preactivations, pattern = follow(program, slice_, u, v)
        met.add(pattern)
        layers = list(enumerate(zip(program.piecewise_steps, preactivations, strict=True)))
        for layer, (step, z) in layers[::-1]:
            scale = 2 ** network.power(layer)
            if isinstance(step, PiecewiseLinear):
                found, expected = network.rows(layer, pattern), z
            else:
                members = step.members.tolist()
                places = [(n, k) for n, m in enumerate(members) for k, i in enumerate(m) if i >= 0]
                found = network.members(layer, pattern, places)
                expected = [z[members[n][k]] for n, k in places]
            assert [value(row, point_at(u, v)) for row in found] == [x * scale for x in expected]
    assert len(met) > 1


@pytest.mark.parametrize("family", families_dag.FAMILIES)
def test_rows_of_converted_models_are_those_of_the_oracle(family):
    model, graph, polygon = families_dag.example(family, "integer", 1)
    p = partition_graph(graph, polygon)
    network = ExactNetwork(convert(model, (2,)), SQUARE)
    assert network.layer_sizes == tuple(graph.size(value) for value in graph.layer_values)
    for pattern, (corner, *_) in zip(p.patterns, p.polygons, strict=True):
        values = graph.evaluate(corner)
        for number, layer in enumerate(graph.layers):
            z = values[layer.value] * 2 ** network.power(number)
            if number in graph.groups:
                pairs = [(n, k) for n, m in enumerate(layer.members) for k in range(len(m))]
                places = [(n, k) for n, k in pairs if layer.members[n][k] >= 0]
                rows = network.members(number, bytes(pattern), places)
                z = [z[layer.members[n][k]] for n, k in places]
            else:
                rows = network.rows(number, bytes(pattern))
            assert [a * corner[0] + b * corner[1] + c for a, b, c in rows] == list(z)


def test_differences_are_those_of_members():
    program = dense_and_maxout()
    network, pattern = ExactNetwork(program, SQUARE), bytes(10)
    (a, b, c), (d, e, f) = network.members(1, pattern, [(1, 2), (1, 0)])
    assert network.differences(1, pattern, [(1, 2, 0)]) == [(a - d, b - e, c - f)]
    assert network.differences(1, pattern, [(0, 1, 1)]) == [(0, 0, 0)]


def test_only_what_is_needed_is_computed():
    """A branch that a row does not depend on is not asked for."""
    s = Steps(2)
    s.dense(s.relu(s.dense(0, 3)), 3)
    other = s.affine(Applied(unreadable, (), 1), 1)
    s.affine(Sum((1.0, 1.0)), s.relu(other), s.relu(s.dense(0, 3)))
    network = ExactNetwork(s.program(), SQUARE)
    assert len(network.rows(2, bytes(6))) == 3
    with pytest.raises(RuntimeError, match="asked for"):
        network.rows(1, bytes(3))


def unreadable(x: torch.Tensor) -> torch.Tensor:
    if x.requires_grad:
        raise RuntimeError("asked for")
    return x


def test_layer_of_another_kind_is_refused():
    network = ExactNetwork(dense_and_maxout(), SQUARE)
    with pytest.raises(InvalidArgumentError, match="layer 1 is a Maximum; accepted: a Bend"):
        network.rows(1, bytes(9))
    with pytest.raises(InvalidArgumentError, match="layer 0 is a Bend; accepted: a Maximum"):
        network.members(0, b"", [(0, 0)])


def test_padding_has_no_row():
    network = ExactNetwork(dense_and_maxout(), SQUARE)
    with pytest.raises(InvalidArgumentError, match="position 2 of unit 0 of 'm3' is in the pad"):
        network.members(1, bytes(3), [(1, 1), (0, 2)])


def test_groups_may_be_larger_than_a_byte():
    s = Steps(2)
    s.maximum(s.dense(0, 257), np.arange(257)[None])
    s.dense(1, 1)
    program = s.program()
    network = ExactNetwork(program, SQUARE)
    points = np.random.default_rng(0).uniform(-1, 1, size=(200, 2))
    patterns = program.patterns(torch.from_numpy(points)).numpy()
    members = network.members(0, (), [(0, k) for k in range(257)])
    values = [[float(a * u + b * v + c) for a, b, c in members] for u, v in points.tolist()]
    assert np.argmax(values, axis=1).tolist() == patterns[:, 0].tolist()
    assert pattern_of(np.array([256, 1])) == (256, 1)


def test_coefficients_that_are_too_fine_are_refused():
    s = Steps(2)
    s.relu(s.affine(Applied(lambda x: x * 1e-70, (), 1), 0))
    network = ExactNetwork(s.program(), SQUARE)
    with pytest.raises(UnsupportedLayerError, match=r"'a0' has coefficients .* 2\^-256"):
        network.rows(0, b"")


def test_steps_after_the_last_layer_do_not_matter():
    s = Steps(2)
    s.dense(s.relu(s.affine(Sum((1.0, 1.0)), 0, 0)), 2)
    assert ExactNetwork(s.program(), SQUARE).rows(0, b"", [1]) == [(0, 2, 0)]
