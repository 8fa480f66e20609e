"""Handlers of the affine operations.

Parameters of the handlers have the names of torch's own, since models may pass them by keyword.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from splinecam.convert.calls import Call
from splinecam.convert.table import named
from splinecam.convert.traced import TracedTensor
from splinecam.program import Affine, MatMul, Scale


def _linear(call: Call, input: Any, weight: Any, bias: Any = None) -> Affine:
    if not isinstance(input, TracedTensor):
        raise call.refusal("linear has weights that depend on the input")
    matrix = call.constant(weight)
    offset = None if bias is None else call.constant(bias).expand(len(matrix))
    return _multiply(call, matrix, offset)


def _matmul(call: Call, input: Any, other: Any) -> Affine:
    if len(call.traced) > 1:
        raise call.refusal(_PRODUCT)
    if not isinstance(input, TracedTensor):
        raise call.refusal("matmul has its constant on the left; only value @ matrix is accepted")
    matrix = call.constant(other)
    return _multiply(call, matrix.T if matrix.ndim == 2 else matrix)


def _rmatmul(call: Call, input: Any, other: Any) -> Affine:
    return _matmul(call, other, input)


def _multiply(call: Call, weight: Tensor, offset: Tensor | None = None) -> Affine:
    if weight.ndim != 2:
        raise call.refusal(
            f"{call.operation} has a constant of shape {tuple(weight.shape)}; a matrix is accepted"
        )
    if call.input_shape[-1:] != weight.shape[1:]:
        raise call.misfit(f"(…, {weight.shape[-1]})")
    call.makes((*call.input_shape[:-1], len(weight)))
    return call.affine(MatMul(call.finite(weight)), offset)


def _add(call: Call, input: Any, other: Any, *, alpha: float = 1) -> Affine:
    return _sum(call, (1.0, input), (float(alpha), other))


def _sub(call: Call, input: Any, other: Any, *, alpha: float = 1) -> Affine:
    return _sum(call, (1.0, input), (-float(alpha), other))


def _rsub(call: Call, input: Any, other: Any, *, alpha: float = 1) -> Affine:
    return _sum(call, (-float(alpha), input), (1.0, other))


def _sum(call: Call, *terms: tuple[float, Any]) -> Affine:
    """The sum of factor times operand over two terms, one of them a constant."""
    if len(call.traced) > 1:
        raise call.refusal(
            f"{call.operation} joins two values of the network; only chains are supported"
        )
    ((factor, _),) = [term for term in terms if isinstance(term[1], TracedTensor)]
    ((other, constant),) = [term for term in terms if not isinstance(term[1], TracedTensor)]
    return _scale(call, torch.tensor(factor, dtype=torch.float64), other * call.entrywise(constant))


def _mul(call: Call, input: Any, other: Any) -> Affine:
    if len(call.traced) > 1:
        raise call.refusal(_PRODUCT)
    return _scale(call, call.entrywise(other if isinstance(input, TracedTensor) else input))


def _div(call: Call, input: Any, other: Any, *, rounding_mode: str | None = None) -> Affine:
    if isinstance(other, TracedTensor):
        raise call.refusal("division by a value of the network is not piecewise linear")
    if rounding_mode is not None:
        raise call.refusal("a division that rounds is not continuous")
    return _scale(call, 1 / call.entrywise(other))


def _rdiv(call: Call, input: Any, other: Any) -> Affine:
    return _div(call, other, input)


def _neg(call: Call, input: Any) -> Affine:
    return _scale(call, torch.tensor(-1.0, dtype=torch.float64))


def _scale(call: Call, factor: Tensor, offset: Tensor | None = None) -> Affine:
    if call.output_shape != call.input_shape:
        factor = factor.expand(call.output_shape)
    return call.affine(Scale(call.finite(factor)), offset)


def _batch_norm(
    call: Call,
    input: Any,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Affine:
    if running_mean is None or running_var is None:
        raise call.refusal(
            "batch_norm without running statistics depends on the batch; track_running_stats=True "
            "is accepted"
        )
    mean, variance = call.constant(running_mean), call.constant(running_var)
    if call.input_shape[:1] != mean.shape:
        raise call.misfit(f"({len(mean)}, …)")
    scale = (variance + eps).rsqrt()
    if weight is not None:
        scale = scale * call.constant(weight)
    shift = -mean * scale
    if bias is not None:
        shift = shift + call.constant(bias)
    call.makes(call.input_shape)
    per_channel = (len(mean), *(1 for _ in call.input_shape[1:]))
    return _scale(call, scale.reshape(per_channel), shift.reshape(per_channel))


_PRODUCT = "the product of two values of the network is not piecewise linear"

HANDLERS = {
    functional.batch_norm: _batch_norm,
    **named(
        {
            _linear: "linear",
            _matmul: "matmul mm __matmul__",
            _rmatmul: "__rmatmul__",
            _add: "add add_ __add__ __radd__ __iadd__",
            _sub: "sub sub_ subtract subtract_ __sub__ __isub__",
            _rsub: "rsub __rsub__",
            _mul: "mul mul_ multiply multiply_ __mul__ __rmul__ __imul__",
            _div: "div div_ divide divide_ true_divide true_divide_ __truediv__ __itruediv__",
            _rdiv: "__rdiv__ __rtruediv__",
            _neg: "neg neg_ negative negative_ __neg__",
        }
    ),
}
