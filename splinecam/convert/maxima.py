"""Handlers of maxima and minima: pooling, over dimensions, and of two values.

Parameters of the handlers have the names of torch's own, since models may pass them by keyword.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any

import torch
from torch import Tensor

from splinecam.convert.averages import per_dim, spatial_dims
from splinecam.convert.calls import Call, Outcome
from splinecam.convert.piecewise import clamp
from splinecam.convert.table import named
from splinecam.convert.traced import Standing, TracedTensor
from splinecam.linear import Gather, Scale

# Pooling


def _max_pool(
    call: Call,
    input: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Sequence[Outcome]:
    n_dims = spatial_dims(call)
    windows = []
    for made, size, step, pad, spacing in zip(
        call.output_shape[-n_dims:],
        per_dim(kernel_size, n_dims),
        per_dim(stride or kernel_size, n_dims),
        per_dim(padding, n_dims),
        per_dim(dilation, n_dims),
        strict=True,
    ):
        starts = step * torch.arange(made) - pad
        windows.append(starts[:, None] + spacing * torch.arange(size))
    return _pool(call, windows)


def _adaptive_max_pool(
    call: Call, input: Any, output_size: Any, return_indices: bool = False
) -> Sequence[Outcome]:
    n_dims = spatial_dims(call)
    windows = []
    lengths = zip(call.input_shape[-n_dims:], call.output_shape[-n_dims:], strict=True)
    for length, made in lengths:
        starts = torch.arange(made) * length // made
        ends = -(-(torch.arange(made) + 1) * length // made)
        positions = starts[:, None] + torch.arange(int((ends - starts).max()))
        windows.append(torch.where(positions < ends[:, None], positions, -1))
    return _pool(call, windows)


def _pool(call: Call, windows: Sequence[Tensor]) -> Sequence[Outcome]:
    """Maxima over windows, given by the positions (n_windows, size) along each dimension.

    Positions outside of the value are padding.
    """
    n_dims = len(windows)
    outer, lengths = call.input_shape[:-n_dims], call.input_shape[-n_dims:]
    members = torch.arange(prod(outer))[:, None]
    for length, positions in zip(lengths, windows, strict=True):
        inside = (positions >= 0) & (positions < length)
        # (groups, members) × (windows, size) -> (groups, windows, members, size)
        joined = members[:, None, :, None] * length + positions[None, :, None, :]
        real = (members >= 0)[:, None, :, None] & inside[None, :, None, :]
        members = torch.where(real, joined, -1).flatten(2).flatten(0, 1)
    return _with_indices(call, call.maxima(members))


# Over dimensions


def _amax(call: Call, input: Any, dim: Any = None, keepdim: bool = False) -> int:
    return _largest(call, call.value, dim)


def _amin(call: Call, input: Any, dim: Any = None, keepdim: bool = False) -> int:
    return _negated(call, _largest(call, _negated(call, call.value), dim))


def _largest(call: Call, value: int, dim: Any) -> int:
    """Maxima over dimensions of the tensor (None or (): all) of a value like the one given."""
    dims = call.dims(dim if isinstance(dim, int) else dim or None)
    shape = call.input_shape
    outer = [d for d in range(len(shape)) if d not in dims]
    positions = torch.arange(prod(shape)).reshape(shape).permute(*outer, *sorted(dims))
    return call.maxima(positions.reshape(-1, prod(shape[d] for d in dims)), value=value)


def _max(
    call: Call,
    input: Any,
    other: Any = None,
    keepdim: bool = False,
    *,
    dim: int | None = None,
) -> Outcome | Sequence[Outcome]:
    """The three functions that torch has under this name."""
    if isinstance(other, Tensor):
        return _maximum(call, input, other)
    return _with_indices(call, _amax(call, input, other if dim is None else dim))


def _min(
    call: Call,
    input: Any,
    other: Any = None,
    keepdim: bool = False,
    *,
    dim: int | None = None,
) -> Outcome | Sequence[Outcome]:
    if isinstance(other, Tensor):
        return _minimum(call, input, other)
    return _with_indices(call, _amin(call, input, other if dim is None else dim))


def _with_indices(call: Call, value: int) -> Sequence[Outcome]:
    """The outcomes of a maximum that comes with its indices, or without them."""
    refusal = call.refusal(f"the indices that {call.operation} returns are not continuous")
    return [value] if isinstance(call.result, Tensor) else [value, Standing(value, refusal)]


# Of two values


def _maximum(call: Call, input: Any, other: Any) -> int:
    if len(call.traced) > 1:
        return call.maxima(_pairs(call), value=_joined(call))
    value, bound = _value_and_constant(call, input, other)
    return clamp(call, value, min=bound)


def _minimum(call: Call, input: Any, other: Any) -> int:
    if len(call.traced) > 1:
        joined = _negated(call, _joined(call))
        return _negated(call, call.maxima(_pairs(call), value=joined))
    value, bound = _value_and_constant(call, input, other)
    return clamp(call, value, max=bound)


def _value_and_constant(call: Call, input: Any, other: Any) -> tuple[Any, Any]:
    if not isinstance(other, Tensor):
        raise call.refusal(
            f"{call.operation} is accepted with two tensors, or with one and a dimension"
        )
    return (input, other) if isinstance(input, TracedTensor) else (other, input)


def _joined(call: Call) -> int:
    """Two values, broadcast to one shape, as one: (2, *shape)."""
    shape = call.output_shape
    inputs = tuple(call.with_rank(traced, len(shape)) for traced in call.traced)
    index, n_before = [], 0
    for value in inputs:
        n_entries = call.recording.n_entries(value)
        positions = torch.arange(n_entries).reshape(call.recording.shape_of(value))
        index.append((positions + n_before).expand(shape))
        n_before += n_entries
    return call.affine(Gather(torch.stack(index)), inputs=inputs, shape=(2, *shape))


def _pairs(call: Call) -> Tensor:
    """The members of the maxima in what `_joined` makes."""
    return torch.arange(2 * prod(call.output_shape)).reshape(2, -1).T


def _negated(call: Call, value: int) -> int:
    shape = call.recording.shape_of(value)
    minus = torch.tensor(-1.0, dtype=torch.float64)
    return call.affine(Scale(minus), inputs=(value,), shape=shape)


HANDLERS = named(
    {
        _max_pool: "max_pool1d max_pool2d max_pool3d max_pool1d_with_indices "
        "max_pool2d_with_indices max_pool3d_with_indices",
        _adaptive_max_pool: "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d "
        "adaptive_max_pool1d_with_indices adaptive_max_pool2d_with_indices "
        "adaptive_max_pool3d_with_indices",
        _amax: "amax",
        _amin: "amin",
        _max: "max",
        _min: "min",
        _maximum: "maximum fmax",
        _minimum: "minimum fmin",
    }
)
