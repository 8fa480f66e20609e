"""A program whose activation patterns are held: the affine map of a region, differentiated.

Where a region is small, or a line runs along an edge, rounding would decide on which piece of a
unit's function an evaluation lands. Derivatives here are those of given pieces instead.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from splinecam.convert import convert
from splinecam.errors import InvalidArgumentError
from splinecam.program import Affine, MaxGroups, PiecewiseLinear, Program


def program_of(
    model: nn.Module, input_shape: tuple[int, ...], names: tuple[str, ...], sizes: tuple[int, ...]
) -> Program:
    """Convert a model; refuse it if its layers are not those that were computed with."""
    program = convert(model, input_shape)
    found = tuple((step.name, step.n_units) for step in program.piecewise_steps)
    expected = tuple(zip(names, sizes, strict=True))
    if found != expected:
        raise InvalidArgumentError(
            f"model has the layers (name, units) {found}; accepted: a model with {expected}"
        )
    return program


def held_values(
    program: Program, x: Tensor, patterns: NDArray[np.unsignedinteger], layer: int | None = None
) -> Tensor:
    """Evaluate a program, to be differentiated with respect to its input.

    Parameters
    ----------
    program : Program
    x : Tensor
        (n, *input_shape) float64.
    patterns : ndarray
        (n, units) unsigned, all layers' units: which piece's slope the derivative of each unit is.
    layer : int, optional
        Return the activations of this piecewise-linear step. Default: the output.

    Returns
    -------
    Tensor
        (n, *shape): the values are those of the program at x.
    """
    pieces = torch.from_numpy(patterns.astype(np.int64)).to(x.device)
    values, start, n_layers = [x], 0, 0
    for step in program.steps:
        inputs = [values[i] for i in step.inputs]
        if isinstance(step, Affine):
            values.append(step(*inputs))
            continue
        own = pieces[:, start : start + step.n_units]
        values.append(_on_pieces(step, inputs[0], own))
        if n_layers == layer:
            return values[-1]
        start, n_layers = start + step.n_units, n_layers + 1
    return values[program.output]


def _on_pieces(step: PiecewiseLinear | MaxGroups, z: Tensor, pieces: Tensor) -> Tensor:
    """Activations of a step that reads z (n, *its_shape), with derivatives of pieces (n, units)."""
    fixed = z.detach()
    if isinstance(step, MaxGroups):
        members = step.members.to(z.device)
        chosen = members[torch.arange(step.n_units, device=z.device), pieces]
        way = (z - fixed).flatten(1).gather(1, chosen)
        return step(fixed) + way.reshape(-1, *step.shape)
    slopes = step.per_unit(step.slopes).to(z.device).gather(0, pieces).reshape(z.shape)
    return step(fixed) + slopes * (z - fixed)
