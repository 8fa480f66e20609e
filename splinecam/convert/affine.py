"""Handlers of arithmetic: sums, products with constants, means, batch norm.

Parameters of the handlers have the names of torch's own, since models may pass them by keyword.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import prod
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from splinecam.convert.calls import Call, Outcome
from splinecam.convert.table import named
from splinecam.convert.traced import Standing, TracedTensor
from splinecam.linear import Applied, Scale, Sum


def _add(call: Call, input: Any, other: Any, *, alpha: float = 1) -> int:
    return _combine(call, (1.0, input), (float(alpha), other))


def _sub(call: Call, input: Any, other: Any, *, alpha: float = 1) -> int:
    return _combine(call, (1.0, input), (-float(alpha), other))


def _rsub(call: Call, input: Any, other: Any, *, alpha: float = 1) -> int:
    return _combine(call, (-float(alpha), input), (1.0, other))


def _combine(call: Call, *terms: tuple[float, Any]) -> int:
    """The sum of factor times operand over two terms, one of which may be a constant."""
    if len(call.traced) > 1:
        rank = len(call.output_shape)
        inputs = tuple(call.with_rank(traced, rank) for traced in call.traced)
        return call.affine(Sum(tuple(factor for factor, _ in terms)), inputs=inputs)
    ((factor, _),) = [term for term in terms if isinstance(term[1], TracedTensor)]
    ((other, constant),) = [term for term in terms if not isinstance(term[1], TracedTensor)]
    return scale(call, torch.tensor(factor, dtype=torch.float64), other * call.entrywise(constant))


def _mul(call: Call, input: Any, other: Any) -> int:
    if len(call.traced) > 1:
        raise call.refusal(PRODUCT)
    return scale(call, call.entrywise(other if isinstance(input, TracedTensor) else input))


def _div(call: Call, input: Any, other: Any, *, rounding_mode: str | None = None) -> int:
    if isinstance(other, TracedTensor):
        raise call.refusal("division by a value of the network is not piecewise linear")
    if rounding_mode is not None:
        raise call.refusal("a division that rounds is not continuous")
    return scale(call, 1 / call.entrywise(other))


def _rdiv(call: Call, input: Any, other: Any) -> int:
    return _div(call, other, input)


def _neg(call: Call, input: Any) -> int:
    return scale(call, torch.tensor(-1.0, dtype=torch.float64))


def scale(call: Call, factor: Tensor, offset: Tensor | None = None) -> int:
    """Record a product with constants, and the sum with others."""
    value = call.with_rank(call.traced[0], len(call.output_shape))
    if call.output_shape != call.input_shape:
        factor = factor.expand(call.output_shape)
    return call.affine(Scale(call.finite(factor)), offset, inputs=(value,))


def _sum(
    call: Call,
    input: Any,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> int:
    return _reduce(call, torch.sum, dim, keepdim, n_roundings=0)


def _mean(
    call: Call,
    input: Any,
    dim: int | Sequence[int] | None = None,
    keepdim: bool = False,
    *,
    dtype: Any = None,
) -> int:
    return _reduce(call, torch.mean, dim, keepdim, n_roundings=2)


def _reduce(
    call: Call,
    function: Any,
    dim: int | Sequence[int] | None,
    keepdim: bool,
    *,
    n_roundings: int,
) -> int:
    dims = call.dims(dim or None if not isinstance(dim, int) else dim)
    reduced = partial(function, dim=tuple(d + 1 for d in dims), keepdim=keepdim)
    n_terms = prod(call.input_shape[d] for d in dims) + n_roundings
    return call.affine(Applied(reduced, (), n_terms))


def _cumsum(call: Call, input: Any, dim: int, *, dtype: Any = None) -> int:
    (meant,) = call.dims(dim)
    summed = partial(torch.cumsum, dim=meant + 1)
    return call.affine(Applied(summed, (), call.input_shape[meant]))


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
) -> int:
    if running_mean is None or running_var is None:
        raise call.refusal(
            "batch_norm without running statistics depends on the batch; track_running_stats=True "
            "is accepted"
        )
    mean, variance = call.constant(running_mean), call.constant(running_var)
    channels, *rest = call.input_shape[1 - call.recording.n_batch_dims :] or (1,)
    if (channels,) != mean.shape:
        raise call.misfit(f"({len(mean)}, …)")
    factor = (variance + eps).rsqrt()
    if weight is not None:
        factor = factor * call.constant(weight)
    shift = -mean * factor
    if bias is not None:
        shift = shift + call.constant(bias)
    call.makes(call.input_shape)
    per_channel = (len(mean), *(1 for _ in rest))
    return scale(call, factor.reshape(per_channel), shift.reshape(per_channel))


def _batch_norm_operator(
    call: Call,
    input: Any,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool = True,
) -> int:
    return _batch_norm(call, input, running_mean, running_var, weight, bias, eps=eps)


def _batch_norm_without_training(
    call: Call,
    input: Any,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    momentum: float,
    eps: float,
) -> Sequence[Outcome]:
    result = call.result
    value = _batch_norm(call, input, running_mean, running_var, weight, bias, eps=eps)
    call.result = result  # with two empty tensors
    nothing = Standing(value, call.refusal("the statistics of a batch are not known"))
    return [value, nothing, nothing]


PRODUCT = "the product of two values of the network is not piecewise linear"

HANDLERS = {
    functional.batch_norm: _batch_norm,
    torch.batch_norm: _batch_norm_operator,
    "aten::batch_norm": _batch_norm_operator,
    "aten::_native_batch_norm_legit_no_training": _batch_norm_without_training,
    **named(
        {
            _add: "add add_ __add__ __radd__ __iadd__",
            _sub: "sub sub_ subtract subtract_ __sub__ __isub__",
            _rsub: "rsub __rsub__",
            _mul: "mul mul_ multiply multiply_ __mul__ __rmul__ __imul__",
            _div: "div div_ divide divide_ true_divide true_divide_ __truediv__ __itruediv__",
            _rdiv: "__rdiv__ __rtruediv__",
            _neg: "neg neg_ negative negative_ __neg__",
            _sum: "sum",
            _mean: "mean",
            _cumsum: "cumsum",
        }
    ),
}
