"""Handlers of what only rearranges the entries of a value, or leaves them as they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from splinecam.convert.calls import ALIASES, Call, Handler
from splinecam.convert.table import named
from splinecam.linear import Reshape


def _reshape(call: Call, input: Any, *_: Any, **__: Any) -> int:
    """Any operation that keeps the row-major order of all entries."""
    if call.output_shape == call.input_shape:
        return call.value
    return call.affine(Reshape(call.output_shape))


def _unchanged(call: Call, input: Any, *_: Any, **__: Any) -> int:
    """Copies, aliases, and what acts in training only."""
    return call.value


def _cast(call: Call, input: Any, *args: Any, **kwargs: Any) -> int:
    """A conversion of dtype or device, unless it rounds to integers."""
    for target in (*args, *kwargs.values()):
        dtype = target.dtype if isinstance(target, Tensor) else target
        if isinstance(dtype, torch.dtype) and not dtype.is_floating_point:
            raise call.refusal(f"a conversion to {dtype} is not piecewise linear")
    return call.value


REARRANGING: frozenset[Handler] = frozenset({_reshape, _unchanged, _cast})
"""The handlers of this module: they leave all entries of a value in their order."""

HANDLERS = {
    **named(
        {
            _reshape: "flatten reshape reshape_as squeeze squeeze_ unflatten unsqueeze unsqueeze_ "
            "view view_as ravel _unsafe_view",
            _unchanged: "alias alpha_dropout alpha_dropout_ clone contiguous detach detach_ "
            "dropout dropout_ dropout1d dropout2d dropout3d feature_alpha_dropout feature_dropout "
            "lift_fresh_copy positive",
            _cast: "to _to_copy",
        }
    ),
    **dict.fromkeys(ALIASES, _cast),
}
