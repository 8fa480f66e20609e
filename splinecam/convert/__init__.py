"""Conversion of a torch model to a `Program`."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from splinecam.convert import (
    affine,
    averages,
    convolution,
    head,
    maxima,
    moves,
    piecewise,
    products,
    reshaping,
)
from splinecam.convert.calls import Handler, UnfollowableError
from splinecam.convert.exported import export, exported_module, is_exported
from splinecam.convert.plain import read_plain
from splinecam.convert.replica import Replica
from splinecam.convert.sites import place
from splinecam.convert.traced import BATCH, Recording, Standing
from splinecam.convert.tracing import FAILURES, Recorder
from splinecam.errors import (
    InvalidArgumentError,
    InvalidModelError,
    SplineCamError,
    UnsupportedLayerError,
)
from splinecam.program import Program

if TYPE_CHECKING:
    from torch.export import ExportedProgram

__all__ = ["convert"]

_log = logging.getLogger(__name__)

_HANDLERS: dict[Callable[..., Any] | str, Handler] = {
    **moves.HANDLERS,
    **affine.HANDLERS,
    **products.HANDLERS,
    **convolution.HANDLERS,
    **averages.HANDLERS,
    **piecewise.HANDLERS,
    **maxima.HANDLERS,
    **reshaping.HANDLERS,
    **head.HANDLERS,
}


def convert(model: nn.Module | ExportedProgram, input_shape: tuple[int, ...]) -> Program:
    """Write a model as a program of affine steps, piecewise-linear steps and maxima.

    The forward pass is followed once, on a private float64 copy of the model in evaluation mode
    (running statistics in batch norm, no dropout, the mean slope in RReLU), whatever mode `model`
    is in. Weights of any floating-point dtype are taken exactly. Forward hooks are observers: they
    are not called, and what they would change is not a part of the network. Control flow may
    depend on shapes. Operations that the output does not depend on are left out.

    A softmax, log-softmax or sigmoid at the end of the model is left out with a note to the log,
    since neither the partition nor the largest output depends on it.

    A model that takes batches of one input only, as exported models often do, is followed as a
    function of this one input. So is one that rearranges its batch, if the outputs of a few random
    inputs do not depend on whether they come together or one by one. Where the forward pass writes
    through views, `torch.export` is asked for one that does not.

    Parameters
    ----------
    model : nn.Module or ExportedProgram
        Affine and piecewise-linear operations and maxima, given as modules, functions, tensor
        methods or operators, with any branches. It is left as it was.
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
    batch = BATCH
    if is_exported(model):
        model, batch = exported_module(model, input_shape)
    elif steps := read_plain(model, input_shape):
        return Program(tuple(steps), tuple(input_shape), len(steps))
    with torch.inference_mode(False), torch.no_grad(), _no_randomness():
        replica = Replica(model)
        _check_signature(model)
        if batch == 1:
            program = _followed(replica, Recording(input_shape, 1, 0))
        else:
            try:
                program = _followed(replica, Recording(input_shape, batch, 1))
            except (InvalidModelError, UnsupportedLayerError) as refusal:
                program = _followed_otherwise(model, input_shape, refusal)
    if program.head is not None:
        _log.info("'%s' is left out: the partition does not depend on it", program.head.name)
    return program


def _followed(replica: Replica, recording: Recording) -> Program:
    return _program(recording, Recorder(replica, recording, _HANDLERS).follow())


def _followed_otherwise(
    model: nn.Module, input_shape: tuple[int, ...], refusal: SplineCamError
) -> Program:
    """The program of a model that was refused as a function of batches."""
    try:
        program = _followed(Replica(model), Recording(input_shape, 1, 0))
    except InvalidModelError:
        raise refusal from None
    except UnfollowableError:
        exported = export(Replica(model).root, input_shape)
        if exported is None:
            raise
        return _followed(Replica(exported), Recording(input_shape, BATCH, 1))
    if _mixes_inputs(model, input_shape):
        raise refusal
    return program


def _mixes_inputs(model: nn.Module, input_shape: tuple[int, ...]) -> bool:
    """Whether outputs depend on what other inputs are in the batch, tried on random inputs."""
    forward = Replica(model).root
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, *input_shape, generator=generator, dtype=torch.float64)
    try:
        singly = torch.cat([forward(each[None].clone()) for each in x])
    except FAILURES:
        return True  # it cannot be tried in float64
    try:
        together = forward(x.clone())
    except FAILURES:
        return False
    return together.shape != singly.shape or not torch.allclose(together, singly, rtol=1e-9)


def _check_arguments(model: Any, input_shape: Any) -> None:
    if not (isinstance(model, nn.Module) or is_exported(model)):
        raise InvalidModelError(
            f"model has to be an nn.Module or a program of torch.export, got {type(model).__name__}"
        )
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


def _program(recording: Recording, output: Standing) -> Program:
    """The program of those steps that the output depends on."""
    steps = recording.steps
    needed = {output.value}
    for value in range(output.value, 0, -1):
        if value in needed:
            needed.update(steps[value - 1].inputs)
    renumbered = {value: new for new, value in enumerate(sorted(needed | {0}))}
    kept = (steps[value - 1] for value in sorted(needed - {0}))
    return Program(
        tuple(replace(s, inputs=tuple(renumbered[i] for i in s.inputs)) for s in kept),
        recording.input_shape,
        renumbered[output.value],
        output.head,
    )
