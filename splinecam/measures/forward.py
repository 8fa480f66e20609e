"""Watching the forward pass of a private copy of a model: every module, every torch function."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from splinecam.convert.replica import Replica
from splinecam.convert.sites import Site
from splinecam.errors import InvalidModelError, SplineCamError, UnsupportedLayerError

_FAILURES = (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
"""What a forward pass raises on input that it cannot take."""


class ForwardWatch(TorchFunctionMode):
    """Evaluates a float64 copy of a model; what there is to be seen is for subclasses to say.

    They override `__torch_function__`, which gets every torch function that the model calls, and
    `entered` and `left`.

    Parameters
    ----------
    model : nn.Module
        The user's model; it is only read.
    device : torch.device
        Where the copy is evaluated.
    """

    def __init__(self, model: nn.Module, device: torch.device) -> None:
        super().__init__()
        if not isinstance(model, nn.Module):
            raise InvalidModelError(f"model has to be an nn.Module, got {type(model).__name__}")
        replica = Replica(model)
        self._root, self._paths = replica.root.to(device), replica.paths
        self._running: list[nn.Module] = []
        for module in self._paths:
            module.register_forward_pre_hook(self._enter)
            module.register_forward_hook(self._leave)

    def evaluate(self, inputs: Tensor) -> None:
        """Run the copy on a batch (n, ...), under watch."""
        self._running = []
        with _no_randomness(inputs.device), self:
            try:
                self._root(inputs)
            except SplineCamError:
                raise
            except _FAILURES as error:
                raise InvalidModelError(
                    f"{self.site} fails on a batch of inputs of shape {tuple(inputs.shape[1:])}: "
                    f"{type(error).__name__}: {error}"
                ) from error

    @property
    def site(self) -> Site:
        """Where the forward pass is."""
        module = self._running[-1] if self._running else self._root
        return Site(module, self._paths[module], lambda: None)

    def entered(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        """A module starts."""

    def left(self, module: nn.Module) -> None:
        """A module is done."""

    def _enter(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._running.append(module)
        self.entered(module, args)

    def _leave(self, module: nn.Module, *_: Any) -> None:
        self._running.pop()
        self.left(module)


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
