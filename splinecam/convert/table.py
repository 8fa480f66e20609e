"""Tables from torch's functions to handlers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import GetSetDescriptorType
from typing import Any

import torch
from torch.nn import functional

from splinecam.convert.calls import Handler


def named(handlers: Mapping[Handler, str]) -> dict[Callable[..., Any] | str, Handler]:
    """Look handlers up by function: under each name, what torch has as function and as method.

    Operators, which exported programs call, are found under ``"aten::name"``.

    Parameters
    ----------
    handlers : mapping from handler to str
        The names of every handler, with spaces between them.
    """
    table: dict[Callable[..., Any] | str, Handler] = {}
    for handler, names in handlers.items():
        for name in names.split():
            table[f"aten::{name}"] = handler
            for namespace in (torch, functional, torch.Tensor):
                if hasattr(namespace, name):
                    function: Any = getattr(namespace, name)
                    is_property = isinstance(function, GetSetDescriptorType)
                    table[function.__get__ if is_property else function] = handler
    return table
