"""Handlers of what only rearranges the entries of a value, or leaves them as they are."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from splinecam.convert.calls import ALIASES, Call
from splinecam.convert.table import named
from splinecam.program import Affine, Reshape


def _reshape(call: Call, input: Any, *_: Any, **__: Any) -> Affine | None:
    """Any operation that keeps the row-major order of all entries."""
    if call.output_shape == call.input_shape:
        return None
    return call.affine(Reshape(call.output_shape))


def _unchanged(call: Call, input: Any, *_: Any, **__: Any) -> None:
    """Copies, aliases, and what acts in training only."""


def _cast(call: Call, input: Any, *args: Any, **kwargs: Any) -> None:
    """A conversion of dtype or device, unless it rounds to integers."""
    for target in (*args, *kwargs.values()):
        dtype = target.dtype if isinstance(target, Tensor) else target
        if isinstance(dtype, torch.dtype) and not dtype.is_floating_point:
            raise call.refusal(f"a conversion to {dtype} is not piecewise linear")


HANDLERS = {
    **named(
        {
            _reshape: "flatten reshape reshape_as squeeze squeeze_ unflatten unsqueeze unsqueeze_ "
            "view view_as ravel",
            _unchanged: "alpha_dropout alpha_dropout_ clone contiguous detach detach_ dropout "
            "dropout_ dropout1d dropout2d dropout3d feature_alpha_dropout feature_dropout positive",
        }
    ),
    **dict.fromkeys(ALIASES, _cast),
}
