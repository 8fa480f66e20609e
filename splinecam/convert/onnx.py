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
        return convert(model)
    except (NotImplementedError, RuntimeError, ValueError) as error:
        raise UnsupportedLayerError(f"{path}: onnx2torch cannot convert it: {error}") from error


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
