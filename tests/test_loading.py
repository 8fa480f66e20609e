"""Models from files: ONNX and torch.export, read without running what is in them."""

from __future__ import annotations

import io
import json
import pickle
import sys
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import splinecam as sc
from small_models import inputs
from splinecam._loading import find_model
from splinecam.convert import convert
from splinecam.convert.forward import Forward
from splinecam.errors import (
    InvalidArgumentError,
    InvalidFileError,
    InvalidModelError,
    UnsupportedLayerError,
)

NETWORKS = Path(__file__).parents[2] / "shared" / "networks"

pytestmark = pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")


def network() -> nn.Module:
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.MaxPool2d(2))
    return nn.Sequential(body, nn.Flatten(), nn.Linear(8, 3), nn.LogSoftmax(1)).double().eval()


def exported(batch: int = 2, *, is_dynamic: bool = False) -> torch.export.ExportedProgram:
    example = torch.zeros(batch, 1, 6, 6, dtype=torch.float64)
    shapes = ({0: torch.export.Dim("n")},) if is_dynamic else None
    return torch.export.export(network(), (example,), dynamic_shapes=shapes)


def assert_is_network(model: nn.Module | torch.export.ExportedProgram) -> None:
    program, x = convert(model, (1, 6, 6)), inputs(1, 6, 6)[:5]
    torch.testing.assert_close(Forward(model, (1, 6, 6))(x), network()(x))
    assert program.head is not None
    torch.testing.assert_close(program.head(program(x)), network()(x))
    theirs = convert(network(), (1, 6, 6))
    assert torch.equal(program.patterns(x), theirs.patterns(x))


needs_onnx = pytest.mark.skipif(
    find_spec("onnx") is None or find_spec("onnx2torch") is None,
    reason="the extra splinecam[onnx] is not installed",
)

# torch.export


@pytest.mark.parametrize(
    ("batch", "is_dynamic"),
    [
        pytest.param(1, False, id="one input"),
        pytest.param(4, False, id="four inputs"),
        pytest.param(2, True, id="any batch"),
    ],
)
def test_exported_program(batch: int, is_dynamic: bool, tmp_path: Path) -> None:
    program = exported(batch, is_dynamic=is_dynamic)
    assert_is_network(program)
    torch.export.save(program, tmp_path / "model.pt2")
    assert_is_network(sc.load_model(tmp_path / "model.pt2"))


def test_exported_program_of_core_operators() -> None:
    assert_is_network(exported().run_decompositions())


def test_exported_program_with_a_fixed_batch_in_its_shapes() -> None:
    class Fixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.reshape(1, 4).relu().reshape(1, 2, 2).amax(1)

    program = torch.export.export(Fixed(), (torch.zeros(1, 2, 2),))
    x = inputs(2, 2)
    for model in (program, Fixed()):
        assert torch.equal(convert(model, (2, 2))(x), x.relu().amax(1))
        assert torch.equal(Forward(model, (2, 2))(x), x.relu().amax(1))


def test_exported_program_says_what_inputs_it_takes() -> None:
    with pytest.raises(InvalidModelError, match=r"inputs of shape \(2, 1, 6, 6\), .* \(1, 5, 6\)"):
        convert(exported(), (1, 5, 6))

    class Two(nn.Module):
        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return x + y

    program = torch.export.export(Two(), (torch.zeros(2, 3), torch.zeros(2, 3)))
    with pytest.raises(InvalidModelError, match="takes 2 inputs; one tensor is accepted"):
        convert(program, (3,))


def rewritten(path: Path, rewrite: Callable[[str, bytes], bytes]) -> Path:
    """Write an exported program whose entries went through a function of their name and data."""
    buffer = io.BytesIO()
    torch.export.save(exported(), buffer)
    with zipfile.ZipFile(buffer) as source, zipfile.ZipFile(path, "w") as target:
        for name in source.namelist():
            target.writestr(name, rewrite(name, source.read(name)))
    return path


class Harmful:
    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return sys.exit, (1,)


def harmful_sample(name: str, data: bytes) -> bytes:
    if "sample_inputs" not in name:
        return data
    buffer = io.BytesIO()
    torch.save(Harmful(), buffer)
    return buffer.getvalue()


def pickled_weights(name: str, data: bytes) -> bytes:
    if name.endswith("weights_config.json"):
        return data.replace(b'"use_pickle": false', b'"use_pickle": true')
    return pickle.dumps(Harmful()) if "weights/weight_" in name else data


def with_model(change: Callable[[dict], None]) -> Callable[[str, bytes], bytes]:
    def rewrite(name: str, data: bytes) -> bytes:
        if not name.endswith("models/model.json"):
            return data
        model = json.loads(data)
        change(model)
        return json.dumps(model).encode()

    return rewrite


def harmful_function(model: dict) -> None:
    model["graph_module"]["graph"]["nodes"][0]["target"] = "torch.os.abort"


def harmful_expression(model: dict) -> None:
    values = model["graph_module"]["graph"]["tensor_values"].values()
    next(iter(values))["sizes"][0] = {"as_expr": {"expr_str": "exit(1)", "hint": None}}


def harmful_name(model: dict) -> None:
    model["graph_module"]["graph"]["nodes"][0]["name"] = "x;exit()"


@pytest.mark.parametrize(
    ("rewrite", "message"),
    [
        (harmful_sample, "pickled sample inputs that are no tensors"),
        (pickled_weights, "pickled weights or constants"),
        (with_model(harmful_function), "the function 'torch.os.abort'"),
        (with_model(harmful_expression), r"the expression 'exit\(1\)'"),
        (with_model(harmful_name), r"the name 'x;exit\(\)'"),
    ],
)
def test_exported_program_that_would_run_code_is_refused(
    rewrite: Callable[[str, bytes], bytes], message: str, tmp_path: Path
) -> None:
    path = rewritten(tmp_path / "model.pt2", rewrite)
    with pytest.raises(InvalidFileError, match=f"model.pt2 holds {message}, which splinecam does"):
        sc.load_model(path)


def test_compiled_code_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "model.pt2", "w") as file:
        file.writestr("model/data/aotinductor/model/code.so", b"")
    with pytest.raises(InvalidFileError, match=r"model.pt2 holds compiled code"):
        sc.load_model(tmp_path / "model.pt2")


@pytest.mark.parametrize("data", [b"", b"no archive", None])
def test_file_that_is_no_exported_program_is_refused(data: bytes | None, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    if data is None:
        with zipfile.ZipFile(path, "w") as file:
            file.writestr("model/version", "3")
    else:
        path.write_bytes(data)
    with pytest.raises(InvalidFileError, match=r"is not a program that torch.export.save wrote"):
        sc.load_model(path)


# ONNX


def write_onnx(
    path: Path, nodes: list, shape: list[object], n_outputs: int, opset: int = 8, **weights
) -> Path:
    """Write a network of float32 values; weights become float32 constants, shapes int64."""
    import numpy as np
    from onnx import TensorProto, helper, numpy_helper, save

    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [shape[0], n_outputs])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()],
    )
    operators = helper.make_opsetid("", opset)
    save(helper.make_model(graph, opset_imports=[operators], ir_version=4), str(path))
    return path


def onnx_layers() -> tuple[list, dict]:
    import numpy as np
    from onnx.helper import make_node

    rng = np.random.default_rng(0)
    weights = {
        "kernel": rng.normal(size=(2, 1, 3, 3)).astype(np.float32),
        "flat": np.array([1, 8]),
        "matrix": rng.normal(size=(8, 3)).astype(np.float32),
        "bias": rng.normal(size=3).astype(np.float32),
    }
    nodes = [
        make_node("Conv", ["x", "kernel"], ["a"], pads=[0, 0, 0, 0]),
        make_node("MaxPool", ["a"], ["b"], kernel_shape=[2, 2], strides=[2, 2]),
        make_node("Relu", ["b"], ["c"]),
        make_node("Reshape", ["c", "flat"], ["d"]),
        make_node("MatMul", ["d", "matrix"], ["e"]),
        make_node("Add", ["e", "bias"], ["y"]),
    ]
    return nodes, weights


@needs_onnx
def test_onnx_file_with_a_fixed_batch_and_an_old_opset(tmp_path: Path) -> None:
    nodes, weights = onnx_layers()
    path = write_onnx(tmp_path / "net.onnx", nodes, [1, 1, 6, 6], 3, **weights)
    program, x = convert(sc.load_model(str(path)), (1, 6, 6)), inputs(1, 6, 6)
    kernel, matrix, bias = (
        torch.tensor(weights[name]).double() for name in ("kernel", "matrix", "bias")
    )
    hidden = nn.functional.max_pool2d(nn.functional.conv2d(x, kernel), 2).relu()
    torch.testing.assert_close(program(x), hidden.flatten(1) @ matrix + bias)
    assert [s.n_units for s in program.piecewise_steps] == [8, 8]
    assert "torchvision" not in sys.modules or hasattr(sys.modules["torchvision"], "__version__")


@needs_onnx
@pytest.mark.parametrize("mode", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(("size", "stride"), [(6, 1), (6, 2), (7, 2), (7, 3)])
def test_onnx_paddings_without_numbers(tmp_path: Path, mode: str, size: int, stride: int) -> None:
    import numpy as np
    from onnx.helper import make_node

    kernel = np.random.default_rng(0).normal(size=(1, 1, 3, 2)).astype(np.float32)
    strides = [stride, stride]
    node = make_node("Conv", ["x", "kernel"], ["y"], auto_pad=mode, strides=strides)
    path = write_onnx(tmp_path / "net.onnx", [node], ["n", 1, size, size], 9, 9, kernel=kernel)
    program, x = convert(sc.load_model(path), (1, size, size)), inputs(1, size, size)
    pads = []
    for width in (2, 3):  # of the kernel's last dimension first, as `pad` takes them
        total = max((-(-size // stride) - 1) * stride + width - size, 0)
        before = total // 2 if mode == "SAME_UPPER" else total - total // 2
        pads += [before, total - before]
    padded = nn.functional.pad(x, pads)
    expected = nn.functional.conv2d(padded, torch.tensor(kernel).double(), stride=stride)
    assert expected.shape[2:] == (-(-size // stride),) * 2
    torch.testing.assert_close(program(x).reshape(expected.shape), expected)


@needs_onnx
@pytest.mark.parametrize("opset", [9, 13])
def test_onnx_dropout_and_axes_given_as_tensors(tmp_path: Path, opset: int) -> None:
    import numpy as np
    from onnx.helper import make_node

    weights = {"matrix": np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)}
    nodes = [make_node("MatMul", ["x", "matrix"], ["a"]), make_node("Relu", ["a"], ["b"])]
    if opset == 9:
        nodes += [make_node("Dropout", ["b"], ["c", "mask"], ratio=0.25)]
        nodes += [make_node("Unsqueeze", ["c"], ["d"], axes=[1])]
        nodes += [make_node("Squeeze", ["d"], ["y"], axes=[1])]
    else:
        weights |= {"ratio": np.float32(0.25), "axes": np.array([1])}
        nodes += [make_node("Dropout", ["b", "ratio"], ["c"])]
        nodes += [make_node("Unsqueeze", ["c", "axes"], ["d"])]
        nodes += [make_node("Squeeze", ["d", "axes"], ["y"])]
    path = write_onnx(tmp_path / "net.onnx", nodes, ["n", 4], 3, opset, **weights)
    model = sc.load_model(path)
    assert not model.training
    x = inputs(4)
    expected = (x @ torch.tensor(weights["matrix"]).double()).relu()
    torch.testing.assert_close(convert(model, (4,))(x), expected)


@needs_onnx
def test_bad_onnx_files_are_refused(tmp_path: Path) -> None:
    from onnx.helper import make_node

    (tmp_path / "text.onnx").write_text("no network")
    with pytest.raises(InvalidFileError, match=r"text.onnx is not an ONNX model"):
        sc.load_model(tmp_path / "text.onnx")
    node = make_node("Upsample", ["x", "scales"], ["y"])
    lone = write_onnx(tmp_path / "lone.onnx", [node], [1, 2], 2)
    with pytest.raises(InvalidFileError, match=r"lone.onnx is not an ONNX model"):
        sc.load_model(lone)
    node = make_node("Multinomial", ["x"], ["y"])
    unknown = write_onnx(tmp_path / "unknown.onnx", [node], [1, 2], 1)
    with pytest.raises(UnsupportedLayerError, match=r"onnx2torch cannot convert it.*Multinomial"):
        sc.load_model(unknown)


def test_onnx_file_without_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(InvalidFileError, match=r"pip install splinecam\[onnx\]"):
        sc.load_model(tmp_path / "net.onnx")


@needs_onnx
@pytest.mark.skipif(not NETWORKS.is_dir(), reason="the networks are not there")
@pytest.mark.parametrize(
    ("name", "shape", "n_units"),
    [
        ("acas_1_1", (1, 1, 5), 300),
        ("mnist-net_256x2", (784, 1), 512),
        ("Convnet_maxpool", (1, 28, 28), 23328 + 1152),
        ("cifar10_small", (32, 32, 3), 2568),
        ("resnet_2b", (3, 32, 32), 6244),
    ],
)
def test_pretrained_network(name: str, shape: tuple[int, ...], n_units: int) -> None:
    model = sc.load_model(NETWORKS / f"{name}.onnx")
    program = convert(model, shape)
    x = inputs(*shape)[:4] / 4
    torch.testing.assert_close(program(x), Forward(model, shape)(x), rtol=1e-9, atol=1e-9)
    assert program.patterns(x).shape == (4, n_units)


def test_partition_of_an_exported_program() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 5), nn.ReLU(), nn.Linear(5, 1))
    slice_ = sc.Slice.box((-1, 1), (-1, 1))
    theirs = sc.compute_partition(torch.export.export(model, (torch.zeros(1, 2),)), slice_)
    assert theirs.n_regions == sc.compute_partition(model, slice_).n_regions > 5


# Names


def test_model_is_known_by_its_suffix(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError, match=r"net.pt is no .onnx or .pt2 file"):
        sc.load_model(tmp_path / "net.pt")


def test_command_line_names_files_and_factories(tmp_path: Path) -> None:
    torch.export.save(exported(), tmp_path / "model.pt2")
    assert_is_network(find_model(str(tmp_path / "model.pt2"), None))
    assert isinstance(find_model("small_models:mlp", None), nn.Sequential)
    with pytest.raises(InvalidArgumentError, match="has weights of its own"):
        find_model("model.onnx", Path("weights.pt"))
