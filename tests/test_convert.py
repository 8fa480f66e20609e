"""Conversion of single operations: each is known in all its spellings."""

from __future__ import annotations

from functools import partial
from math import inf

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from small_models import Apply, Function, converted, inputs
from splinecam.convert import convert
from splinecam.program import Affine, PiecewiseLinear


def the_function(model: nn.Module, *shape: int) -> PiecewiseLinear:
    (step,) = converted(model, *shape).steps
    assert isinstance(step, PiecewiseLinear)
    return step


# Piecewise-linear operations


RELU = ([0.0], [0.0, 1.0], 0.0)
ABS = ([0.0], [-1.0, 1.0], 0.0)
UNIT_CLAMP = ([-1.0, 1.0], [0.0, 1.0, 0.0], -1.0)


@pytest.mark.parametrize(
    ("model", "table"),
    [
        pytest.param(nn.ReLU(), RELU, id="ReLU"),
        pytest.param(nn.ReLU(inplace=True), RELU, id="ReLU in place"),
        pytest.param(Apply(F.relu), RELU, id="F.relu"),
        pytest.param(Apply(partial(F.relu, inplace=True)), RELU, id="F.relu in place"),
        pytest.param(Apply(torch.relu), RELU, id="torch.relu"),
        pytest.param(Apply(torch.relu_), RELU, id="torch.relu_"),
        pytest.param(Apply(lambda x: x.relu()), RELU, id="x.relu"),
        pytest.param(Apply(lambda x: x.relu_()), RELU, id="x.relu_"),
        pytest.param(Apply(lambda x: x.clamp(min=0)), RELU, id="x.clamp(min=0)"),
        pytest.param(Apply(lambda x: x.clamp_min(0)), RELU, id="x.clamp_min"),
        pytest.param(Apply(lambda x: x.clip_(0, None)), RELU, id="x.clip_"),
        pytest.param(
            Apply(lambda x: torch.maximum(x, torch.zeros_like(x))), RELU, id="torch.maximum"
        ),
        pytest.param(Apply(lambda x: torch.max(x.new_zeros(1), x)), RELU, id="torch.max"),
        pytest.param(nn.Threshold(0.0, 0.0), RELU, id="Threshold(0, 0)"),
        pytest.param(nn.Threshold(2.0, 2.0), ([2.0], [0.0, 1.0], 2.0), id="Threshold(2, 2)"),
        pytest.param(nn.LeakyReLU(), ([0.0], [0.01, 1.0], 0.0), id="LeakyReLU"),
        pytest.param(
            Apply(lambda x: F.leaky_relu_(x, negative_slope=-0.5)),
            ([0.0], [-0.5, 1.0], 0.0),
            id="F.leaky_relu_",
        ),
        pytest.param(nn.LeakyReLU(1.0), ([0.0], [1.0, 1.0], 0.0), id="LeakyReLU(1) still breaks"),
        pytest.param(nn.PReLU(init=0.25), ([0.0], [0.25, 1.0], 0.0), id="PReLU"),
        pytest.param(nn.RReLU(0.25, 0.75), ([0.0], [0.5, 1.0], 0.0), id="RReLU"),
        pytest.param(
            Apply(lambda x: F.rrelu(x, 0.25, 0.75)), ([0.0], [0.5, 1.0], 0.0), id="F.rrelu"
        ),
        pytest.param(Apply(abs), ABS, id="abs"),
        pytest.param(Apply(torch.abs), ABS, id="torch.abs"),
        pytest.param(Apply(lambda x: x.absolute()), ABS, id="x.absolute"),
        pytest.param(nn.Hardtanh(), UNIT_CLAMP, id="Hardtanh"),
        pytest.param(Apply(F.hardtanh_), UNIT_CLAMP, id="F.hardtanh_"),
        pytest.param(Apply(lambda x: torch.clamp(x, -1, 1)), UNIT_CLAMP, id="torch.clamp"),
        pytest.param(nn.Hardtanh(-2.0, 0.5), ([-2.0, 0.5], [0.0, 1.0, 0.0], -2.0), id="Hardtanh2"),
        pytest.param(nn.ReLU6(), ([0.0, 6.0], [0.0, 1.0, 0.0], 0.0), id="ReLU6"),
        pytest.param(Apply(F.relu6), ([0.0, 6.0], [0.0, 1.0, 0.0], 0.0), id="F.relu6"),
        pytest.param(
            Apply(lambda x: torch.clamp(x, max=2)), ([2.0], [1.0, 0.0], 2.0), id="clamp(max)"
        ),
        pytest.param(
            Apply(lambda x: x.clamp(-inf, 2)), ([2.0], [1.0, 0.0], 2.0), id="clamp(-inf, 2)"
        ),
        pytest.param(
            Apply(lambda x: torch.minimum(torch.tensor(2.0), x)),
            ([2.0], [1.0, 0.0], 2.0),
            id="torch.minimum",
        ),
        pytest.param(nn.Hardsigmoid(), ([-3.0, 3.0], [0.0, 1 / 6, 0.0], 0.0), id="Hardsigmoid"),
        pytest.param(nn.Softshrink(), ([-0.5, 0.5], [1.0, 0.0, 1.0], 0.0), id="Softshrink"),
        pytest.param(
            Apply(lambda x: F.softshrink(x, 2)),
            ([-2.0, 2.0], [1.0, 0.0, 1.0], 0.0),
            id="softshrink",
        ),
    ],
)
def test_activation_is_known(
    model: nn.Module, table: tuple[list[float], list[float], float]
) -> None:
    step = the_function(model, 4)
    breakpoints, slopes, anchor = table
    assert step.per_unit(step.breakpoints).T.tolist() == [breakpoints] * 4
    assert step.per_unit(step.slopes).T.tolist() == [slopes] * 4
    assert step.per_unit(step.anchor[None]).tolist() == [[anchor] * 4]
    assert step.breakpoints.dtype == step.slopes.dtype == step.anchor.dtype == torch.float64


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: F.hardshrink(x, 0), id="hardshrink(0)"),
        pytest.param(lambda x: F.softshrink(x, 0), id="softshrink(0)"),
        pytest.param(lambda x: x.clamp(-inf, inf), id="clamp(-inf, inf)"),
        pytest.param(lambda x: F.dropout(x, 0.5, training=True), id="dropout"),
        pytest.param(lambda x: x.contiguous().clone().detach().data, id="copies"),
        pytest.param(lambda x: x.float().to(torch.float64).to(x).type_as(x).cpu(), id="casts"),
        pytest.param(lambda x: x.view(x.size(0), -1).view_as(x), id="reshapes to the same"),
    ],
)
def test_operation_without_effect_makes_no_step(function: Function) -> None:
    program = convert(Apply(lambda x: function(x + 1)), (4,))
    assert [step.name for step in program.steps] == ["add"]


@pytest.mark.parametrize(
    "shape", [pytest.param((3,), id="vector"), pytest.param((3, 2, 2), id="image")]
)
def test_prelu_with_one_slope_a_channel(shape: tuple[int, ...]) -> None:
    model = nn.PReLU(3)
    model.weight.data = torch.tensor([0.5, -1.0, 0.0])
    step = the_function(model, *shape)
    slopes = step.per_unit(step.slopes)[0].reshape(shape)
    assert slopes.reshape(3, -1)[:, 0].tolist() == [0.5, -1.0, 0.0]


def test_clamp_takes_tensors_as_bounds() -> None:
    low, high = torch.tensor([-1.0, 0.0, 1.0]), torch.tensor([[0.5], [2.0]])
    step = the_function(Apply(lambda x: torch.clamp(x, low, high + 1)), 2, 3)
    assert step.per_unit(step.breakpoints)[0].tolist() == [-1.0, 0.0, 1.0] * 2
    assert step.per_unit(step.breakpoints)[1].tolist() == [1.5] * 3 + [3.0] * 3


@pytest.mark.parametrize("bounds", [(2.0, 1.0), (1.0, 1.0)])
def test_clamp_between_crossed_bounds_is_constant(bounds: tuple[float, float]) -> None:
    (step,) = converted(Apply(lambda x: torch.clamp(x, *bounds)), 4).steps
    assert isinstance(step, Affine)


# Affine operations


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: x + 2, id="x + 2"),
        pytest.param(lambda x: 2 + x, id="2 + x"),
        pytest.param(lambda x: x - 2.5, id="x - c"),
        pytest.param(lambda x: 1 - x, id="1 - x"),
        pytest.param(lambda x: torch.arange(3) - x, id="tensor - x"),
        pytest.param(lambda x: torch.sub(x, torch.arange(3), alpha=3), id="sub alpha"),
        pytest.param(lambda x: torch.add(x, 1, alpha=2), id="add alpha"),
        pytest.param(lambda x: torch.add(torch.ones(3), x, alpha=2), id="add alpha of x"),
        pytest.param(lambda x: torch.rsub(x, 1, alpha=2), id="rsub alpha"),
        pytest.param(lambda x: x * 3, id="x * 3"),
        pytest.param(lambda x: torch.arange(2)[:, None] * x, id="tensor * x"),
        pytest.param(lambda x: x / 3, id="x / 3"),
        pytest.param(lambda x: x.div(torch.arange(1, 4)), id="x / tensor"),
        pytest.param(lambda x: -x, id="-x"),
        pytest.param(torch.neg, id="neg"),
        pytest.param(lambda x: x @ torch.arange(12.0).reshape(3, 4).to(x), id="x @ W"),
        pytest.param(lambda x: torch.matmul(x, torch.ones(3, 1).to(x)), id="matmul"),
        pytest.param(lambda x: F.linear(x, torch.eye(4, 3).to(x)), id="F.linear"),
        pytest.param(
            lambda x: F.linear(x, bias=torch.ones(1).to(x), weight=torch.ones(1, 3).to(x)),
            id="F.linear by keyword",
        ),
        pytest.param(lambda x: x + torch.ones_like(x) * torch.arange(3), id="constant batch"),
        pytest.param(lambda x: (x @ torch.ones(3, 1).to(x)) + torch.arange(4), id="broadcast +"),
        pytest.param(lambda x: (x @ torch.ones(3, 1).to(x)) * torch.arange(4), id="broadcast *"),
    ],
)
def test_affine_operation(function: Function) -> None:
    steps = converted(Apply(function), 2, 3).steps
    assert steps
    frame, at = inputs(2, 3)[:3], torch.tensor([[0.3, -2.0, 1.0]], dtype=torch.float64)
    columns, value = frame, torch.tensordot(at, frame, 1)
    for step in steps:
        assert isinstance(step, Affine)
        columns, value = step.push(columns), step(value)
        torch.testing.assert_close(torch.tensordot(at, columns, 1), value)


def test_in_place_arithmetic() -> None:
    def forward(x: Tensor) -> Tensor:
        x = x + 0
        x += 2
        x *= 3
        x -= torch.arange(4)
        x /= 7
        return x.add_(1).neg_()

    assert len(converted(Apply(forward), 4).steps) == 7


@pytest.mark.parametrize(
    ("model", "shape"),
    [
        (nn.BatchNorm1d(4), (4,)),
        (nn.BatchNorm1d(4), (4, 3)),
        (nn.BatchNorm2d(4), (4, 3, 2)),
        (nn.BatchNorm3d(4), (4, 1, 3, 2)),
        (nn.BatchNorm1d(4, affine=False, eps=0.1), (4,)),
    ],
)
def test_batch_norm_uses_its_running_statistics(model: nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    for name, tensor in model.state_dict().items():
        if name != "num_batches_tracked":
            tensor.uniform_(0.5, 2)
    model.train()
    converted(model, *shape)


def test_functional_batch_norm_in_training_uses_its_running_statistics() -> None:
    mean, var = torch.full((4,), 2.0), torch.full((4,), 4.0)
    model = Apply(lambda x: F.batch_norm(x, mean, var, training=True, eps=0))
    x = inputs(4)
    torch.testing.assert_close(convert(model, (4,))(x), (x - 2) / 2)
    assert mean.tolist() == [2.0] * 4


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: x.flatten(1), id="flatten"),
        pytest.param(nn.Flatten(2), id="Flatten(2)"),
        pytest.param(lambda x: x.view(x.shape[0], -1), id="view"),
        pytest.param(lambda x: x.reshape(len(x), 6, 4), id="reshape"),
        pytest.param(lambda x: x.unsqueeze(1).unsqueeze(-1).squeeze(1), id="unsqueeze"),
        pytest.param(nn.Unflatten(1, (2, 1)), id="Unflatten"),
        pytest.param(lambda x: x.unflatten(3, (2, 2)), id="unflatten"),
    ],
)
def test_reshape(function: Function) -> None:
    program = converted(Apply(lambda x: abs(function(x))), 2, 3, 4)
    assert program.output_shape != (2, 3, 4)
    assert program.piecewise_steps[0].n_units == 24


def test_linear_acts_on_the_last_of_several_dimensions() -> None:
    assert converted(nn.Linear(4, 2, bias=False), 3, 5, 4).output_shape == (3, 5, 2)
