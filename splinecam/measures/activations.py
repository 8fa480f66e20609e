"""The pre-activations of any model, seen by watching its forward pass.

A unit is an entry of what an activation function is applied to, whoever calls that function: a
module, another function, a method of a tensor. Nothing has to be known about the rest of the model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from splinecam.errors import InvalidArgumentError, InvalidModelError, UnsupportedLayerError
from splinecam.measures.forward import ForwardWatch

Layers = Sequence[str | type[nn.Module]]
Seen = TypeVar("Seen")


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


def _clamp(input: Tensor, min: float | None = None, max: float | None = None) -> tuple[float, ...]:
    return tuple(float(bound) for bound in (min, max) if bound is not None)


def _clamp_min(input: Tensor, min: float) -> tuple[float, ...]:
    return _clamp(input, min=min)


def _clamp_max(input: Tensor, max: float) -> tuple[float, ...]:
    return _clamp(input, max=max)


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

ARITHMETIC: dict[str, Callable[..., tuple[float, ...]]] = {
    **dict.fromkeys(("abs", "absolute"), _at_zero),
    **dict.fromkeys(("clamp", "clip"), _clamp),
    "clamp_min": _clamp_min,
    "clamp_max": _clamp_max,
}
"""Likewise, of functions that models also call on what is no value of the network (positions)."""


class Layer(NamedTuple):
    """A call of an activation function."""

    name: str
    n_units: int


class _Frame(NamedTuple):
    """What was seen when a module started."""

    n_seen: int  # before it
    own: tuple[Layer, Any] | None  # what is seen if the module turns out to be an activation


class ActivationWatch(ForwardWatch, Generic[Seen]):
    """Watches the activation functions in the forward pass of a private float64 copy of a model.

    Parameters
    ----------
    model : nn.Module
        The user's model; it is only read.
    layers : sequence of str and type, or None
        Which calls to look at, checked here; see `splinecam.local_complexity`.
    device : torch.device
        Where the copy is evaluated.
    observe : callable
        Gets the pre-activations (batch, units) of each call, and where the function bends; what it
        makes of them is what is seen.
    """

    def __init__(
        self,
        model: nn.Module,
        layers: Layers | None,
        device: torch.device,
        observe: Callable[[Tensor, tuple[float, ...]], Seen],
    ) -> None:
        super().__init__(model, device)
        self._layers = _checked_layers(layers)
        self._unseen = set(self._layers or ())
        self._observe = observe
        self._n_inputs = 0
        self._seen: list[tuple[Layer, Seen]] = []
        self._frames: list[_Frame] = []

    def run_all(self, batches: Iterable[Tensor]) -> tuple[tuple[Layer, ...], list[list[Seen]]]:
        """Evaluate the copy on batches (n, ...): the layers, and what is seen of each, by batch."""
        seen = [self.run(batch) for batch in batches]
        if len({tuple(layer for layer, _ in batch) for batch in seen}) > 1:
            raise UnsupportedLayerError("the model calls other activations for other points")
        layers = tuple(layer for layer, _ in seen[0])
        return layers, [[batch[i][1] for batch in seen] for i in range(len(layers))]

    def run(self, inputs: Tensor) -> list[tuple[Layer, Seen]]:
        """Evaluate the copy on a batch (n, ...): the layers, and what is seen of each."""
        self._n_inputs, self._seen, self._frames = len(inputs), [], []
        self.evaluate(inputs)
        if unseen := [entry for entry in self._layers or () if entry in self._unseen]:
            raise InvalidArgumentError(
                f"layers holds {unseen[0]!r}, which is no module of the model's forward pass that "
                "is, or calls, an activation function"
            )
        if not self._seen:
            raise UnsupportedLayerError(
                f"the model calls no activation function that is known ({', '.join(BREAKPOINTS)}); "
                "layers may name modules of your own that are activations"
            )
        return self._seen

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Look at the arguments of every torch function that the model calls."""
        kwargs = kwargs or {}
        operation = getattr(func, "__name__", "").strip("_")
        bends = BREAKPOINTS.get(operation) or ARITHMETIC.get(operation)
        if bends and self._is_chosen(name := self.site.step_name(operation)):
            preactivation = args[0] if args else kwargs["input"]
            if operation in BREAKPOINTS or self._is_batch(preactivation):
                breakpoints = bends(*args, **kwargs)
                self._seen.append(self._look(name, preactivation, breakpoints))
        elif func is functional.batch_norm and kwargs["training"]:
            raise UnsupportedLayerError(
                f"{self.site} normalises with the statistics of its batch; "
                "track_running_stats=True is accepted"
            )
        return func(*args, **kwargs)

    def _is_chosen(self, name: str) -> bool:
        """Whether `layers` names what is called now: itself, or a module that runs."""
        chosen = [
            entry
            for entry in self._layers or ()
            if entry == name or any(self._is_named(module, entry) for module in self._running)
        ]
        self._unseen.difference_update(chosen)
        return self._layers is None or bool(chosen)

    def _is_named(self, module: nn.Module, entry: str | type[nn.Module]) -> bool:
        if isinstance(entry, str):
            return self._paths[module] == entry
        return isinstance(module, entry)

    def entered(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """Look at the argument of a chosen module that may turn out to be an activation."""
        named = [entry for entry in self._layers or () if self._is_named(module, entry)]
        is_own = not self.site.is_ready_made and next(module.children(), None) is None
        own = None
        if named and is_own and args and isinstance(args[0], Tensor):
            # Its forward may change its argument in place.
            name = self._paths[module] or type(module).__name__
            own = self._look(name, args[0], _at_zero())
        self._frames.append(_Frame(len(self._seen), own))

    def left(self, module: nn.Module) -> None:
        """Let a chosen module that has called no activation count as one."""
        frame = self._frames.pop()
        if frame.own is not None and len(self._seen) == frame.n_seen:
            self._seen.append(frame.own)
            self._unseen -= {e for e in self._unseen if self._is_named(module, e)}

    def _is_batch(self, z: Any) -> bool:
        """Whether this is a tensor of real numbers for each input."""
        is_real = isinstance(z, Tensor) and z.is_floating_point()
        return is_real and z.shape[:1] == (self._n_inputs,)

    def _look(self, name: str, z: Tensor, breakpoints: tuple[float, ...]) -> tuple[Layer, Seen]:
        """Observe pre-activations, unless they cannot be the batch's."""
        if z.shape[:1] != (self._n_inputs,):
            raise UnsupportedLayerError(
                f"{self.site} acts on a tensor of shape {tuple(z.shape)}, in a batch of "
                f"{self._n_inputs} inputs: its first dimension has to be the batch; layers "
                "may choose other modules"
            )
        if not z.isfinite().all():
            raise InvalidModelError(f"{self.site} gets pre-activations that are not finite")
        units = z.flatten(1) if z.dim() > 1 else z[:, None]
        return Layer(name, units.shape[1]), self._observe(units, breakpoints)


def _checked_layers(layers: Any) -> Layers | None:
    if layers is None:
        return None
    entries = tuple(layers) if isinstance(layers, list | tuple) else ()
    for entry in entries:
        if not isinstance(entry, str) and not (
            isinstance(entry, type) and issubclass(entry, nn.Module)
        ):
            raise InvalidArgumentError(
                f"layers holds {entry!r}; accepted: paths of modules and types of modules"
            )
    if not entries:
        raise InvalidArgumentError(
            f"layers is {layers!r}; accepted: a list of paths and types of modules, or None"
        )
    return entries
