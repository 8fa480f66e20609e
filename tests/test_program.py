"""The program: its steps as functions of points and of columns, and its values as a whole."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest
import torch
from torch import Tensor

from splinecam.program import (
    Affine,
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


def tensor(*values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def points(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return 3 * torch.randn(20, *shape, generator=generator, dtype=torch.float64)


HAT = PiecewiseLinear(
    "hat", (0,), (4,), tensor(-1.0, 0.0, 2.0), tensor(0.0, 2.0, -1.0, 0.5), torch.tensor(3.0)
)


def test_piecewise_linear_function_has_its_slopes_between_its_breakpoints() -> None:
    z = tensor(-5.0, -1.0, -0.5, 0.0, 1.0, 2.0, 4.0)
    assert HAT(z[:, None])[:, 0].tolist() == [3.0, 3.0, 4.0, 5.0, 4.0, 3.0, 4.0]


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        pytest.param(tensor(1.0, 2.0), [[1.0] * 6, [2.0] * 6], id="one for all"),
        pytest.param(
            tensor([[1.0], [2.0]], [[3.0], [4.0]]),
            [[1.0] * 3 + [2.0] * 3, [3.0] * 3 + [4.0] * 3],
            id="one a channel",
        ),
        pytest.param(
            tensor([1.0, 2.0, 3.0], [4.0, 5.0, 6.0]),
            [[1.0, 2.0, 3.0] * 2, [4.0, 5.0, 6.0] * 2],
            id="one a column",
        ),
    ],
)
def test_tables_expand_to_units(table: Tensor, expected: list[list[float]]) -> None:
    step = PiecewiseLinear("f", (0,), (2, 3), table, table, table[0])
    assert step.per_unit(table).tolist() == expected
    assert step.per_unit(table[:1]).tolist() == expected[:1]
    assert step.n_units == 6


def test_table_of_a_step_with_as_many_units_as_breakpoints() -> None:
    step = PiecewiseLinear("f", (0,), (2,), tensor(1.0, 2.0), tensor(0.0, 1.0, 0.0), tensor(1.0))
    assert step.per_unit(step.breakpoints).tolist() == [[1.0, 1.0], [2.0, 2.0]]


@pytest.mark.parametrize(
    ("linear", "offset", "shape"),
    [
        (MatMul(points(3)[:5]), points(5)[0], (2, 5)),
        (MatMul(points(3)[:5]), None, (2, 5)),
        (Scale(points(3)[0]), points(2, 1)[0], (2, 3)),
        (Reshape((6,)), torch.tensor(1.5), (6,)),
        (Gather(torch.tensor([5, 0, -1])), points(3)[1], (3,)),
    ],
)
def test_pushing_columns_composes_affine_maps(
    linear: LinearMap, offset: Tensor | None, shape: tuple[int, ...]
) -> None:
    step = Affine("f", (0,), shape, linear, offset)
    columns, coordinates = points(2, 3)[:4], points(3)
    homogeneous = torch.cat([coordinates, torch.ones(20, 1)], dim=1)
    pushed = step.push(columns)
    assert pushed.shape == (4, *shape)
    at_points = step(torch.tensordot(homogeneous, columns, 1))
    torch.testing.assert_close(torch.tensordot(homogeneous, pushed, 1), at_points)


def test_pushing_columns_of_several_values() -> None:
    step = Affine("f", (1, 2), (2, 3), Sum((1.0, -2.0)), points(3)[0])
    columns, more = points(2, 3)[:4], points(2, 1)[:4]
    coordinates = torch.cat([points(3), torch.ones(20, 1)], dim=1)
    values = (torch.tensordot(coordinates, c, 1) for c in (columns, more))
    pushed = torch.tensordot(coordinates, step.push(columns, more), 1)
    torch.testing.assert_close(pushed, step(*values))
    rows = step.rows(np.array([4]), (2, 3), (2, 1))
    assert [r.toarray().tolist() for r in rows] == [[[0, 0, 0, 0, 1, 0]], [[0, -2]]]


def test_patterns_count_breakpoints_exceeded() -> None:
    z = tensor(-5.0, -1.0, -0.5, 0.0, 1.0, 2.0, 4.0)
    assert HAT.patterns(z[:, None].expand(-1, 4))[:, 3].tolist() == [0, 0, 1, 1, 2, 2, 3]
    each = PiecewiseLinear("f", (0,), (2,), tensor([0.0, 1.0]), tensor([0.0], [1.0]), z[0])
    assert each.patterns(tensor([1.0, 1.0])).tolist() == [[1, 0]]
    assert each.patterns(tensor([1.0, 1.0])).dtype == torch.uint8


POOL = MaxGroups("pool", (0,), (3,), torch.tensor([[-1, 0, 1], [1, 2, 3], [3, 4, -1]]))


def test_maxima_of_groups() -> None:
    x = tensor([-1.0, -2.0, 5.0, 5.0, 7.0], [0.0, 0.0, 0.0, 0.0, 0.0])
    assert POOL(x).tolist() == [[-1.0, 5.0, 7.0], [0.0, 0.0, 0.0]]
    assert POOL.preactivations(x)[0].tolist() == [[-inf, -1, -2], [-2, 5, 5], [5, 7, -inf]]
    assert POOL.n_units == 3


def test_pattern_of_a_group_is_its_first_largest_member() -> None:
    x = tensor([-1.0, -2.0, 5.0, 5.0, 7.0], [0.0, 0.0, 0.0, 0.0, 0.0])
    assert POOL.patterns(x).tolist() == [[1, 1, 1], [1, 0, 0]]
    assert POOL.patterns(x).dtype == torch.uint8


def test_pattern_of_a_group_of_many_members() -> None:
    everything = MaxGroups("max", (0,), (), torch.arange(300)[None])
    program = Program((HAT, everything), (300,), output=2)
    assert everything.patterns(torch.arange(300.0)[None]).tolist() == [[299]]
    assert everything(torch.arange(300.0)[None]).shape == (1,)
    assert Program((everything,), (300,), output=1).patterns(-torch.ones(2, 300)).shape == (2, 1)
    assert program.piecewise_steps == (HAT, everything)


def small_program() -> Program:
    relu = PiecewiseLinear("relu", (2,), (2, 2), tensor(0.0), tensor(0.0, 1.0), torch.tensor(0.0))
    return Program(
        steps=(
            Affine("first", (0,), (4,), MatMul(points(4)[:4]), points(4)[5]),
            Affine("fold", (1,), (2, 2), Reshape((2, 2))),
            relu,
            Affine("last", (3,), (2, 1), MatMul(points(2)[:1])),
        ),
        input_shape=(4,),
        output=4,
    )


def test_program_composes_its_steps() -> None:
    program, x = small_program(), points(4)
    hidden = x @ points(4)[:4].T + points(4)[5]
    torch.testing.assert_close(program(x), hidden.clamp(min=0).reshape(-1, 2, 2) @ points(2)[:1].T)
    (preactivations,) = program.preactivations(x)
    torch.testing.assert_close(preactivations, hidden)
    assert [step.name for step in program.piecewise_steps] == ["relu"]
    assert torch.equal(program.patterns(x), (hidden > 0).to(torch.uint8))
    assert program.output_shape == (2, 1)


def test_program_joins_branches() -> None:
    program = Program(
        steps=(
            Affine("first", (0,), (4,), MatMul(points(4)[:4])),
            MaxGroups("max", (1,), (1, 2), torch.tensor([[0, 1], [2, 3]])),
            Affine("fold", (1,), (2, 2), Reshape((2, 2))),
            Affine("join", (3, 2, 3), (2, 2), Sum((1.0, 2.0, -3.0))),
        ),
        input_shape=(4,),
        output=4,
    )
    x = points(4)
    folded = (x @ points(4)[:4].T).reshape(-1, 2, 2)
    torch.testing.assert_close(program(x), 2 * folded.amax(2)[:, None] - 2 * folded)
    (members,) = program.preactivations(x)
    torch.testing.assert_close(members, folded)
    assert torch.equal(program.patterns(x), folded.argmax(2).to(torch.uint8))


def test_program_computes_in_float64() -> None:
    program, x = small_program(), points(4).float()
    assert torch.equal(program(x), program(x.double()))
    assert program(x).dtype == program.preactivations(x)[0].dtype == torch.float64


def test_output_may_be_an_earlier_value_or_the_input() -> None:
    steps, x = small_program().steps, points(4)
    hidden = Program(steps, (4,), output=1)
    torch.testing.assert_close(hidden(x), x @ points(4)[:4].T + points(4)[5])
    assert hidden.output_shape == (4,)
    nothing = Program((), (4,), output=0)
    assert torch.equal(nothing(x), x)
    assert nothing.output_shape == (4,)
    assert nothing.preactivations(x) == []
    assert nothing.patterns(x).shape == (20, 0)
