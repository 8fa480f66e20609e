"""Which units change between points, seen by watching a model's forward pass.

A unit is an entry of what an activation function is applied to, whoever calls that function: a
module, another function, a method of a tensor. Nothing has to be known about the rest of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from splinecam.convert.replica import Replica
from splinecam.convert.sites import Site
from splinecam.errors import (
    InvalidArgumentError,
    InvalidModelError,
    SplineCamError,
    UnsupportedLayerError,
)

Layers = Sequence[str | type[nn.Module]]

_FAILURES = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a forward pass raises on input that it cannot take."""


def _at_zero(*_: Any, **__: Any) -> tuple[float, ...]:
    return (0.0,)


def _at_three(*_: Any, **__: Any) -> tuple[float, ...]:
    return (-3.0, 3.0)


def _relu6(*_: Any, **__: Any) -> tuple[float, ...]:
    return (0.0, 6.0)


def _hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> tuple[float, ...]:
    return (min_val, max_val)


def _softshrink(input: Tensor, lambd: float = 0.5) -> tuple[float, ...]:
    return (-lambd, lambd)


def _threshold(
    input: Tensor, threshold: float, value: float, inplace: bool = False
) -> tuple[float, ...]:
    return (threshold,)


BREAKPOINTS: dict[str, Callable[..., tuple[float, ...]]] = {
    **dict.fromkeys(("relu", "leaky_relu", "prelu", "rrelu"), _at_zero),
    **dict.fromkeys(("celu", "elu", "gelu", "mish", "selu", "silu", "softplus"), _at_zero),
    **dict.fromkeys(("hardsigmoid", "hardswish"), _at_three),
    "relu6": _relu6,
    "hardtanh": _hardtanh,
    "softshrink": _softshrink,
    "threshold": _threshold,
}
"""Where activation functions bend, from their arguments; smooth ones are taken to bend at 0."""


class Change(NamedTuple):
    """How many units of one layer change, at each of several points."""

    layer: str
    n_units: int
    counts: Tensor  # (n,) int64


class _Frame(NamedTuple):
    """A module that is running."""

    module: nn.Module
    n_changes: int  # seen before it
    own: Change | None  # the change that counts if the module turns out to be an activation


class ActivationWatch(TorchFunctionMode):
    """Watches the activation functions in the forward pass of a private float64 copy of a model.

    Parameters
    ----------
    model : nn.Module
        The user's model; it is only read.
    layers : sequence of str and type, or None
        Which calls to look at; see `splinecam.local_complexity`.
    device : torch.device
        Where the copy is evaluated.
    """

    def __init__(self, model: nn.Module, layers: Layers | None, device: torch.device) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise InvalidModelError(f"model has to be an nn.Module, got {type(model).__name__}")
        self._replica = Replica(model)
        self._replica.root.to(device)
        self._layers, self._unseen = layers, set(layers or ())
        self._shape = (0, 0)  # of the batch: points, and inputs for each
        self._changes: list[Change] = []
        self._running: list[_Frame] = []
        for module in self._replica.paths:
            module.register_forward_pre_hook(self._enter)
            module.register_forward_hook(self._leave)

    def changes(self, inputs: Tensor) -> list[Change]:
        """Count the units that change between the inputs (n, m, ...) of each of n points."""
        self._shape, self._changes, self._running = tuple(inputs.shape[:2]), [], []
        with _no_randomness(inputs.device), self:
            self._run(inputs.flatten(0, 1))
        if unseen := [entry for entry in self._layers or () if entry in self._unseen]:
            raise InvalidArgumentError(
                f"layers holds {unseen[0]!r}, which is no module of the model's forward pass that "
                "is, or calls, an activation function"
            )
        if not self._changes:
            raise UnsupportedLayerError(
                f"the model calls no activation function that is known ({', '.join(BREAKPOINTS)}); "
                "layers may name modules of your own that are activations"
            )
        return self._changes

    def _run(self, inputs: Tensor) -> None:
        try:
            self._replica.root(inputs)
        except SplineCamError:
            raise
        except _FAILURES as error:
            raise InvalidModelError(
                f"{self._site} fails on a batch of inputs of shape {tuple(inputs.shape[1:])}: "
                f"{type(error).__name__}: {error}"
            ) from error

    @property
    def _site(self) -> Site:
        module = self._running[-1].module if self._running else self._replica.root
        return Site(module, self._replica.paths[module], lambda: None)

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Look at the arguments of every torch function that the model calls."""
        kwargs = kwargs or {}
        operation = getattr(func, "__name__", "").strip("_")
        if operation in BREAKPOINTS and self._is_chosen(name := self._site.step_name(operation)):
            preactivation = args[0] if args else kwargs["input"]
            breakpoints = BREAKPOINTS[operation](*args, **kwargs)
            self._changes.append(self._change(name, preactivation, breakpoints))
        elif func is functional.batch_norm and kwargs["training"]:
            raise UnsupportedLayerError(
                f"{self._site} normalises with the statistics of its batch; "
                "track_running_stats=True is accepted"
            )
        return func(*args, **kwargs)

    def _is_chosen(self, name: str) -> bool:
        """Whether `layers` names what is called now: itself, or a module that runs."""
        chosen = [
            entry
            for entry in self._layers or ()
            if entry == name or any(self._is_named(frame.module, entry) for frame in self._running)
        ]
        self._unseen.difference_update(chosen)
        return self._layers is None or bool(chosen)

    def _is_named(self, module: nn.Module, entry: str | type[nn.Module]) -> bool:
        if isinstance(entry, str):
            return self._replica.paths[module] == entry
        return isinstance(module, entry)

    def _enter(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._running.append(_Frame(module, len(self._changes), None))
        named = [entry for entry in self._layers or () if self._is_named(module, entry)]
        is_own = not self._site.is_ready_made and next(module.children(), None) is None
        if named and is_own and args and isinstance(args[0], Tensor):
            # Its forward may change its argument in place.
            name = self._replica.paths[module] or type(module).__name__
            own = self._change(name, args[0], _at_zero())
            self._running[-1] = self._running[-1]._replace(own=own)

    def _leave(self, module: nn.Module, *_: Any) -> None:
        frame = self._running.pop()
        if frame.own is not None and len(self._changes) == frame.n_changes:
            self._changes.append(frame.own)
            self._unseen -= {e for e in self._unseen if self._is_named(module, e)}

    def _change(self, name: str, z: Tensor, breakpoints: tuple[float, ...]) -> Change:
        """Count the units with pre-activations on different sides of a breakpoint."""
        n_points, n_inputs = self._shape
        if z.shape[:1] != (n_points * n_inputs,):
            raise UnsupportedLayerError(
                f"{self._site} acts on a tensor of shape {tuple(z.shape)}, in a batch of "
                f"{n_points * n_inputs} inputs: its first dimension has to be the batch; layers "
                "may choose other modules"
            )
        by_point = z.reshape(n_points, n_inputs, -1)
        low, high = by_point.amin(dim=1), by_point.amax(dim=1)
        if not (high - low).isfinite().all():
            raise InvalidModelError(f"{self._site} gets pre-activations that are not finite")
        changed = torch.zeros_like(low, dtype=torch.bool)
        for t in breakpoints:
            changed |= (low - t).sign() != (high - t).sign()
        return Change(name, changed.shape[1], changed.sum(dim=1))


@contextmanager
def _no_randomness(device: torch.device) -> Iterator[None]:
    """Refuse a forward pass that draws random numbers, and leave torch's generators untouched."""
    devices = [device] if device.type == "cuda" else []

    def states() -> list[Tensor]:
        return [torch.get_rng_state(), *(torch.cuda.get_rng_state(d) for d in devices)]

    with torch.random.fork_rng(devices=devices):
        before = states()
        yield
        if not all(map(torch.equal, before, states())):
            raise UnsupportedLayerError(
                "the forward pass of the model draws random numbers in evaluation mode"
            )
