"""Conversion of whole models: the program is the model, and the model stays as it was."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.utils import parametrizations, prune

from small_models import Apply, Function, converted, in_double, inputs, mlp
from splinecam.convert import convert
from splinecam.program import Affine


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


def test_plain_model_has_the_steps_that_following_it_records() -> None:
    class Followed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp()

        def forward(self, x: Tensor) -> Tensor:
            return self.net(x)

    plain, followed = convert(mlp(), (4, 3)), convert(Followed(), (4, 3))
    assert [f"net.{s.name}" for s in plain.steps] == [s.name for s in followed.steps]
    assert [(s.inputs, s.shape) for s in plain.steps] == [
        (s.inputs, s.shape) for s in followed.steps
    ]
    x = inputs(4, 3)
    assert torch.equal(plain(x), followed(x))
    (mine,), (theirs,) = plain.piecewise_steps, followed.piecewise_steps
    for table in ("breakpoints", "slopes", "anchor"):
        assert torch.equal(getattr(mine, table), getattr(theirs, table))


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


def test_in_place_operations_through_views() -> None:
    def forward(x: Tensor) -> Tensor:
        x = 2 * x
        x.view(-1, 2, 2).relu_()
        x[:, 0] = 0.5
        padded = torch.zeros(len(x), 6, dtype=x.dtype)
        padded[:, 1:5] = x - 1
        padded[:, :2].abs_()
        return padded

    program = converted(Apply(forward), 4)
    assert [step.name for step in program.piecewise_steps] == ["relu", "abs"]


def test_what_the_output_does_not_need_is_left_out() -> None:
    def forward(x: Tensor) -> Tensor:
        h = 2 * x
        _side = torch.sin(h).float() + h.relu().sum()
        h.abs()
        return h + 1

    program = converted(Apply(forward), 4)
    assert [(s.name, s.inputs) for s in program.steps] == [("mul", (0,)), ("add", (1,))]
