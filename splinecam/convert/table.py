"""Tables from torch's functions to handlers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch.nn import functional

from splinecam.convert.calls import Handler


def named(handlers: Mapping[Handler, str]) -> dict[Callable[..., Any], Handler]:
    """Look handlers up by function: under each name, what torch has as function and as method.

    Parameters
    ----------
    handlers : mapping from handler to str
        The names of every handler, with spaces between them.
    """
    return {
        getattr(namespace, name): handler
        for handler, names in handlers.items()
        for name in names.split()
        for namespace in (torch, functional, torch.Tensor)
        if hasattr(namespace, name)
    }
