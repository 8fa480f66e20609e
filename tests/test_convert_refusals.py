"""Models that cannot be converted: every refusal is one error that names its cause."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, nan

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

import splinecam.convert
from small_models import Apply, Function, mlp
from splinecam.convert import convert
from splinecam.errors import InvalidArgumentError, InvalidModelError, UnsupportedLayerError


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (torch.sin, r"sin is not piecewise linear; accepted are Linear, .*Softshrink"),
        (lambda x: x**2, "pow is not piecewise linear"),
        (torch.round, "round is not continuous"),
        (lambda x: (x > 0) * 1.0, "gt is not continuous"),
        (lambda x: x.long(), "long is not continuous"),
        (lambda x: x.to(torch.int32), "conversion to torch.int32 is not piecewise linear"),
        (lambda x: x.sort(1).values, "sort is not an operation that splinecam knows"),
        (F.hardswish, "hardswish is piecewise quadratic"),
        (lambda x: F.hardshrink(x), "hardshrink is discontinuous at ±0.5; lambd=0 is accepted"),
        (
            lambda x: F.threshold(x, 0.0, 1.0),
            "threshold is discontinuous, since its value 1.0 is not its threshold 0.0",
        ),
        (lambda x: x * x, "product of two values of the network is not piecewise linear"),
        (lambda x: x @ x.relu(), "product of two values of the network is not piecewise linear"),
        (lambda x: 1 / x, "division by a value of the network is not piecewise linear"),
        (lambda x: x.div(2, rounding_mode="floor"), "a division that rounds is not continuous"),
        (lambda x: x.max(1).indices + x, "the indices that max returns are not continuous"),
        (lambda x: x.max(), "max mixes the batch dimension, which comes first, with the features"),
        (lambda x: x.mean(0, keepdim=True) + x, "mean mixes the batch dimension"),
        (lambda x: x.cumsum(0), "cumsum mixes the batch dimension"),
        (lambda x: torch.einsum("bi,bj->ij", x, torch.ones(97, 4).to(x)), "einsum mixes the batch"),
        (lambda x: x.flip(0), "flip mixes the batch dimension"),
        (lambda x: x - x[:1], "sub mixes the batch dimension"),
        (lambda x: torch.cat([x, x]), "cat mixes the batch dimension"),
        (lambda x: x[:50], "getitem mixes the batch dimension"),
        (lambda x: torch.ones(2, 97).to(x) @ x, "matmul mixes the batch dimension"),
        (lambda x: F.conv1d(x, torch.ones(1, 97, 2).to(x)), "conv1d mixes the batch dimension"),
        (lambda x: torch.einsum("bi,bi->b", x, x), "product of two values of the network"),
        (lambda x: F.softmax(x, 1) + 1, "softmax is not piecewise linear; it is accepted as the l"),
        (
            lambda x: F.max_pool1d(x, 2, return_indices=True)[1] * 1.0,
            "the indices that max_pool1d_with_indices returns are not continuous",
        ),
        (lambda x: F.interpolate(x[:, None, None], 8, mode="bicubic"), "bicubic interpolation is"),
        (lambda x: F.linear(x, torch.ones(4)), r"constant of shape \(4,\); a matrix is accepted"),
        (lambda x: F.linear(torch.ones(1, 4), x), "linear has weights that depend on the input"),
        (lambda x: x.view(-1), "mixes the batch dimension"),
        (lambda x: x + torch.ones(2, 1, 4), r"constant of shape \(2, 1, 4\), which differs"),
        (lambda x: x + torch.arange(97)[:, None], "which differs from one entry of the batch"),
        (lambda x: x * 1j, "mul has a constant of type complex"),
        (lambda x: torch.clamp(torch.ones(4), max=x), "bounds that depend on the input"),
        (lambda x: x.clamp(min=inf), "clamp has an infinite bound"),
        (lambda x: x.clamp(torch.tensor([0, 0, 0, -inf])), "clamp has an infinite bound"),
        (
            lambda x: x.clamp(torch.tensor([0, 0, 0, 2]), torch.tensor(1)),
            "leave some units no interval",
        ),
        (lambda x: x[:, :1].clamp(torch.zeros(4)), "constants of a larger shape than the value"),
        (
            lambda x: (x @ torch.ones(4, 1)).clamp(torch.zeros(4)),
            "constants of a larger shape than the value",
        ),
        (
            lambda x: F.batch_norm(x, None, None, training=True),
            "batch_norm without running statistics depends on the batch",
        ),
        (lambda x: x + torch.randn(4), "draws random numbers in evaluation mode"),
        (lambda x: x + torch.rand_like(x), "rand_like is not an operation"),
    ],
)
def test_operation_that_is_not_piecewise_linear_is_refused(
    function: Function, message: str
) -> None:
    with pytest.raises(UnsupportedLayerError, match=message):
        convert(Apply(lambda x: function(x.double())), (4,))


@pytest.mark.parametrize(
    ("module", "shape", "message"),
    [
        (nn.GELU(), (4,), r"^'1' \(GELU\): gelu is not piecewise linear"),
        (nn.Hardshrink(), (4,), r"^'1' \(Hardshrink\): hardshrink is discontinuous"),
        (nn.Threshold(0, 1), (4,), r"^'1' \(Threshold\): threshold is discontinuous"),
        (nn.LayerNorm(4), (4,), r"^'1' \(LayerNorm\): layer_norm is not piecewise linear"),
        (nn.BatchNorm1d(4, track_running_stats=False), (4,), r"^'1' \(BatchNorm1d\): .*running"),
        (
            nn.TransformerEncoderLayer(4, 2, batch_first=True),
            (3, 4),
            r"^'1.self_attn' \(MultiheadAttention\)",
        ),
    ],
)
def test_unsupported_module_is_named(
    module: nn.Module, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(UnsupportedLayerError, match=message):
        convert(nn.Sequential(nn.Linear(4, 4), module), shape)


def test_refusal_names_the_line_of_a_custom_forward() -> None:
    class Wavy(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.sin(x)

    message = (
        r"^'1' \(Wavy\), test_convert_refusals.py line \d+ \(`return torch.sin\(x\)`\): sin is not"
    )
    with pytest.raises(UnsupportedLayerError, match=message):
        convert(nn.Sequential(nn.Linear(4, 4), Wavy()), (4,))


@pytest.mark.parametrize(
    ("condition", "operation"),
    [
        pytest.param(lambda x: x.sum() > 0, "bool", id="bool"),
        pytest.param(lambda x: (x > 0).any(), "bool", id="any"),
        pytest.param(lambda x: x[0, 0].item() > 0, "item", id="item"),
        pytest.param(lambda x: float(x.max()) > 0, "float", id="float"),
        pytest.param(lambda x: x.detach().numpy().any(), "numpy", id="numpy"),
        pytest.param(lambda x: x.tolist()[0][0], "tolist", id="tolist"),
    ],
)
def test_control_flow_that_depends_on_data_is_refused(
    condition: Function, operation: str, capfd: pytest.CaptureFixture[str]
) -> None:
    class Branching(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if condition(x) else -x

    message = (
        rf"^'1' \(Branching\), test_convert_refusals.py line \d+ .*reads the value of a tensor "
        rf"\({operation}\); control flow that depends on the data cannot be followed"
    )
    with pytest.raises(UnsupportedLayerError, match=message):
        convert(nn.Sequential(nn.Linear(4, 4), Branching()), (4,))
    assert capfd.readouterr() == ("", "")  # torch.export, which prints graphs, is not asked


def test_change_of_a_view_and_data_is_refused_by_its_line() -> None:
    def forward(x: Tensor) -> Tensor:
        x = 2 * x
        x[:, 0] = 0
        return x if x.sum() > 0 else -x

    with pytest.raises(UnsupportedLayerError, match=r"line \d+ \(`return x if.*value of a tensor"):
        convert(Apply(forward), (4,))


def test_change_of_a_view_is_refused_where_torch_export_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forward(x: Tensor) -> Tensor:
        x = 2 * x
        x.float().relu_()
        return x.abs()

    monkeypatch.setattr(splinecam.convert, "export", lambda *_: None)
    with pytest.raises(UnsupportedLayerError, match="changed in place, through a view"):
        convert(Apply(forward), (4,))


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(lambda: torch.jit.script(mlp()), id="script"),
        pytest.param(lambda: torch.jit.trace(mlp(), torch.zeros(1, 3)), id="trace"),
        pytest.param(lambda: nn.Sequential(torch.jit.script(mlp())), id="script inside"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_is_refused(model: Callable[[], nn.Module]) -> None:
    with pytest.raises(UnsupportedLayerError, match="TorchScript, which cannot be followed"):
        convert(model(), (3,))


def test_forward_set_on_the_instance_is_refused() -> None:
    model = mlp()
    model[1].forward = torch.sin
    with pytest.raises(UnsupportedLayerError, match=r"^'1' \(ReLU\) has a forward of its own"):
        convert(model, (3,))


def spoilt(path: str, value: object) -> nn.Module:
    model = nn.Sequential(mlp(), nn.BatchNorm1d(2))
    if isinstance(value, float):
        model.state_dict()[path].view(-1)[0] = value
    else:
        parent, name = path.rsplit(".", 1)
        module = model.get_submodule(parent)
        tensor = getattr(module, name).detach().to(value)
        setattr(module, name, nn.Parameter(tensor, requires_grad=False))
    return model


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (spoilt("0.2.weight", nan), "parameter '0.2.weight' holds NaN"),
        (spoilt("0.0.bias", -inf), "parameter '0.0.bias' holds an infinite value"),
        (spoilt("1.running_var", nan), "buffer '1.running_var' holds NaN"),
        (spoilt("0.0.weight", torch.int64), "parameter '0.0.weight' has dtype torch.int64"),
        (spoilt("0.0.weight", torch.complex64), "'0.0.weight' has dtype torch.complex64.*real"),
        (spoilt("0.0.weight", "meta"), "parameter '0.0.weight' is on the meta device"),
        (nn.Sequential(nn.LazyLinear(3)), "parameter '0.weight' is not initialised"),
        (nn.Sequential(nn.LazyBatchNorm1d()), "parameter '0.weight' is not initialised"),
        (spoilt("1.running_var", -1.0), r"^'1' \(BatchNorm1d\).*coefficients.*not finite"),
        (nn.LeakyReLU(nan), "leaky_relu has a constant that is NaN"),
        (nn.LeakyReLU(inf), "coefficients of leaky_relu are not finite"),
        (Apply(lambda x: x.clamp(nan, 1)), "clamp has a constant that is NaN"),
        (Apply(lambda x: x / 0), "coefficients of div are not finite in float64"),
        (nn.Sequential(), r"the model \(Sequential\) is empty: its output is its input"),
        (nn.Identity(), r"the model \(Identity\) is empty"),
        (nn.Module(), r"the model \(Module\) fails.*missing the required \"forward\""),
        (Apply(lambda x: (x, x)), r"the model \(Apply\) returns a tuple; one tensor is accepted"),
        (Apply(lambda x: {"y": x}), "returns a dict; one tensor is accepted"),
        (Apply(lambda x: torch.ones(3)), r"output of the model \(Apply\) does not depend on its"),
        (
            nn.Bilinear(3, 3, 1),
            r"Bilinear\) has a forward that takes \(input1.*callable with one tensor",
        ),
        (nn.Linear(4, 2), r"Linear\) expects values of shape \(…, 4\), the value has shape \(3,\)"),
        (
            nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(5)),
            r"^'1' \(BatchNorm1d\) expects values of shape \(5, …\), the value has shape \(4,\); "
            r"the model was given inputs of shape \(3,\)",
        ),
        (nn.PReLU(2), r"PReLU\) expects values of shape \(2, …\), the value has shape \(3,\)"),
        (nn.BatchNorm2d(3), r"BatchNorm2d\) fails on a batch of inputs of shape \(3,\)"),
        (nn.Softshrink(-1), r"Softshrink\): softshrink has a negative width, -1"),
        (
            Apply(lambda x: F.linear(x, torch.ones(2, 3), torch.ones(3))),
            "fails on a batch of inputs",
        ),
        (
            Apply(lambda x: x.view(len(x), 2, 2)),
            r"the model \(Apply\), test_convert_refusals.py line \d+ .* fails on a batch of inputs "
            r"of shape \(3,\): RuntimeError: shape '\[97, 2, 2\]' is invalid",
        ),
        (Apply(lambda x: x.no_such_method()), "fails on a batch.*AttributeError.*no_such_method"),
    ],
)
def test_bad_model_is_refused(model: nn.Module, message: str) -> None:
    with pytest.raises(InvalidModelError, match=message):
        convert(model, (3,))


@pytest.mark.filterwarnings("ignore:.*quantiz:UserWarning", "ignore::DeprecationWarning")
def test_quantised_tensors_are_refused() -> None:
    model = nn.Sequential(mlp(), nn.BatchNorm1d(2))
    weight = torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8)
    model.register_buffer("table", weight)
    with pytest.raises(InvalidModelError, match=r"buffer 'table' is quantised \(torch.qint8\)"):
        convert(model, (3,))


def test_sparse_tensors_are_refused() -> None:
    model = nn.Sequential(mlp(), nn.BatchNorm1d(2))
    model.register_buffer("mask", torch.eye(2).to_sparse())
    with pytest.raises(InvalidModelError, match="buffer 'mask' has the layout"):
        convert(model, (3,))


def test_model_has_to_be_a_module() -> None:
    with pytest.raises(
        InvalidModelError, match=r"model has to be an nn\.Module or .*, got function"
    ):
        convert(mlp, (3,))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("input_shape", [3, (), [3], (0,), (-1,), (3.0,), None])
def test_input_shape_has_to_be_a_tuple_of_sizes(input_shape: object) -> None:
    with pytest.raises(InvalidArgumentError, match="input_shape has to be a tuple of positive"):
        convert(mlp(), input_shape)  # pyright: ignore[reportArgumentType]
