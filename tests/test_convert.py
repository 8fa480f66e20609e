"""Conversion of models: the program is the model, and the model stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from math import inf

import pytest
import torch
from small_models import Apply, Function, mlp
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations, prune

from splinecam.convert import convert
from splinecam.program import Affine, PiecewiseLinear, Program


def inputs(*shape: int) -> Tensor:
    """Points of normal entries, wide enough to fall on all sides of the breakpoints used here."""
    generator = torch.Generator().manual_seed(7)
    return 4 * torch.randn(50, *shape, generator=generator, dtype=torch.float64)


def in_double(model: nn.Module) -> nn.Module:
    return deepcopy(model).double().eval()


def converted(model: nn.Module, *shape: int) -> Program:
    """The program of a model, once its outputs are those of the model's own float64 forward."""
    program = convert(model, shape)
    x = inputs(*shape)
    expected = in_double(model)(x)
    torch.testing.assert_close(program(x), expected, rtol=1e-13, atol=1e-13)
    assert program.output_shape == expected.shape[1:]
    return program


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


# Whole models


class Block(nn.Module):
    """A custom forward with functions, a shared activation, shapes and a constant."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(6, 6), nn.BatchNorm1d(6), nn.PReLU(6), nn.Dropout())
        self.act = nn.ReLU()
        self.register_buffer("shift", torch.linspace(-1, 1, 6))
        self.scale = nn.Parameter(torch.tensor(1.5))

    def forward(self, x: Tensor, *, twice: bool = True) -> Tensor:
        if x.dim() > 2:
            x = x.view(x.size(0), -1)
        x = self.act(self.inner(x) * self.scale + self.shift)
        if twice:
            x = self.act(F.hardtanh(self.inner[0](x), -0.5, 0.5))
        return x


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.blocks = nn.ModuleList([Block(), Block()])
        self.head = nn.Linear(6, 3)

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return torch.clamp(self.head(x), min=0)


def test_steps_are_named_after_modules_and_functions() -> None:
    program = converted(Net(), 2, 3)
    block = "inner.0 inner.1 inner.2 mul add act inner.0 hardtanh act".split()  # noqa: SIM905
    assert [step.name for step in program.steps] == [
        "blocks.0.view",
        *(f"blocks.0.{name}" for name in block),
        *(f"blocks.1.{name}" for name in block),
        "head",
        "clamp",
    ]
    assert [step.name for step in convert(nn.ReLU(), (2,)).steps] == ["relu"]
    assert [step.name for step in convert(mlp(), (3,)).steps] == ["0", "1", "2"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_weights_of_every_dtype_are_taken_exactly(dtype: torch.dtype) -> None:
    model = mlp().to(dtype)
    first, _, last = convert(model, (3,)).steps
    for step, path in ((first, "0"), (last, "2")):
        weight, bias = (
            model.get_parameter(f"{path}.{name}").double() for name in ("weight", "bias")
        )
        assert isinstance(step, Affine)
        assert step.offset is not None
        assert torch.equal(step.linear(torch.eye(weight.shape[1], dtype=torch.float64)).T, weight)
        assert torch.equal(step.offset, bias)


def test_preactivations_are_those_that_forward_hooks_see() -> None:
    model = in_double(Net())
    seen: list[Tensor] = []

    def look(module: nn.Module, args: tuple[Tensor, ...], output: Tensor) -> None:
        seen.append(args[0].flatten(1).clone())

    for block in model.get_submodule("blocks").children():
        block.get_submodule("inner.2").register_forward_hook(look)
        block.get_submodule("act").register_forward_hook(look)
    x = inputs(2, 3)
    model(x)
    n_seen = len(seen)
    program = convert(model, (2, 3))
    assert len(seen) == n_seen, "hooks are not called by convert"
    hooked = [
        z
        for step, z in zip(program.piecewise_steps, program.preactivations(x), strict=True)
        if step.name.endswith(("inner.2", "act"))
    ]
    assert len(hooked) == n_seen == 6
    for mine, theirs in zip(hooked, seen, strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-13, atol=1e-13)


def test_model_is_left_as_it_was() -> None:
    model = Net().to(torch.bfloat16)
    model.blocks[0].eval()
    model.head.weight.requires_grad_(False)
    model.blocks[1].register_forward_pre_hook(lambda module, args: None)

    def state() -> object:
        return [
            (
                name,
                module.training,
                len(module._forward_hooks),
                len(module._forward_pre_hooks),
                {k: id(v) for k, v in vars(module).items()},
            )
            for name, module in model.named_modules()
        ], [(name, p.requires_grad, p.dtype, p._version) for name, p in model.named_parameters()]

    before, tensors = state(), deepcopy(model.state_dict())
    generator = torch.get_rng_state()
    convert(model, (2, 3))
    assert state() == before
    assert all(torch.equal(v, tensors[k]) for k, v in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), generator)
    assert torch.is_grad_enabled()


def test_program_does_not_follow_later_training() -> None:
    model = mlp().double()
    program, x = convert(model, (3,)), inputs(3)
    before = program(x)
    with torch.no_grad():
        model.get_parameter("0.weight").zero_()
    assert torch.equal(program(x), before)


def test_forward_that_changes_the_model_changes_a_copy() -> None:
    class Counter(nn.Module):
        total: Tensor

        def __init__(self) -> None:
            super().__init__()
            self.calls, self.seen = 0, []
            self.register_buffer("total", torch.zeros(()))
            self.run: Function = self.step

        def step(self, x: Tensor) -> Tensor:
            self.calls += 1
            self.seen.append(x)
            self.total += 1
            return x.relu() * self.total

        def forward(self, x: Tensor) -> Tensor:
            return self.run(x)

    model = Counter()
    assert len(convert(model, (2,)).steps) == 2
    assert (model.calls, model.seen, model.total.item()) == (0, [], 0.0)


def test_tied_weights_and_modules_in_lists() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(4, 4)
            self.second = nn.Linear(4, 4)
            self.second.weight = self.first.weight
            self.extra = [nn.BatchNorm1d(4)]

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.extra[0](self.first(x).relu()).relu())

    model = Tied()
    program = convert(model, (4,))
    assert [s.name for s in program.steps] == ["first", "relu", "extra.0", "relu", "second"]
    assert model.extra[0].training


@pytest.mark.parametrize(
    "wrap",
    [
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        parametrizations.orthogonal,
        nn.utils.spectral_norm,
        partial(prune.l1_unstructured, name="weight", amount=0.5),
        pytest.param(
            nn.utils.weight_norm, marks=pytest.mark.filterwarnings("ignore::FutureWarning")
        ),
    ],
)
def test_reparametrised_weights(wrap: Callable[[nn.Module], nn.Module]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(wrap(nn.Linear(4, 4).double()), nn.ReLU()).eval()
    state = deepcopy(model.state_dict())
    x = inputs(4)
    torch.testing.assert_close(convert(model, (4,))(x), model(x))
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())


def test_weight_hooks_see_the_weights_of_now() -> None:
    layer = nn.Linear(4, 4).double()
    prune.l1_unstructured(layer, "weight", amount=0.5)
    with torch.no_grad():
        layer.get_parameter("weight_orig").mul_(2)
    x = inputs(4)
    torch.testing.assert_close(convert(layer, (4,))(x), layer(x))


def test_traced_graph_module() -> None:
    class Clipped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp()

        def forward(self, x: Tensor) -> Tensor:
            return F.hardtanh(self.net(x))

    names = [step.name for step in converted(torch.fx.symbolic_trace(Clipped()), 3).steps]
    assert names == ["net.0", "net.1", "net.2", "hardtanh"]


def test_inference_mode_does_not_matter() -> None:
    with torch.inference_mode():
        model = nn.Sequential(nn.Linear(3, 3), nn.ReLU(inplace=True))
        program = convert(model, (3,))
    assert [step.name for step in program.steps] == ["0", "1"]


def test_in_place_operation_changes_every_name_of_its_tensor() -> None:
    def forward(x: Tensor) -> Tensor:
        x = 2 * x
        same = x
        same.relu_()
        return x - 1

    assert [step.name for step in converted(Apply(forward), 4).steps] == ["mul", "relu", "sub"]


def test_what_the_output_does_not_need_is_left_out() -> None:
    def forward(x: Tensor) -> Tensor:
        h = 2 * x
        _side = torch.sin(h).float() + h.relu().sum()
        h.abs()
        return h + 1

    program = converted(Apply(forward), 4)
    assert [(s.name, s.inputs) for s in program.steps] == [("mul", (0,)), ("add", (1,))]
