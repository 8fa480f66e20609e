"""The tensor that runs through a forward pass in place of the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from splinecam.errors import UnsupportedLayerError

BATCH = 97
"""The size of the batch dimension: a prime that no model is likely to name."""

without_dispatch = torch._C.DisableTorchFunctionSubclass
"""Context in which torch treats traced tensors as the meta tensors that they are."""


class FunctionRecorder(Protocol):
    """What gets every torch function that is called with a traced tensor."""

    def record(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Record the call and return its result."""


class TracedTensor(Tensor):
    """A float64 tensor without data, ``(BATCH, *shape)``, that stands for a value of the program.

    Attributes
    ----------
    recorder : FunctionRecorder
        Where torch functions of this tensor go.
    value : int
        The value of the program that it stands for.
    version : int
        State of the underlying storage when it came to stand for that value.
    refusal : UnsupportedLayerError or None
        Why it stands for no value, where it is the result of something not supported.
    """

    recorder: FunctionRecorder
    value: int
    version: int
    refusal: UnsupportedLayerError | None

    @classmethod
    def of(cls, tensor: Tensor, recorder: FunctionRecorder) -> TracedTensor:
        """View a meta tensor as a traced one; a traced one is returned itself."""
        if isinstance(tensor, TracedTensor):
            return tensor
        traced = tensor.as_subclass(cls)
        traced.recorder = recorder
        return traced

    def stand_for(self, value: int, refusal: UnsupportedLayerError | None) -> TracedTensor:
        """Let this tensor stand for another value (in-place operations do so) and return it."""
        self.value, self.refusal = value, refusal
        with without_dispatch():
            self.version = self._version
        return self

    @property
    def is_stale(self) -> bool:
        """Whether the storage was written to behind this tensor's back, say through a view."""
        with without_dispatch():
            return self.version != self._version

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Hand every torch function to the recorder."""
        traced = next(t for t in tree_leaves((args, kwargs)) if isinstance(t, TracedTensor))
        return traced.recorder.record(func, args, kwargs or {})
