"""Points of the input space, evaluated batch by batch on some device."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from splinecam.common.arguments import check_integer, real_array
from splinecam.errors import InvalidArgumentError

BATCH_INPUTS = 2**11
"""Inputs that are evaluated at a time, if they are small."""

BATCH_ENTRIES = 2**20
"""Entries of all inputs that are evaluated at a time, if they are large."""


def checked_points(points: ArrayLike) -> NDArray[Any]:
    """Return points (n, *input_shape), n >= 1, in the dtype in which they came, or refuse them."""
    x = real_array("points", points, InvalidArgumentError)
    if x.ndim < 2 or not x.size:
        raise InvalidArgumentError(
            f"points has shape {x.shape}; accepted: (n, *input_shape) with n >= 1"
        )
    return x


def checked_batch_size(batch_size: int | None, dim: int, per_point: int) -> int:
    """Return how many points are evaluated at a time, by default if it is None; or refuse it.

    Parameters
    ----------
    batch_size : int or None
        What the caller asks for.
    dim : int
        Entries of one input.
    per_point : int
        Inputs that are evaluated for each point.
    """
    if batch_size is None:
        return max(1, min(BATCH_INPUTS, BATCH_ENTRIES // dim) // per_point)
    check_integer("batch_size", batch_size, 1)
    return batch_size


def point_batches(points: NDArray[Any], size: int, device: torch.device) -> Iterator[Tensor]:
    """Yield points in float64 on a device, `size` at a time."""
    for start in range(0, len(points), size):
        yield torch.from_numpy(points[start : start + size].astype(np.float64)).to(device)


def input_size(points: NDArray[Any]) -> int:
    """Number of entries of one input."""
    return math.prod(points.shape[1:])


def checked_device(device: Any) -> torch.device:
    """Return a device that can hold float64, the CPU if it is None; or refuse it."""
    if device is None:
        return torch.device("cpu")
    try:
        chosen = torch.device(device)
        torch.empty(0, dtype=torch.float64, device=chosen)
    except (RuntimeError, TypeError, AssertionError, NotImplementedError) as error:
        raise InvalidArgumentError(
            f"device is {device!r}; accepted: a device of this machine that knows float64 ({error})"
        ) from error
    if chosen.type == "meta":
        raise InvalidArgumentError("device is 'meta', which holds no values")
    return chosen
