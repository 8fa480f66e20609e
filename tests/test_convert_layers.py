"""Conversion of layers that join, move, average and compare entries, in all their spellings."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from math import prod

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from small_models import Apply, Function, converted, in_double, inputs
from splinecam.convert import convert
from splinecam.program import (
    Affine,
    Applied,
    Convolution,
    Gather,
    MatMul,
    MaxGroups,
    Program,
    Reshape,
    Scale,
    Sum,
)


def checked(model: nn.Module, *shape: int) -> Program:
    """The program of a model, once each of its affine steps is its coefficients."""
    program = converted(model, *shape)
    shapes = [program.input_shape, *(step.shape for step in program.steps)]
    generator = torch.Generator().manual_seed(1)
    for step in program.steps:
        if not isinstance(step, Affine):
            continue
        read = [shapes[i] for i in step.inputs]
        xs = [torch.randn(3, *s, generator=generator, dtype=torch.float64) for s in read]
        zeros = [torch.zeros_like(x) for x in xs]
        expected = (step(*xs) - step(*zeros)).reshape(3, -1).numpy()
        rows = step.rows(np.arange(prod(step.shape)), *read)
        pairs = zip(xs, rows, strict=True)
        found = sum(x.reshape(3, -1).numpy() @ r.T for x, r in pairs)
        np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
        most = max(sum(np.diff(r.indptr) for r in rows), default=0)
        assert most <= max(step.n_terms, 1)
    assert torch.equal(pickle.loads(pickle.dumps(program))(inputs(*shape)), program(inputs(*shape)))
    return program


def constant(*shape: int) -> Tensor:
    return torch.arange(1.0, prod(shape) + 1, dtype=torch.float64).reshape(shape).sin()


def linear_maps(program: Program) -> set[type]:
    assert program.piecewise_steps == ()
    return {type(step.linear) for step in program.steps if isinstance(step, Affine)}


# Branches


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 1)
        self.norm, self.act = nn.BatchNorm2d(2), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        y = self.act(self.first(x))
        y = self.act(self.norm(self.second(y)) + x)
        return torch.cat([y - 2 * x, self.first(y), y], dim=1).mean((2, 3))


def test_residual_block() -> None:
    program = checked(Residual(), 2, 4, 3)
    names = [step.name for step in program.steps]
    assert names == "first act second norm add act mul sub first cat mean".split()  # noqa: SIM905
    assert [s.name for s in program.piecewise_steps] == ["act", "act"]
    (add,) = (step for step in program.steps if step.name == "add")
    assert add.inputs == (4, 0)


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: x + x, id="x + x"),
        pytest.param(lambda x: x - x.abs(), id="x - abs(x)"),
        pytest.param(lambda x: torch.sub(x, x.abs(), alpha=3), id="sub alpha"),
        pytest.param(lambda x: torch.rsub(x, x.abs(), alpha=3), id="rsub alpha"),
        pytest.param(lambda x: x[:, :1] + x[..., :1], id="both broadcast"),
        pytest.param(lambda x: x.abs().add_(x).mul_(2), id="in place"),
        pytest.param(lambda x: sum([x, x.abs(), 3, -x]), id="sum of a list"),
        pytest.param(lambda x: x.sum(-1, keepdim=True) - x, id="deviation from a sum"),
        pytest.param(lambda x: x.mean((1, 2))[:, None, None] * 2 + x, id="mean"),
        pytest.param(lambda x: x.cumsum(-1) / 2, id="cumsum"),
        pytest.param(lambda x: x.sum((-1, 1)), id="sum of all"),
    ],
)
def test_sums_of_values(function: Function) -> None:
    checked(Apply(function), 3, 4)


# Products with constants


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: x @ constant(4), id="value @ vector"),
        pytest.param(lambda x: x.mv(constant(4)) if x.dim() == 2 else x @ constant(4), id="mv"),
        pytest.param(lambda x: constant(5, 3) @ x, id="matrix @ value"),
        pytest.param(lambda x: constant(3) @ x, id="vector @ value"),
        pytest.param(lambda x: x.unsqueeze(1) @ constant(2, 4, 3), id="value @ matrices"),
        pytest.param(lambda x: constant(2, 5, 3) @ x.unsqueeze(1), id="matrices @ value"),
        pytest.param(
            lambda x: torch.bmm(x, constant(4, 2).expand(len(x), 4, 2)), id="bmm of one matrix"
        ),
        pytest.param(lambda x: torch.einsum("bij,jk->bik", x, constant(4, 2)), id="einsum"),
        pytest.param(lambda x: torch.einsum("ki, bij", constant(5, 3), x), id="einsum implicit"),
        pytest.param(
            lambda x: torch.einsum("...j,kj,k->...k", [x, constant(2, 4), constant(2)]),
            id="einsum with dots",
        ),
        pytest.param(lambda x: torch.einsum("bij->bji", x), id="einsum of one"),
        pytest.param(
            lambda x: torch.addmm(constant(2), x.flatten(1), constant(12, 2), beta=2, alpha=3),
            id="addmm",
        ),
    ],
)
def test_products_with_constants(function: Function) -> None:
    assert linear_maps(checked(Apply(function), 3, 4)) <= {MatMul, Applied, Reshape}


# Entries moved


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: x.transpose(1, -1), id="transpose"),
        pytest.param(lambda x: x.permute(0, 3, 1, 2), id="permute"),
        pytest.param(lambda x: x.mT, id="mT"),
        pytest.param(lambda x: torch.movedim(x, 1, 3), id="movedim"),
        pytest.param(lambda x: x.swapaxes(2, 3), id="swapaxes"),
        pytest.param(lambda x: x[:, 1], id="index"),
        pytest.param(lambda x: x[:, 0, ..., ::2], id="slice with a step"),
        pytest.param(lambda x: x[..., -1:], id="ellipsis"),
        pytest.param(lambda x: x[:, None, 1], id="None"),
        pytest.param(lambda x: x[:, [1, 0, 0]], id="list"),
        pytest.param(lambda x: x[:, :, torch.tensor([2, 0])], id="tensor"),
        pytest.param(lambda x: x[:, torch.tensor([True, False])], id="mask"),
        pytest.param(lambda x: x[: len(x)], id="whole batch"),
        pytest.param(lambda x: x.select(2, 1).narrow(-1, 1, 2), id="select, narrow"),
        pytest.param(lambda x: x.index_select(3, torch.tensor([3, 3, 0])), id="index_select"),
        pytest.param(
            lambda x: x.gather(3, torch.tensor([1, 0, 2]).expand(len(x), 2, 3, 3)), id="gather"
        ),
        pytest.param(lambda x: x.flip(1, 3), id="flip"),
        pytest.param(lambda x: x.roll((1, 2), (2, 3)), id="roll"),
        pytest.param(lambda x: x[:, :1].expand(-1, 5, 3, 4), id="expand"),
        pytest.param(lambda x: x[:, :1].expand(len(x), 5, 3, 4), id="expand to the batch"),
        pytest.param(lambda x: x.repeat(1, 2, 1, 3), id="repeat"),
        pytest.param(lambda x: torch.tile(x, (1, 2, 1)), id="tile"),
        pytest.param(lambda x: x.repeat_interleave(2, dim=1), id="repeat_interleave"),
        pytest.param(lambda x: torch.cat([x, -x, x], 1), id="cat"),
        pytest.param(lambda x: torch.cat([x, torch.ones(len(x), 2, 3, 1)], -1), id="cat constant"),
        pytest.param(lambda x: torch.stack([x, 2 * x], dim=2), id="stack"),
        pytest.param(lambda x: torch.hstack(x.chunk(2, 3)), id="chunk, hstack"),
        pytest.param(lambda x: x.split(3, -1)[1] - x.split([1, 3], -1)[0], id="split"),
        pytest.param(lambda x: x.unbind(2)[0] + x.tensor_split(3, 2)[1][:, :, 0], id="unbind"),
        pytest.param(lambda x: torch.tril(x) + x.triu(1), id="tril, triu"),
        pytest.param(lambda x: x.diagonal(dim1=2, dim2=3), id="diagonal"),
        pytest.param(lambda x: x.masked_fill(torch.eye(3, 4) > 0, 7.0), id="masked_fill"),
        pytest.param(
            lambda x: torch.where(torch.eye(3, 4) > 0, x, 2 * torch.ones_like(x)), id="where"
        ),
        pytest.param(lambda x: F.pad(x, (1, 2, 0, 1)), id="pad with zeros"),
        pytest.param(lambda x: F.pad(x, (1, 2, -1, 1), value=3.0), id="pad with a constant"),
        pytest.param(lambda x: F.pad(x, (1, 2, 0, 1), mode="reflect"), id="pad by reflection"),
        pytest.param(lambda x: F.pad(x, (1, 2, 0, 1), mode="replicate"), id="pad by replication"),
        pytest.param(lambda x: F.pad(x, (1, 2, 0, 1), mode="circular"), id="pad round"),
        pytest.param(nn.ZeroPad2d((1, 0, 2, 1)), id="ZeroPad2d"),
        pytest.param(nn.ReflectionPad2d(1), id="ReflectionPad2d"),
        pytest.param(nn.ReplicationPad2d(2), id="ReplicationPad2d"),
        pytest.param(nn.CircularPad2d(1), id="CircularPad2d"),
        pytest.param(nn.ConstantPad2d(1, -2.5), id="ConstantPad2d"),
        pytest.param(nn.PixelUnshuffle(1), id="PixelUnshuffle(1)"),
        pytest.param(nn.ChannelShuffle(2), id="ChannelShuffle"),
        pytest.param(nn.Unfold(2, dilation=1, padding=1, stride=2), id="Unfold"),
        pytest.param(lambda x: x.unfold(3, 2, 1), id="x.unfold"),
        pytest.param(nn.Upsample(scale_factor=2), id="Upsample nearest"),
        pytest.param(nn.Upsample((5, 3), mode="nearest-exact"), id="Upsample nearest-exact"),
    ],
)
def test_moved_entries(function: Function) -> None:
    model = function if isinstance(function, nn.Module) else Apply(function)
    shifted = Apply(lambda x: abs(model(x + 1)))  # a step before and after
    affine = [step for step in checked(shifted, 2, 3, 4).steps if isinstance(step, Affine)]
    assert {type(step.linear) for step in affine} <= {Scale, Gather, Reshape, Sum}


@pytest.mark.parametrize("module", [nn.PixelShuffle(2), nn.PixelUnshuffle(2)])
def test_pixel_shuffle(module: nn.Module) -> None:
    (step,) = checked(module, 4, 4, 2).steps
    assert isinstance(step, Affine)
    assert isinstance(step.linear, Gather)
    assert sorted(step.linear.index.flatten().tolist()) == list(range(32))


def test_move_that_changes_nothing_makes_no_step() -> None:
    program = checked(Apply(lambda x: (2 * x)[:, :, :].permute(0, 1, 2).chunk(1, 1)[0]), 2, 3)
    assert [step.name for step in program.steps] == ["mul"]


def test_crelu() -> None:
    program = checked(Apply(lambda x: torch.cat([x.relu(), (-x).relu()], 1)), 3)
    assert [step.name for step in program.steps] == ["relu", "neg", "relu", "cat"]


# Convolutions, averages, interpolation


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.Conv1d(2, 4, 3, stride=2, padding=1, dilation=2, groups=2), (2, 9)),
        (nn.Conv1d(2, 3, 2, bias=False), (2, 5)),
        (nn.Conv2d(2, 3, (2, 3), stride=(1, 2), padding=(0, 1)), (2, 5, 6)),
        (nn.Conv2d(2, 3, 3, padding="same"), (2, 5, 6)),
        (nn.Conv2d(2, 3, 3, padding="valid", dilation=2), (2, 5, 6)),
        *(
            (nn.Conv2d(2, 2, 3, padding=1, padding_mode=mode), (2, 4, 5))
            for mode in ("reflect", "replicate", "circular")
        ),
        (nn.Conv3d(2, 2, 2, padding=1), (2, 2, 3, 2)),
        (nn.ConvTranspose1d(2, 4, 3, stride=2, groups=2, output_padding=1), (2, 4)),
        (nn.ConvTranspose2d(2, 3, (2, 3), stride=2, padding=1, dilation=2), (2, 4, 3)),
        (nn.ConvTranspose3d(2, 2, 2, bias=False), (2, 2, 2, 3)),
        (nn.AvgPool1d(3, stride=2, padding=1, ceil_mode=True), (2, 8)),
        (nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 6, 5)),
        (nn.AvgPool2d((2, 3), divisor_override=5), (2, 6, 5)),
        (nn.AvgPool3d(2), (1, 4, 2, 3)),
        (nn.AdaptiveAvgPool1d(3), (2, 7)),
        (nn.AdaptiveAvgPool2d((None, 2)), (2, 4, 5)),
        (nn.AdaptiveAvgPool3d(1), (2, 2, 3, 2)),
        (nn.Upsample(7, mode="linear"), (2, 4)),
        (nn.Upsample(scale_factor=2, mode="bilinear"), (2, 3, 4)),
        (nn.Upsample((2, 3), mode="bilinear", align_corners=True), (2, 5, 7)),
        (nn.Upsample(scale_factor=1.5, mode="trilinear"), (1, 2, 3, 4)),
        (Apply(lambda x: F.interpolate(x, (3, 2), mode="area")), (2, 5, 5)),
        (Apply(lambda x: F.interpolate(x, 3, mode="bilinear", antialias=True)), (2, 7, 7)),
        (nn.Fold((4, 5), (2, 3), padding=1, stride=2), (12, 9)),
    ],
)
def test_linear_layers_that_torch_applies(module: nn.Module, shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    assert linear_maps(checked(module, *shape)) <= {Applied, Convolution, Gather}


def test_convolution_keeps_its_kernel_only() -> None:
    module = nn.Conv2d(3, 5, 3)
    (step,) = convert(module, (3, 20, 20)).steps
    assert isinstance(step, Affine)
    assert isinstance(step.linear, Convolution)
    assert step.n_terms == 27
    kernel = step.linear.weight
    assert torch.equal(kernel, module.weight.double())
    torch.testing.assert_close(
        step.magnitudes()(torch.ones(1, 3, 20, 20).double())[0, :, 0, 0],
        module.weight.double().abs().sum((1, 2, 3)) + module.bias.double().abs(),  # pyright: ignore
    )


# Maxima


def window_positions(module: nn.Module, x: Tensor) -> Tensor:
    """Flat positions of the largest entries, as torch's pooling returns them."""
    pool = in_double(module)
    pool.return_indices = True  # pyright: ignore[reportAttributeAccessIssue]
    return pool(x)[1]


POOLS = [
    (nn.MaxPool1d(3, stride=2, padding=1), (2, 8)),
    (nn.MaxPool1d(2, dilation=3, ceil_mode=True), (2, 9)),
    (nn.MaxPool2d(2), (2, 4, 6)),
    (nn.MaxPool2d((3, 2), stride=(2, 1), padding=(1, 0), dilation=(1, 2)), (2, 6, 5)),
    (nn.MaxPool2d(3, 2, ceil_mode=True), (2, 6, 6)),
    (nn.MaxPool3d(2, stride=1, padding=1), (2, 2, 3, 2)),
    (nn.AdaptiveMaxPool1d(3), (2, 8)),
    (nn.AdaptiveMaxPool2d((2, None)), (2, 5, 3)),
    (nn.AdaptiveMaxPool3d(1), (2, 2, 3, 2)),
]


@pytest.mark.parametrize(("module", "shape"), POOLS)
def test_max_pooling(module: nn.Module, shape: tuple[int, ...]) -> None:
    program = checked(module, *shape)
    (step,) = program.piecewise_steps
    assert isinstance(step, MaxGroups)
    rounded = (inputs(*shape) / 4).round()  # with ties
    for x in (inputs(*shape), rounded, torch.zeros_like(rounded)):
        torch.testing.assert_close(program(x), in_double(module)(x), rtol=0, atol=0)
        patterns = program.patterns(x)
        flat = step.members[torch.arange(step.n_units), patterns.long()]
        in_channel = flat.reshape(len(x), *step.shape) % prod(shape[1:])
        assert torch.equal(in_channel, window_positions(module, x))


def test_members_of_a_window_are_its_positions_in_row_major_order() -> None:
    (step,) = convert(nn.MaxPool2d(2, 2, padding=1), (1, 3, 3)).piecewise_steps
    assert isinstance(step, MaxGroups)
    assert step.members.tolist() == [[-1, -1, -1, 0], [-1, -1, 1, 2], [-1, 3, -1, 6], [4, 5, 7, 8]]


def largest(x: Tensor, dim: int) -> Tensor:
    return x.max(dim).values


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: largest(x, 1), id="max(dim)"),
        pytest.param(lambda x: torch.max(x, dim=-1, keepdim=True)[0], id="max(keepdim)"),
        pytest.param(lambda x: x.min(2).values, id="min(dim)"),
        pytest.param(lambda x: x.amax((1, -1)), id="amax"),
        pytest.param(lambda x: torch.amin(x, 2, keepdim=True), id="amin"),
        pytest.param(lambda x: torch.maximum(x, -x), id="maximum"),
        pytest.param(lambda x: torch.max(x[:, :1], x[:, :, 1:2]), id="max of broadcast values"),
        pytest.param(lambda x: torch.minimum(x, x.roll(1, 1)), id="minimum"),
        pytest.param(lambda x: x.fmax(x.flip(2)) - x.fmin(x.flip(2)), id="fmax, fmin"),
        pytest.param(lambda x: x.min(x.flip(1)), id="min of two"),
        pytest.param(lambda x: x.flatten(1).unflatten(1, (4, 3)).amax(2), id="maxout"),
    ],
)
def test_maxima_over_dimensions_and_of_values(function: Function) -> None:
    program = checked(Apply(function), 3, 4)
    assert all(isinstance(step, MaxGroups) for step in program.piecewise_steps)
    rounded = inputs(3, 4).round()
    torch.testing.assert_close(program(rounded), function(rounded), rtol=0, atol=0)


def test_groupsort() -> None:
    def sort_pairs(x: Tensor) -> Tensor:
        first, second = x.unflatten(1, (-1, 2)).unbind(2)
        pairs = torch.stack([torch.minimum(first, second), torch.maximum(first, second)], 2)
        return pairs.flatten(1)

    program, x = checked(Apply(sort_pairs), 6), inputs(6)
    assert torch.equal(program(x), x.reshape(-1, 3, 2).sort(2).values.flatten(1))
    assert [s.n_units for s in program.piecewise_steps] == [3, 3]


def test_patterns_are_those_that_hooks_see() -> None:
    torch.manual_seed(0)
    conv, relu, pool = nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)
    clip = nn.Hardtanh(-0.5, 0.5)
    model = nn.Sequential(conv, relu, pool, nn.Flatten(), nn.Linear(27, 5), clip).double()
    seen: list[Tensor] = []
    relu.register_forward_hook(lambda m, args, out: seen.append((args[0] > 0).flatten(1).byte()))
    pool.register_forward_pre_hook(lambda m, args: seen.append(kernel_positions(args[0])))
    clip.register_forward_hook(
        lambda m, args, out: seen.append((args[0] > -0.5).byte() + (args[0] > 0.5).byte())
    )

    def kernel_positions(z: Tensor) -> Tensor:
        flat = F.max_pool2d(z, 2, return_indices=True)[1]
        return (2 * (flat // 6 % 2) + flat % 6 % 2).flatten(1).byte()

    x = inputs(1, 6, 6)
    model(x)
    assert torch.equal(convert(model, (1, 6, 6)).patterns(x), torch.cat(seen, 1))


# Heads


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (nn.Softmax(dim=1), "2"),
        (nn.LogSoftmax(dim=-1), "2"),
        (nn.Sigmoid(), "2"),
        (Apply(torch.sigmoid), "2.sigmoid"),
        (Apply(lambda x: F.softmax(x, -1).squeeze(1).unsqueeze(1).clone()), "2.softmax"),
        (Apply(lambda x: x.log_softmax(1).reshape(len(x), 3, 1)), "2.log_softmax"),
    ],
)
def test_head_is_left_out_with_a_note(
    head: nn.Module, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    body = nn.Sequential(nn.Linear(4, 3), nn.ReLU())
    model = nn.Sequential(*body, head)
    with caplog.at_level("INFO", logger="splinecam"):
        program = convert(model, (4,))
    (note,) = caplog.messages
    assert note == f"'{name}' is left out: the partition does not depend on it"
    x = inputs(4)
    assert program.head is not None
    torch.testing.assert_close(program(x).flatten(1), in_double(body)(x))
    torch.testing.assert_close(program.head(program(x)), in_double(model)(x))


def test_model_without_a_head_has_none(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="splinecam"):
        assert convert(nn.Sequential(nn.Conv1d(2, 1, 1)), (2, 3)).head is None
    assert caplog.messages == []


# Models of one input


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: x.reshape(1, 12), id="fixed batch size"),
        pytest.param(lambda x: x.reshape(1, 3, 2, 2).abs().sum(1), id="fixed, and a sum"),
        pytest.param(lambda x: x.reshape(1, 3, 2, 2).amax((2, -1)), id="fixed, and maxima"),
        pytest.param(lambda x: F.conv1d(x.reshape(1, 3, 4), constant(2, 3, 2)), id="convolution"),
        pytest.param(lambda x: F.max_pool1d(x.reshape(1, 3, 4), 2), id="pooling"),
        pytest.param(lambda x: F.avg_pool1d(x.reshape(3, 4), 2).reshape(1, 6), id="no batch"),
        pytest.param(lambda x: F.softmax(x.reshape(1, 12), 1), id="head"),
        pytest.param(lambda x: nn.PReLU(3).double()(x.reshape(1, 3, 4)), id="PReLU"),
        pytest.param(
            lambda x: F.batch_norm(x.reshape(1, 3, 4), constant(3), constant(3).abs()), id="norm"
        ),
        pytest.param(lambda x: (constant(5, 12) @ x.reshape(12)).reshape(1, 5), id="matrix @"),
        pytest.param(lambda x: (x.reshape(12) @ constant(12, 5))[None], id="@ matrix"),
        pytest.param(
            lambda x: (x.reshape(1, 3, 4) + x.reshape(1, 3, 4)[0, 0]).flip(1), id="other ranks"
        ),
        pytest.param(
            lambda x: torch.maximum(x.reshape(1, 3, 4), x.reshape(3, 4)[1]), id="max of other ranks"
        ),
        pytest.param(lambda x: torch.einsum("ij,j->i", x.view(3, 4), constant(4))[None], id="ein"),
        pytest.param(lambda x: torch.cat([x.view(4, 3), x.view(4, 3)], 1).view(1, 24), id="cat"),
    ],
)
def test_model_that_takes_batches_of_one(function: Callable[[Tensor], Tensor]) -> None:
    program = convert(Apply(function), (3, 4))
    x = inputs(3, 4)
    expected = torch.cat([function(each[None]) for each in x])
    found = program(x) if program.head is None else program.head(program(x))
    torch.testing.assert_close(found, expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize(
    "function",
    [
        pytest.param(lambda x: x.flatten(0, 1).relu().reshape(len(x), 12), id="joined"),
        pytest.param(lambda x: x.transpose(0, 1).abs().transpose(0, 1), id="batch second"),
        pytest.param(lambda x: torch.stack([2 * each for each in x.unbind(0)]), id="one by one"),
        pytest.param(lambda x: x.unsqueeze(0).mean(-1).squeeze(0), id="one dimension more"),
    ],
)
def test_model_that_rearranges_its_batch(function: Function) -> None:
    checked(Apply(function), 3, 4)
