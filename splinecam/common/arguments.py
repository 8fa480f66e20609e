"""Reading arguments: arrays of finite float64 numbers, integers, shapes, or a refusal."""

from __future__ import annotations

import math
import operator
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from splinecam.common.types import Floats
from splinecam.errors import InvalidArgumentError, InvalidSliceError, SplineCamError

LARGEST = np.float64(1e150)
"""The largest number that an argument may hold: squares and areas stay in float64's range.

(A numpy scalar: compared with it, float16 is widened.)
"""


def as_float64(
    name: str,
    values: ArrayLike,
    shape: tuple[int | str, ...],
    error: type[SplineCamError] = InvalidSliceError,
) -> Floats:
    """Copy an argument to a float64 array of finite numbers, or refuse it.

    Parameters
    ----------
    name : str
        The argument's name, for the messages.
    values : array_like
        Real numbers: a numpy array, a nested sequence or a torch tensor.
    shape : tuple of int or str
        The shape to accept; a letter such as ``"n"`` stands for any length.
    error : type, optional
        The exception to raise.
    """
    array = real_array(name, values, error)
    matches = array.ndim == len(shape) and all(
        isinstance(accepted, str) or length == accepted
        for length, accepted in zip(array.shape, shape, strict=True)
    )
    if not matches:
        accepted = str(shape).replace("'", "")
        raise error(f"{name} has shape {array.shape}; accepted: {accepted}")
    return array.astype(np.float64, order="C")


def real_array(
    name: str, values: ArrayLike, error: type[SplineCamError] = InvalidSliceError
) -> NDArray[Any]:
    """Return finite real numbers as an array of the dtype in which they came, or refuse them."""
    try:
        array = _as_array(values)
    except (TypeError, ValueError, RuntimeError) as cause:
        raise error(f"{name} is not an array of numbers: {cause}") from cause
    if array.dtype.kind not in "iuf" or not np.can_cast(array.dtype, np.float64):
        raise error(f"{name} has dtype {array.dtype}; accepted: integers or floats up to 64 bits")
    refused = array[~(np.abs(array) <= LARGEST)]
    if refused.size:
        raise error(
            f"{name} holds {refused[0]:g}; accepted: finite numbers (no NaN) up to {LARGEST:g}"
        )
    return array


def _as_array(values: Any) -> NDArray[Any]:
    """Convert arrays, nested sequences and torch tensors (which are known by `detach`)."""
    if isinstance(values, list | tuple):
        values = [_as_array(value) for value in values]
    elif hasattr(values, "detach"):
        values = values.detach().cpu()
        # numpy has no bfloat16 and no float8; float32 holds all of their values.
        if values.is_floating_point() and values.element_size() < 4:
            values = values.float()
    return np.asarray(values)


def check_integer(
    name: str,
    value: Any,
    low: int,
    high: float = math.inf,
    error: type[SplineCamError] = InvalidArgumentError,
) -> int:
    """Return an integer; refuse what is none, or not from `low` to `high`."""
    try:
        integer = operator.index(value)
    except TypeError:
        integer = low - 1
    if not low <= integer <= high:
        accepted = f">= {low}" if high == math.inf else f"from {low} to {high}"
        raise error(f"{name} is {value!r}; accepted: an integer {accepted}")
    return integer


def check_limit(name: str, value: Any) -> None:
    """Refuse what is neither a count of 1 or more nor None."""
    is_count = isinstance(value, int | np.integer) and not isinstance(value, bool)
    if value is not None and not (is_count and value >= 1):
        raise InvalidArgumentError(
            f"{name} is {value!r}; accepted: an integer of 1 or more, or None"
        )


def checked_shape(input_shape: tuple[int, ...] | None, dim: int) -> tuple[int, ...]:
    """Return the shape of one input of `dim` coordinates; default ``(dim,)``."""
    if input_shape is None:
        return (dim,)
    try:
        shape = tuple(operator.index(length) for length in input_shape)
    except TypeError:
        shape = ()
    if math.prod(shape) != dim or min(shape, default=0) < 1:
        raise InvalidSliceError(
            f"input_shape is {input_shape!r}; accepted: a tuple of positive integers"
            f" whose product is D = {dim}"
        )
    return shape


def flat_index(name: str, index: int | tuple[int, ...], shape: tuple[int, ...]) -> int:
    """Return a flat index or an index tuple into `shape` as a flat index."""
    size = math.prod(shape)
    try:
        flat = operator.index(
            np.ravel_multi_index(index, shape) if isinstance(index, tuple) else index
        )
    except (TypeError, ValueError):
        flat = -1
    if not 0 <= flat < size:
        raise InvalidSliceError(
            f"{name} is {index!r}; accepted: a flat index from 0 to {size - 1}"
            f" or an index tuple into the shape {shape}"
        )
    return flat


def refuse_few_coordinates(name: str, dim: int) -> None:
    """Refuse an input space that holds no plane."""
    if dim < 2:
        raise InvalidSliceError(
            f"{name}: the input space has D = {dim} coordinates; accepted: D >= 2"
        )


def refuse_repeated(name: str, kind: str, points: Floats) -> None:
    """Refuse points (n, D) of which two are equal; `kind` is what one of them is called."""
    first: dict[tuple[float, ...], int] = {}
    for index, point in enumerate(points.tolist()):
        earlier = first.setdefault(tuple(point), index)
        if earlier != index:
            raise InvalidSliceError(f"{name}: {kind} {earlier} and {kind} {index} are the same")
