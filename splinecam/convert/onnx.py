"""ONNX files as torch modules, by way of the optional packages onnx and onnx2torch."""

# The libraries of the extra may be missing where types are checked.
# pyright: reportMissingImports=false, reportAttributeAccessIssue=false
# pyright: reportMissingModuleSource=false

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from splinecam.errors import InvalidFileError, UnsupportedLayerError

_OPSET = 9
"""The oldest version of the operators that onnx2torch knows all over."""


def load_onnx(path: Path) -> nn.Module:
    """Read a network from an ONNX file.

    Raises
    ------
    InvalidFileError
        If the packages are not installed, or the file is not an ONNX model.
    UnsupportedLayerError
        If an operator of the model is not known to onnx2torch.
    """
    try:
        import onnx
        from google.protobuf.message import DecodeError
        from onnx import version_converter

        with _torchvision():
            from onnx2torch import convert
    except ImportError as error:
        raise InvalidFileError(
            f"{path}: ONNX files are read with the packages onnx and onnx2torch, of which one is "
            f"not installed ({error}); pip install splinecam[onnx]"
        ) from error
    try:
        model = onnx.load(str(path))
        onnx.checker.check_model(model)
        version = max((o.version for o in model.opset_import if not o.domain), default=_OPSET)
        if version < _OPSET:
            model = version_converter.convert_version(model, _OPSET)
    except (DecodeError, onnx.checker.ValidationError, RuntimeError) as error:
        raise InvalidFileError(f"{path} is not an ONNX model: {error}") from error
    try:
        return convert(_simplified(model, onnx)).eval()
    except (NotImplementedError, RuntimeError, ValueError) as error:
        raise UnsupportedLayerError(f"{path}: onnx2torch cannot convert it: {error}") from error


def _simplified(model: Any, onnx: ModuleType) -> Any:
    """The model without what inference leaves out, and with the paddings written as numbers.

    These are operators that onnx2torch does not know.
    """
    inferred = onnx.shape_inference.infer_shapes(model).graph
    shapes = {
        value.name: [size.dim_value for size in value.type.tensor_type.shape.dim]
        for value in (*inferred.input, *inferred.value_info)
    }
    for initializer in inferred.initializer:
        shapes[initializer.name] = list(initializer.dims)
    for node in model.graph.node:
        if node.op_type == "Dropout":
            node.op_type = "Identity"
            del node.input[1:], node.output[1:], node.attribute[:]
        if node.op_type in ("Conv", "MaxPool", "AveragePool"):
            _write_padding(node, shapes, onnx)
    return model


def _write_padding(node: Any, shapes: dict[str, list[int]], onnx: ModuleType) -> None:
    """Replace ``auto_pad="SAME_UPPER"`` or ``"SAME_LOWER"`` by the padding that it stands for."""
    attributes = {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}
    mode = attributes.get("auto_pad", b"NOTSET").decode()
    sizes = shapes.get(node.input[0], [])[2:]
    if not mode.startswith("SAME") or not sizes or not all(sizes):
        return
    kernel = attributes.get("kernel_shape") or shapes[node.input[1]][2:]
    strides = attributes.get("strides", [1] * len(kernel))
    dilations = attributes.get("dilations", [1] * len(kernel))
    # As many outputs as strides fit into the input (ONNX, operator Conv).
    totals = [
        max((-(-size // step) - 1) * step + gap * (k - 1) + 1 - size, 0)
        for size, step, gap, k in zip(sizes, strides, dilations, kernel, strict=True)
    ]
    smaller, larger = [t // 2 for t in totals], [t - t // 2 for t in totals]
    pads = smaller + larger if mode == "SAME_UPPER" else larger + smaller
    kept = [a for a in node.attribute if a.name not in ("auto_pad", "pads")]
    del node.attribute[:]
    node.attribute.extend([*kept, onnx.helper.make_attribute("pads", pads)])


@contextmanager
def _torchvision() -> Iterator[None]:
    """Let onnx2torch be imported where torchvision is not installed.

    Only its converters of two operators for detecting objects call it.
    """
    if "torchvision" in sys.modules or find_spec("torchvision") is not None:
        yield
        return
    names = ("torchvision", "torchvision.ops")
    stub, operators = map(ModuleType, names)
    vars(operators)["roi_align"] = None
    sys.modules.update(zip(names, (stub, operators), strict=True))
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
