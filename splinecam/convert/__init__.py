"""Conversion of a torch model to a `Program`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from splinecam.convert import affine, piecewise, reshaping
from splinecam.convert.calls import Handler
from splinecam.convert.plain import read_plain
from splinecam.convert.replica import Replica
from splinecam.convert.sites import place
from splinecam.convert.tracing import Recorder
from splinecam.errors import InvalidArgumentError, InvalidModelError, UnsupportedLayerError
from splinecam.program import Program, Step

__all__ = ["convert"]

_HANDLERS: dict[Callable[..., Any], Handler] = {
    **affine.HANDLERS,
    **piecewise.HANDLERS,
    **reshaping.HANDLERS,
}


def convert(model: nn.Module, input_shape: tuple[int, ...]) -> Program:
    """Write a model as a program of affine and piecewise-linear steps.

    The forward pass is followed once, on a private float64 copy of the model in evaluation mode
    (running statistics in batch norm, no dropout, the mean slope in RReLU), whatever mode `model`
    is in. Weights of any floating-point dtype are taken exactly. Forward hooks are observers: they
    are not called, and what they would change is not a part of the network. Control flow may
    depend on shapes. Operations that the output does not depend on are left out.

    Parameters
    ----------
    model : nn.Module
        A chain of affine and elementwise piecewise-linear operations, given as modules,
        functions, tensor methods or operators. It is left as it was.
    input_shape : tuple of int
        Shape of one input, without the batch dimension, which comes first.

    Returns
    -------
    Program
        Its steps are named after the modules' paths in the model; an operation inside a custom
        forward is named by that module's path and the function, as in ``'block.relu'``.

    Raises
    ------
    UnsupportedLayerError
        If the output depends on an operation that is not piecewise linear, not continuous or not
        known, or if the forward pass depends on the values of its input.
    InvalidModelError
        If `model` is no module or does nothing, weights are not finite real numbers, or it cannot
        be evaluated on inputs of this shape.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))
    >>> program = convert(model, (2,))
    >>> [step.name for step in program.steps]
    ['0', '1', '2']
    >>> program.output_shape
    (1,)
    """
    _check_arguments(model, input_shape)
    if steps := read_plain(model, input_shape):
        return Program(tuple(steps), tuple(input_shape), len(steps))
    with torch.inference_mode(False), torch.no_grad(), _no_randomness():
        replica = Replica(model)
        _check_signature(model)
        recorder = Recorder(replica, input_shape, _HANDLERS)
        output = recorder.follow()
    if not output:
        raise InvalidModelError(f"{place(model, '')} is empty: its output is its input")
    return _program(recorder.steps, tuple(input_shape), output)


def _check_arguments(model: Any, input_shape: Any) -> None:
    if not isinstance(model, nn.Module):
        raise InvalidModelError(f"model has to be an nn.Module, got {type(model).__name__}")
    if not (
        isinstance(input_shape, tuple)
        and input_shape
        and all(isinstance(n, int) and n > 0 for n in input_shape)
    ):
        raise InvalidArgumentError(
            "input_shape has to be a tuple of positive integers, the shape of one input without "
            f"the batch dimension; got {input_shape!r}"
        )


def _check_signature(model: nn.Module) -> None:
    signature = inspect.signature(model.forward)
    try:
        signature.bind(None)
    except TypeError as error:
        raise InvalidModelError(
            f"{place(model, '')} has a forward that takes {signature}; it has to be callable with "
            "one tensor"
        ) from error


@contextmanager
def _no_randomness() -> Iterator[None]:
    """Refuse a forward pass that draws random numbers, and leave torch's generator untouched."""
    with torch.random.fork_rng(devices=[]):
        before = torch.get_rng_state()
        yield
        if not torch.equal(before, torch.get_rng_state()):
            raise UnsupportedLayerError(
                "the forward pass of the model draws random numbers in evaluation mode"
            )


def _program(steps: Sequence[Step], input_shape: tuple[int, ...], output: int) -> Program:
    """The program of those steps that the value `output` depends on."""
    needed = {output}
    for value in range(output, 0, -1):
        if value in needed:
            needed.update(steps[value - 1].inputs)
    renumbered = {value: new for new, value in enumerate(sorted(needed | {0}))}
    kept = (steps[value - 1] for value in sorted(needed - {0}))
    return Program(
        tuple(replace(s, inputs=tuple(renumbered[i] for i in s.inputs)) for s in kept),
        input_shape,
        renumbered[output],
    )
