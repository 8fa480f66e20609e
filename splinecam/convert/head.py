"""Handlers of what may come last in a model and keeps the order of its outputs.

It is left out, if nothing follows but reshapes: neither the partition nor the largest output
depends on it. Elsewhere in a network it is not piecewise linear.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from splinecam.convert.calls import Call
from splinecam.convert.table import named
from splinecam.convert.traced import Standing
from splinecam.program import Head


def _softmax(call: Call, input: Any, dim: int | None = None, *_: Any, **__: Any) -> Standing:
    if dim is None:  # torch's deprecated choice
        rank = len(call.input_shape) + call.recording.n_batch_dims
        dim = 0 if rank in (0, 1, 3) else 1
    (meant,) = call.dims(dim)
    return _left_out(call, partial(getattr(torch, call.operation), dim=meant + 1))


def _sigmoid(call: Call, input: Any) -> Standing:
    return _left_out(call, torch.sigmoid)


def _left_out(call: Call, function: Callable[[Tensor], Tensor]) -> Standing:
    refusal = call.refusal(
        f"{call.operation} is not piecewise linear; it is accepted as the last operation of a "
        "model only, where it is left out"
    )
    head = Head(call.site.step_name(call.operation), function, call.input_shape)
    return Standing(call.value, refusal, head)


HANDLERS = named(
    {_softmax: "softmax log_softmax _softmax _log_softmax", _sigmoid: "sigmoid sigmoid_"}
)
