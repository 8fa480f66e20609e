"""Handlers of the elementwise piecewise-linear operations.

Parameters of the handlers have the names of torch's own, since models may pass them by keyword.
An operation's breakpoints are those of its definition, whether or not its slope changes there.
"""

from __future__ import annotations

from math import inf
from typing import Any

import torch
from torch import Tensor

from splinecam.convert.calls import Call
from splinecam.convert.table import named
from splinecam.convert.traced import TracedTensor
from splinecam.errors import InvalidModelError
from splinecam.linear import Scale


def _relu(call: Call, input: Any, inplace: bool = False) -> int:
    return call.piecewise([0.0], [0.0, 1.0], 0.0)


def _leaky_relu(call: Call, input: Any, negative_slope: float = 0.01, inplace: bool = False) -> int:
    return call.piecewise([0.0], [call.constant(negative_slope), 1.0], 0.0)


def _prelu(call: Call, input: Any, weight: Any) -> int:
    slope = call.constant(weight)
    channel_dim = 1 - call.recording.n_batch_dims
    channels, *rest = call.input_shape[channel_dim:] or (1,)
    if slope.numel() == 1:
        slope = slope.reshape(())
    elif slope.shape == (channels,):
        slope = slope.reshape(channels, *(1 for _ in rest))
    else:
        raise call.misfit(f"({slope.numel()}, …)")
    return call.piecewise([0.0], [slope, 1.0], 0.0)


def _rrelu(
    call: Call,
    input: Any,
    lower: float = 1 / 8,
    upper: float = 1 / 3,
    training: bool = False,
    inplace: bool = False,
) -> int:
    return call.piecewise([0.0], [(call.constant(lower) + call.constant(upper)) / 2, 1.0], 0.0)


def _absolute(call: Call, input: Any) -> int:
    return call.piecewise([0.0], [-1.0, 1.0], 0.0)


def _hardtanh(
    call: Call, input: Any, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> int:
    return clamp(call, input, min_val, max_val)


def _relu6(call: Call, input: Any, inplace: bool = False) -> int:
    return clamp(call, input, 0.0, 6.0)


def clamp(call: Call, input: Any, min: Any = None, max: Any = None) -> int:
    """Keep to bounds: numbers, or one for each unit."""
    if not isinstance(input, TracedTensor):
        raise call.refusal(f"{call.operation} has bounds that depend on the input")
    lower, upper = _bound(call, min, -inf), _bound(call, max, inf)
    if lower is None:
        return call.value if upper is None else call.piecewise([upper], [1.0, 0.0], upper)
    if upper is None:
        return call.piecewise([lower], [0.0, 1.0], lower)
    if (lower >= upper).all():
        zero = torch.zeros(call.output_shape, dtype=torch.float64)
        return call.affine(Scale(zero), upper.expand(call.output_shape))
    if (lower >= upper).any():
        raise call.refusal(f"{call.operation} has bounds that leave some units no interval")
    return call.piecewise([lower, upper], [0.0, 1.0, 0.0], lower)


def _clamp_min(call: Call, input: Any, min: Any) -> int:
    return clamp(call, input, min=min)


def _clamp_max(call: Call, input: Any, max: Any) -> int:
    return clamp(call, input, max=max)


def _bound(call: Call, bound: Any, nothing: float) -> Tensor | None:
    """A bound of clamp in float64, None where it is `nothing`, which bounds nothing."""
    if bound is None:
        return None
    constant = call.entrywise(bound)
    if (constant == nothing).all():
        return None
    if constant.isinf().any():
        raise call.refusal(
            f"{call.operation} has an infinite bound; bounds are finite, or bound nothing at all"
        )
    return constant


def _hardsigmoid(call: Call, input: Any, inplace: bool = False) -> int:
    return call.piecewise([-3.0, 3.0], [0.0, 1 / 6, 0.0], 0.0)


def _softshrink(call: Call, input: Any, lambd: float = 0.5) -> int:
    width = call.constant(lambd)
    if width < 0:
        raise InvalidModelError(f"{call.site}: softshrink has a negative width, {lambd}")
    return call.piecewise([-width, width], [1.0, 0.0, 1.0], 0.0) if width else call.value


def _hardshrink(call: Call, input: Any, lambd: float = 0.5) -> int:
    if call.constant(lambd) > 0:
        raise call.refusal(f"hardshrink is discontinuous at ±{lambd}; lambd=0 is accepted")
    return call.value


def _threshold(
    call: Call, input: Any, threshold: float, value: float, inplace: bool = False
) -> int:
    breakpoint, below = call.constant(threshold), call.constant(value)
    if breakpoint != below:
        raise call.refusal(
            f"threshold is discontinuous, since its value {value} is not its threshold {threshold}"
        )
    return call.piecewise([breakpoint], [0.0, 1.0], below)


HANDLERS = named(
    {
        _relu: "relu relu_",
        _leaky_relu: "leaky_relu leaky_relu_",
        _prelu: "prelu",
        _rrelu: "rrelu rrelu_",
        _absolute: "abs abs_ absolute absolute_ __abs__",
        _hardtanh: "hardtanh hardtanh_",
        _relu6: "relu6",
        clamp: "clamp clamp_ clip clip_",
        _clamp_min: "clamp_min clamp_min_",
        _clamp_max: "clamp_max clamp_max_",
        _hardsigmoid: "hardsigmoid hardsigmoid_",
        _softshrink: "softshrink",
        _hardshrink: "hardshrink",
        _threshold: "threshold threshold_ _threshold",
    }
)
