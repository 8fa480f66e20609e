"""Handlers of average pooling, interpolation and folding.

Parameters of the handlers have the names of torch's own, since models may pass them by keyword.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from typing import Any

from torch.nn import functional

from splinecam.convert.calls import Call, Outcome
from splinecam.convert.moves import move
from splinecam.convert.table import named

_MODES = ("nearest", "nearest-exact", "linear", "bilinear", "trilinear", "area")


def _average_pool(call: Call, input: Any, kernel_size: Any, *args: Any, **kwargs: Any) -> int:
    n_dims = spatial_dims(call)
    return call.applied(
        getattr(functional, call.operation),
        kernel_size,
        *args,
        n_terms=prod(per_dim(kernel_size, n_dims)) + 2,
        n_dims=n_dims,
        **kwargs,
    )


def _adaptive_average_pool(call: Call, input: Any, output_size: Any) -> int:
    n_dims = spatial_dims(call)
    return call.applied(
        getattr(functional, call.operation),
        output_size,
        n_terms=_reach(call, n_dims) + 2,
        n_dims=n_dims,
    )


def _interpolate(
    call: Call,
    input: Any,
    size: Any = None,
    scale_factor: Any = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Outcome | Sequence[Outcome]:
    if mode not in _MODES:
        raise call.refusal(f"{mode} interpolation is not supported; accepted: {', '.join(_MODES)}")
    if mode.startswith("nearest"):
        return move(call)
    resampled = call.traced[0].dim() - 2
    return call.applied(
        functional.interpolate,
        size,
        scale_factor,
        mode,
        align_corners,
        recompute_scale_factor,
        antialias,
        n_terms=_reach(call, resampled) + 4 * resampled,
        n_dims=resampled,
    )


def _interpolate_operator(
    call: Call, input: Any, output_size: Any, align_corners: bool, scale_factors: Any = None
) -> Outcome | Sequence[Outcome]:
    mode = call.operation.removeprefix("upsample_")[:-2]
    return _interpolate(call, input, output_size, scale_factors, mode, align_corners)


def _fold(
    call: Call,
    input: Any,
    output_size: Any,
    kernel_size: Any,
    dilation: Any = 1,
    padding: Any = 0,
    stride: Any = 1,
) -> int:
    return call.applied(
        functional.fold,
        output_size,
        kernel_size,
        dilation,
        padding,
        stride,
        n_terms=prod(per_dim(kernel_size, 2)),
        n_dims=1,
    )


def _reach(call: Call, n_dims: int) -> int:
    """How many entries an entry of the result is made of at most, as the lengths change."""
    lengths = zip(call.input_shape[-n_dims:], call.output_shape[-n_dims:], strict=True)
    return prod(2 * ceil(old / new) + 1 for old, new in lengths)


def spatial_dims(call: Call) -> int:
    """How many dimensions an operation such as ``avg_pool2d`` has in its name."""
    return int(call.operation.removesuffix("_with_indices")[-2])


def per_dim(sizes: Any, n_dims: int) -> tuple[int, ...]:
    """An argument that torch takes as one number for all dimensions, or as one for each."""
    given = (sizes,) if isinstance(sizes, int) else tuple(sizes)
    return given * n_dims if len(given) == 1 else given


HANDLERS = named(
    {
        _average_pool: "avg_pool1d avg_pool2d avg_pool3d",
        _adaptive_average_pool: "adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d "
        "_adaptive_avg_pool2d _adaptive_avg_pool3d",
        _interpolate: "interpolate",
        _interpolate_operator: "upsample_linear1d upsample_bilinear2d upsample_trilinear3d",
        _fold: "fold col2im",
    }
)
