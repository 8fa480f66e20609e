"""Which weights a model may hold: finite floating-point numbers that are there."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from splinecam.errors import InvalidModelError


def check_weights(module: nn.Module, path: str) -> None:
    """Refuse parameters and buffers that do not stand for real numbers.

    Parameters
    ----------
    module : nn.Module
        The module whose own tensors are checked, not those of its children; it is only read.
    path : str
        Its path in the model.

    Raises
    ------
    InvalidModelError
        If a tensor is uninitialised, on the meta device, quantised, sparse, complex, not finite,
        or an integer parameter. The message names its path.
    """
    for name, tensor in module.named_parameters(path, recurse=False):
        for fault in _faults(tensor):
            raise InvalidModelError(f"parameter '{name}' {fault}")
        if not tensor.is_floating_point():
            raise InvalidModelError(
                f"parameter '{name}' has dtype {tensor.dtype}; weights have to be floating-point "
                "(float16, bfloat16, float32 or float64)"
            )
    for name, tensor in module.named_buffers(path, recurse=False):
        for fault in _faults(tensor):
            raise InvalidModelError(f"buffer '{name}' {fault}")


def _faults(tensor: Tensor) -> Iterator[str]:
    if is_lazy(tensor):
        yield "is not initialised: run the lazy model once on an example input before it is used"
    elif tensor.is_meta:
        yield "is on the meta device and has no data: load the weights before the model is used"
    elif tensor.is_quantized:
        yield f"is quantised ({tensor.dtype}); weights have to be floating-point: dequantise it"
    elif tensor.layout != torch.strided:
        yield f"has the layout {tensor.layout}; only dense tensors are accepted"
    elif tensor.is_complex():
        yield f"has dtype {tensor.dtype}; weights have to be real"
    elif not (values := tensor.double()).isfinite().all():
        what = "NaN" if values.isnan().any() else "an infinite value"
        yield f"holds {what}; weights have to be finite"
