"""The program: its steps as functions of points and of columns, and its values as a whole."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from splinecam.program import Affine, MatMul, PiecewiseLinear, Program, Reshape, Scale


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
    ],
)
def test_pushing_columns_composes_affine_maps(
    linear: MatMul | Scale | Reshape, offset: Tensor | None, shape: tuple[int, ...]
) -> None:
    step = Affine("f", (0,), shape, linear, offset)
    columns, coordinates = points(2, 3)[:4], points(3)
    homogeneous = torch.cat([coordinates, torch.ones(20, 1)], dim=1)
    pushed = step.push(columns)
    assert pushed.shape == (4, *shape)
    at_points = step(torch.tensordot(homogeneous, columns, 1))
    torch.testing.assert_close(torch.tensordot(homogeneous, pushed, 1), at_points)


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
    assert program.output_shape == (2, 1)


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
