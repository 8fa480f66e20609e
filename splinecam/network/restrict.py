"""Restricting a `Program` to a slice: the chain of dense layers that the engine cuts with."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from torch import Tensor

from splinecam.errors import InvalidSliceError
from splinecam.network.bounds import UNIT_ROUNDOFF
from splinecam.network.planar import Layer, PlanarNetwork
from splinecam.program import Affine, MatMul, PiecewiseLinear, Program, Reshape, Scale
from splinecam.slices import Slice

NO_ERROR = np.zeros(1)


def is_chain(program: Program) -> bool:
    """Whether a program is a chain of layers whose matrices are at hand."""
    return all(
        step.inputs == (index,)
        and isinstance(step, Affine | PiecewiseLinear)
        and (isinstance(step, PiecewiseLinear) or isinstance(step.linear, MatMul | Scale | Reshape))
        for index, step in enumerate(program.steps)
    )


def restrict(program: Program, slice_: Slice) -> PlanarNetwork:
    """The program as a function of plane coordinates.

    Affine steps between two piecewise-linear ones are composed into one dense matrix.

    Raises
    ------
    InvalidSliceError
        If the slice's input shape is not the program's.
    """
    if slice_.input_shape != program.input_shape:
        raise InvalidSliceError(
            f"slice: its points have shape {slice_.input_shape}, "
            f"the model takes inputs of shape {program.input_shape}"
        )
    frame = np.concatenate([slice_.basis, slice_.origin[None]])
    columns: Tensor | None = torch.from_numpy(frame).reshape(3, *slice_.input_shape)
    shape = program.input_shape
    layers = []
    affine_steps: list[Affine] = []
    for step in program.steps[: program.output]:
        if isinstance(step, Affine):
            affine_steps.append(step)
            continue
        assert isinstance(step, PiecewiseLinear)
        weight, bias, *errors = _composed(columns, affine_steps, shape)
        layers.append(Layer(step.name, weight, bias, *_function(step), *errors))
        columns, shape = None, step.shape
        affine_steps = []
    weight, bias, *_ = _composed(columns, affine_steps, shape)
    return PlanarNetwork(tuple(layers), weight, bias)


def _composed(
    columns: Tensor | None, steps: Sequence[Affine], shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Matrix (D, K) and offset (D,) of `steps` after the map with these columns (None: identity).

    `shape` is that of the value which the first step reads. Last come bounds of what rounding did
    to the rows of the matrix and to the offset, each (D,), or (1,) where it did nothing.
    """
    if len(steps) == 1 and len(shape) == 1 and isinstance(steps[0].linear, MatMul):
        # The common case, a layer of an MLP, needs no identity matrix and none of torch's threads.
        weight, offset = steps[0].linear.weight.numpy(), _offset(steps[0])
        if columns is None:
            return weight, offset, NO_ERROR, NO_ERROR
        return _on_plane(weight, offset, columns.numpy())
    dense = _dense(columns, steps, shape)
    return *dense, *_rounding(columns, steps, shape)


def _on_plane(
    weight: np.ndarray, offset: np.ndarray, frame: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """What `_composed` returns for a matrix (D, K) and an offset (D,) after columns (3, K)."""
    columns = weight @ frame.T
    magnitudes = np.abs(weight) @ np.abs(frame.T)
    unit = 2 * UNIT_ROUNDOFF * (weight.shape[1] + 2)  # see `_rounding`
    return (
        columns[:, :2].copy(),
        columns[:, 2] + offset,
        unit * (magnitudes[:, 0] + magnitudes[:, 1]),  # no less than the norm
        unit * (magnitudes[:, 2] + np.abs(offset)),
    )


def _dense(
    columns: Tensor | None, steps: Sequence[Affine], shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """The matrix and the offset of `_composed`."""
    columns = _identity(shape) if columns is None else columns
    for step in steps:
        columns = step.push(columns)
    flat = columns.reshape(len(columns), -1).numpy()
    return np.ascontiguousarray(flat[:-1].T), flat[-1].copy()


def _identity(shape: tuple[int, ...]) -> Tensor:
    """Columns of the identity map of a value, the constant column last."""
    size = prod(shape)
    return torch.eye(size + 1, size, dtype=torch.float64).reshape(size + 1, *shape)


def _rounding(
    columns: Tensor | None, steps: Sequence[Affine], shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of what rounding did to the rows of `_dense`'s matrix (D,) and its offset (D,).

    A product of n terms, computed in any order, is within n u / (1 - n u) of the product of the
    terms' absolute values (Higham, Accuracy and Stability of Numerical Algorithms, 2nd ed., §3.1);
    a chain of steps adds such an error for each, carried on by the absolute values of the later
    ones.
    """
    magnitudes = (_identity(shape) if columns is None else columns).abs()
    unit_roundoffs = 0.0
    for step in steps:
        magnitudes = step.magnitudes().push(magnitudes)
        unit_roundoffs += step.n_terms + 2
    flat = (UNIT_ROUNDOFF * 2 * unit_roundoffs * magnitudes.reshape(len(magnitudes), -1)).numpy()
    return np.linalg.norm(flat[:-1], axis=0), flat[-1].copy()


def _offset(step: Affine) -> np.ndarray:
    if step.offset is None:
        return np.zeros(prod(step.shape))
    offset = step.offset if step.offset.shape == step.shape else step.offset.expand(step.shape)
    return offset.numpy().reshape(-1)


def activation_layer(step: PiecewiseLinear) -> Layer:
    """The functions of a step's units, without an affine map before them."""
    empty = np.zeros((step.n_units, 0)), np.zeros(step.n_units)
    return Layer(step.name, *empty, *_function(step), NO_ERROR, NO_ERROR)


def _function(step: PiecewiseLinear) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Breakpoints, slopes and anchors of a `Layer`."""

    def table(tensor: Tensor) -> np.ndarray:
        if tensor.ndim == 1:
            return tensor.numpy()[None]
        array = tensor.numpy()
        is_shared = array.size == len(array)
        return (array.reshape(-1, 1) if is_shared else step.per_unit(tensor).numpy()).T

    return table(step.breakpoints), table(step.slopes), table(step.anchor[None])[:, 0]
