"""The tensor that runs through a forward pass in place of the input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from math import prod
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from splinecam.errors import UnsupportedLayerError
from splinecam.linear import Shape
from splinecam.program import Head, Step

BATCH = 97
"""The size of the batch dimension: a prime that no model is likely to name."""

without_dispatch = torch._C.DisableTorchFunctionSubclass
"""Context in which torch treats traced tensors as the meta tensors that they are."""


@dataclass
class Recording:
    """What is recorded of a forward pass, and how the traced tensors stand for its values.

    Parameters
    ----------
    input_shape : tuple of int
        Shape of one input, without the batch dimension.
    batch : int
        Size of the first dimension of the model's input.
    n_batch_dims : int
        1: the first dimension of every tensor is the batch, and values have the other ones.
        0: the forward pass is that of a single input, values have all dimensions of the tensors,
        and a batch of values has one more.

    Attributes
    ----------
    steps : list of Step
        Step ``i`` makes value ``i + 1``.
    """

    input_shape: Shape
    batch: int
    n_batch_dims: int
    steps: list[Step] = field(default_factory=list)

    def add(self, step: Step) -> int:
        """Record a step; the value that it makes."""
        self.steps.append(step)
        return len(self.steps)

    def shape_of(self, value: int) -> Shape:
        """Shape of a value, without the batch dimension."""
        return self.steps[value - 1].shape if value else self.input_shape

    def n_entries(self, value: int) -> int:
        """How many entries a value has."""
        return prod(self.shape_of(value))


@dataclass(frozen=True)
class Standing:
    """What a traced tensor stands for.

    Parameters
    ----------
    value : int
        A value of the program.
    refusal : UnsupportedLayerError or None
        Why it stands for no value, where it is the result of something not supported.
    head : Head or None
        Where it is what a monotone head makes of that value: no reason to refuse the model if it
        turns out to be its output.
    """

    value: int
    refusal: UnsupportedLayerError | None = None
    head: Head | None = None


class FunctionRecorder(Protocol):
    """What gets every torch function that is called with a traced tensor."""

    def record(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
    ) -> Any:
        """Record the call and return its result."""


class TracedTensor(Tensor):
    """A float64 tensor without data, ``(batch, *shape)``, that stands for a value of the program.

    Attributes
    ----------
    recorder : FunctionRecorder
        Where torch functions of this tensor go.
    standing : Standing
        What it stands for.
    version : int
        State of the underlying storage when it came to stand for that.
    """

    recorder: FunctionRecorder
    standing: Standing
    version: int

    @classmethod
    def of(cls, tensor: Tensor, recorder: FunctionRecorder) -> TracedTensor:
        """View a meta tensor as a traced one; a traced one is returned itself."""
        if isinstance(tensor, TracedTensor):
            return tensor
        traced = tensor.as_subclass(cls)
        traced.recorder = recorder
        return traced

    def stand_for(self, standing: Standing) -> TracedTensor:
        """Let this tensor stand for something else (in-place operations do so) and return it."""
        self.standing = standing
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
