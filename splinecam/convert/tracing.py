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
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only

from splinecam.convert.calls import Call, Handler
from splinecam.convert.reasons import why_unknown, why_unreadable
from splinecam.convert.replica import Replica
from splinecam.convert.sites import Site, line_in_stack, line_in_traceback
from splinecam.convert.traced import BATCH, TracedTensor
from splinecam.errors import InvalidModelError, SplineCamError, UnsupportedLayerError
from splinecam.program import Step

_FAILURES = (
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
    input_shape : tuple of int
        Shape of one input, without the batch dimension.
    handlers : mapping
        The handler of every torch function that can become a step.

    Attributes
    ----------
    steps : list of Step
        What was recorded: step ``i`` makes value ``i + 1``.
    """

    def __init__(
        self,
        replica: Replica,
        input_shape: tuple[int, ...],
        handlers: Mapping[Callable[..., Any], Handler],
    ) -> None:
        self.steps: list[Step] = []
        self._replica, self._input_shape, self._handlers = replica, input_shape, handlers
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

    def follow(self) -> int:
        """Run the forward pass; the value that is its output."""
        data = torch.empty(BATCH, *self._input_shape, dtype=torch.float64, device="meta")
        traced = TracedTensor.of(data, self).stand_for(0, None)
        try:
            output = self._replica.root(traced)
        except SplineCamError:
            raise
        except _FAILURES as error:
            site = self._site(
                partial(line_in_traceback, error.__traceback__, Recorder.record.__code__)
            )
            raise InvalidModelError(
                f"{site} fails on a batch of inputs of shape {self._input_shape}: "
                f"{type(error).__name__}: {error}"
            ) from error
        return self._output(output)

    def _output(self, output: Any) -> int:
        site = self._site()
        if not isinstance(output, Tensor):
            raise InvalidModelError(
                f"{site} returns a {type(output).__name__}; one tensor is accepted"
            )
        if not isinstance(output, TracedTensor):
            raise InvalidModelError(f"the output of {site} does not depend on its input")
        if output.refusal is not None:
            raise output.refusal
        if output.is_stale:
            raise UnsupportedLayerError(f"{site}: {_STALE}")
        return output.value

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
        call = Call(function, args, kwargs, site, self._input_shape)
        if function in self._handlers:
            return self._interpret(call, self._handlers[function])
        return self._without_handler(call)

    def _interpret(self, call: Call, handler: Handler) -> Any:
        """Record the step that `handler` makes of the call, or why it makes none."""
        value, refusal = call.traced[0].value, _inherited_refusal(call)
        try:
            if refusal is None and (step := call.handled_by(handler)):
                self.steps.append(step)
                value = len(self.steps)
        except UnsupportedLayerError as error:
            refusal = error
        try:
            return TracedTensor.of(call.result, self).stand_for(value, refusal)
        except _FAILURES as error:
            if refusal is None:
                raise
            raise refusal from error

    def _without_handler(self, call: Call) -> Any:
        """What torch makes of the call: a shape or the like, or tensors that stand for no value."""
        try:
            result = call.result
        except _FAILURES as error:
            raise call.refusal(why_unreadable(call.operation)) from error
        if not any(isinstance(leaf, Tensor) for leaf in tree_leaves(result)):
            return result
        refusal = _inherited_refusal(call) or call.refusal(why_unknown(call.operation))
        value = call.traced[0].value
        return tree_map_only(
            Tensor, lambda t: TracedTensor.of(t, self).stand_for(value, refusal), result
        )


def _inherited_refusal(call: Call) -> UnsupportedLayerError | None:
    for traced in call.traced:
        if traced.refusal is not None:
            return traced.refusal
        if traced.is_stale:
            return call.refusal(_STALE)
    return None


def _constant(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Any:
    """What a function that takes only shapes and dtypes of traced tensors makes of them."""

    def empty(traced: TracedTensor) -> Tensor:
        return torch.empty((), dtype=torch.float64).expand(traced.shape)

    args, kwargs = tree_map_only(TracedTensor, empty, (args, dict(kwargs)))
    return function(*args, **kwargs)
