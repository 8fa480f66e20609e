"""Handlers of convolutions.

Parameters of the handlers have the names of torch's own, since models may pass them by keyword.
"""

from __future__ import annotations

from math import prod
from typing import Any

import torch
from torch import Tensor

from splinecam.convert.averages import per_dim
from splinecam.convert.calls import Call
from splinecam.convert.table import named
from splinecam.convert.traced import TracedTensor
from splinecam.linear import Convolution


def _convolve(
    call: Call,
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> int:
    kernel = _kernel(call, input, weight)
    offset, n_dims = _per_channel(call, bias, kernel), kernel.ndim - 2
    if len(call.input_shape) == n_dims + 1 and not isinstance(padding, str):
        stride, padding, dilation = (per_dim(x, n_dims) for x in (stride, padding, dilation))
        convolution = Convolution(call.finite(kernel), stride, padding, dilation, groups)
        return call.affine(convolution, offset)
    return call.applied(
        getattr(torch, call.operation),
        None,
        stride,
        padding,
        dilation,
        groups,
        weights=(kernel,),
        offset=offset,
        n_terms=prod(kernel.shape[1:]),
        n_dims=n_dims,
    )


def _convolve_transposed(
    call: Call,
    input: Any,
    weight: Any,
    bias: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> int:
    kernel = _kernel(call, input, weight)
    return call.applied(
        getattr(torch, call.operation),
        None,
        stride,
        padding,
        output_padding,
        groups,
        dilation,
        weights=(kernel,),
        offset=_per_channel(call, bias, kernel),
        n_terms=len(kernel) // groups * prod(kernel.shape[2:]),
        n_dims=kernel.ndim - 2,
    )


def _convolution(
    call: Call,
    input: Any,
    weight: Any,
    bias: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    transposed: bool,
    output_padding: Any,
    groups: int,
) -> int:
    """The operator that exported programs may have in the place of all others."""
    kernel = _kernel(call, input, weight)
    n_channels = len(kernel) // groups if transposed else kernel.shape[1]
    return call.applied(
        torch.convolution,
        None,
        stride,
        padding,
        dilation,
        transposed,
        output_padding,
        groups,
        weights=(kernel,),
        offset=_per_channel(call, bias, kernel),
        n_terms=n_channels * prod(kernel.shape[2:]),
        n_dims=kernel.ndim - 2,
    )


def _kernel(call: Call, input: Any, weight: Any) -> Tensor:
    if not isinstance(input, TracedTensor):
        raise call.refusal(f"{call.operation} has weights that depend on the input")
    return call.constant(weight)


def _per_channel(call: Call, bias: Any, kernel: Tensor) -> Tensor | None:
    return None if bias is None else call.constant(bias).reshape(-1, *(1 for _ in kernel.shape[2:]))


HANDLERS = named(
    {
        _convolve: "conv1d conv2d conv3d",
        _convolve_transposed: "conv_transpose1d conv_transpose2d conv_transpose3d",
        _convolution: "convolution",
    }
)
