"""Following a model's forward pass with a tensor that has a shape but no data.

A `TracedTensor` runs through the forward pass in place of the input. Every torch function that
meets one lands in `Recorder.record`, where a handler turns it into a step of the program; torch
itself works out the shape of the result on the meta device. Modules, functions, tensor methods
and operators thus end up in one table, and whatever depends on shapes only, loops and branches
included, is ordinary Python.

An operation without a handler is no error by itself: its result carries the refusal, which is
raised when the output turns out to depend on it. Looking at the *value* of a traced tensor is
refused at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch._ops import OpOverload
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map_only, tree_unflatten

from splinecam.convert.calls import Call, Handler, UnfollowableError
from splinecam.convert.reasons import reads_values, why_unknown, why_unreadable
from splinecam.convert.replica import Replica
from splinecam.convert.reshaping import REARRANGING
from splinecam.convert.sites import Site, line_in_stack, line_in_traceback
from splinecam.convert.traced import Recording, Standing, TracedTensor, without_dispatch
from splinecam.errors import InvalidModelError, SplineCamError, UnsupportedLayerError
from splinecam.linear import Reshape
from splinecam.program import Affine

FAILURES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    NameError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a forward pass raises on input that it cannot take."""

_DEVICE = Tensor.device.__get__

_CONSTANT_MAKERS = frozenset(
    {
        torch.full_like,
        torch.ones_like,
        torch.zeros_like,
        Tensor.new_full,
        Tensor.new_ones,
        Tensor.new_tensor,
        Tensor.new_zeros,
    }
)
"""Functions that take no more than the shape and the dtype of a tensor."""

_SHAPE_TAKERS = frozenset(
    {Tensor.expand_as, Tensor.reshape_as, Tensor.to, Tensor.type_as, Tensor.view_as}
)
"""Methods that take no more than the shape and the dtype of their second tensor."""

_STALE = (
    "uses a value that was changed in place, through a view or by an operation that is not "
    "supported"
)


class Recorder:
    """Records the steps of a model's forward pass.

    Parameters
    ----------
    replica : Replica
        The model to follow; its modules get hooks that tell which of them is running.
    recording : Recording
        Takes the steps.
    handlers : mapping
        The handlers, by torch function, or by name for operators (``"aten::relu"``).
    """

    def __init__(
        self,
        replica: Replica,
        recording: Recording,
        handlers: Mapping[Callable[..., Any] | str, Handler],
    ) -> None:
        self._replica, self._recording, self._handlers = replica, recording, handlers
        self._start = 0
        self._running: list[nn.Module] = []
        for module in replica.paths:
            module.register_forward_pre_hook(self._enter)
            module.register_forward_hook(self._leave)

    def _enter(self, module: nn.Module, _: Any) -> None:
        self._running.append(module)

    def _leave(self, *_: Any) -> None:
        self._running.pop()

    def _site(self, find_line: Callable[[], str | None] = lambda: None) -> Site:
        module = self._running[-1] if self._running else self._replica.root
        return Site(module, self._replica.paths[module], find_line)

    def follow(self) -> Standing:
        """Run the forward pass; what its output stands for."""
        traced = self._input()
        try:
            output = self._replica.root(traced)
        except SplineCamError:
            raise
        except FAILURES as error:
            site = self._site(
                partial(line_in_traceback, error.__traceback__, Recorder.record.__code__)
            )
            raise InvalidModelError(
                f"{site} fails on a batch of inputs of shape {self._recording.input_shape}: "
                f"{type(error).__name__}: {error}"
            ) from error
        return self._output(output)

    def _input(self) -> TracedTensor:
        recording = self._recording
        shape = recording.batch, *recording.input_shape
        data = torch.empty(shape, dtype=torch.float64, device="meta")
        if not recording.n_batch_dims:
            self._start = recording.add(Affine("input", (0,), shape, Reshape(shape)))
        return TracedTensor.of(data, self).stand_for(Standing(self._start))

    def _output(self, output: Any) -> Standing:
        site = self._site()
        if not isinstance(output, Tensor):
            raise InvalidModelError(
                f"{site} returns a {type(output).__name__}; one tensor is accepted"
            )
        if not isinstance(output, TracedTensor):
            raise InvalidModelError(f"the output of {site} does not depend on its input")
        standing, recording = output.standing, self._recording
        if standing.refusal is not None and standing.head is None:
            raise standing.refusal
        if output.is_stale:
            raise UnfollowableError(f"{site}: {_STALE}")
        if standing.value == self._start:
            raise InvalidModelError(f"{site} is empty: its output is its input")
        if recording.n_batch_dims:
            return standing
        batch, *shape = recording.shape_of(standing.value) or (0,)
        if batch != 1:
            raise InvalidModelError(f"{site} takes an input of batch size 1 to one of {batch}")
        step = Affine("output", (standing.value,), tuple(shape), Reshape(tuple(shape)))
        return replace(standing, value=recording.add(step))

    def record(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Record one torch function with traced tensors among its arguments; its result."""
        if function == _DEVICE:
            return torch.device("cpu")
        if function in _CONSTANT_MAKERS or (
            function in _SHAPE_TAKERS and not isinstance(args[0], TracedTensor)
        ):
            return _constant(function, args, kwargs)
        site = self._site(partial(line_in_stack, Recorder.follow.__code__))
        call = Call(function, args, kwargs, site, self._recording)
        handler = self._handlers.get(_key(function))
        return self._without_handler(call) if handler is None else self._interpret(call, handler)

    def _interpret(self, call: Call, handler: Handler) -> Any:
        """Record the steps that `handler` makes of the call, or why it makes none."""
        standing, outcomes = _inherited(call), []
        if standing.head is not None and handler not in REARRANGING:
            standing = replace(standing, head=None)
        if standing.refusal is None or standing.head is not None:
            try:
                outcomes = call.handled_by(handler)
            except UnsupportedLayerError as error:
                standing = Standing(call.value, error)
        try:
            leaves, structure = tree_flatten(call.result)
        except FAILURES as error:
            if standing.refusal is None:
                raise
            raise standing.refusal from error
        standings = [
            outcome if isinstance(outcome, Standing) else replace(standing, value=outcome)
            for outcome in outcomes
        ] or [standing] * len(leaves)
        pairs = zip(leaves, standings, strict=True)
        return tree_unflatten([self._traced(call, *pair) for pair in pairs], structure)

    def _traced(self, call: Call, tensor: Tensor, standing: Standing) -> TracedTensor:
        """Let a tensor of a call's result stand for a value, which has to have its shape."""
        recording = self._recording
        batch = (recording.batch,) * recording.n_batch_dims
        with without_dispatch():
            shape = tuple(tensor.shape)
        if standing.refusal is None and shape != (*batch, *recording.shape_of(standing.value)):
            standing = Standing(standing.value, call.mixing)
        return TracedTensor.of(tensor, self).stand_for(standing)

    def _without_handler(self, call: Call) -> Any:
        """What torch makes of the call: a shape or the like, or tensors that stand for no value."""
        try:
            result = call.result
        except FAILURES as error:
            if reads_values(call.operation):  # what torch.export cannot follow either
                raise call.refusal(why_unreadable(call.operation)) from error
            raise call.unfollowable(why_unknown(call.operation)) from error
        if not any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):
            return result
        refusal = _inherited(call).refusal or call.refusal(why_unknown(call.operation))
        standing = Standing(call.value, refusal)
        return tree_map_only(Tensor, lambda t: TracedTensor.of(t, self).stand_for(standing), result)


def _key(function: Callable[..., Any]) -> Callable[..., Any] | str:
    """What a function is found by in the table of handlers."""
    if isinstance(function, OpOverload):
        return function.name().partition(".")[0]
    return function


def _inherited(call: Call) -> Standing:
    """What the arguments of a call leave its result to stand for."""
    for traced in call.traced:
        if traced.standing.refusal is not None:
            return traced.standing
        if traced.is_stale:
            return Standing(call.value, call.unfollowable(_STALE))
    return Standing(call.value)


def _constant(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """What a function that takes only shapes and dtypes of traced tensors makes of them."""

    def empty(traced: TracedTensor) -> Tensor:
        return torch.empty((), dtype=torch.float64).expand(traced.shape)

    args, kwargs = tree_map_only(TracedTensor, empty, (args, dict(kwargs)))
    return function(*args, **kwargs)
