"""A private copy of a model: float64, on the CPU, in evaluation mode, without hooks.

Following the copy's forward pass can change neither the user's tensors, buffers, flags and
attributes, nor call the user's hooks. Shared modules and tied weights stay shared.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from splinecam.convert.sites import join, place
from splinecam.convert.weights import check_weights
from splinecam.errors import UnsupportedLayerError

_HOOKS = frozenset(name for name in vars(nn.Module()) if "hooks" in name)
_WEIGHT_HOOKS = (WeightNorm, SpectralNorm, BasePruningMethod)
"""Hooks of torch that compute a module's weight before each call: they are run on the copy."""


class Replica:
    """The copy of a model.

    Parameters
    ----------
    model : nn.Module
        The user's model; it is only read.

    Attributes
    ----------
    root : nn.Module
        The copy of `model`.
    paths : dict
        The path of every module of the copy: the first one where it is shared.
    """

    def __init__(self, model: nn.Module) -> None:
        self.paths: dict[nn.Module, str] = {}
        self._copies: dict[int, Any] = {}
        self.root: nn.Module = self._copy(model, "")

    def _copy(self, value: Any, path: str) -> Any:
        if id(value) not in self._copies:
            if isinstance(value, nn.Module):
                self._copy_module(value, path)
            elif isinstance(value, Tensor):
                self._copies[id(value)] = _copy_tensor(value)
            elif type(value) in (dict, OrderedDict):
                self._copy_dict(value, path)
            elif type(value) is list:
                copy = self._copies[id(value)] = []
                copy.extend(self._copy_items(value, path))
            elif type(value) in (tuple, set):
                return type(value)(self._copy_items(value, path))
            elif isinstance(value, MethodType):
                return MethodType(value.__func__, self._copy(value.__self__, path))
            else:
                return value
        return self._copies[id(value)]

    def _copy_module(self, module: nn.Module, path: str) -> None:
        _check_module(module, path)
        check_weights(module, path)
        copy = object.__new__(type(module))
        nn.Module.__init__(copy)
        self._copies[id(module)] = copy
        self.paths[copy] = path
        for name, value in vars(module).items():
            if name not in _HOOKS:
                below = path if name == "_modules" else join(path, name)
                vars(copy)[name] = self._copy(value, below)
        vars(copy)["training"] = False
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, _WEIGHT_HOOKS):
                hook(copy, ())

    def _copy_dict(self, value: dict[Any, Any], path: str) -> None:
        copy = self._copies[id(value)] = type(value)()
        for key, item in value.items():
            copy[key] = self._copy(item, join(path, str(key)))

    def _copy_items(self, items: Iterable[Any], path: str) -> Iterator[Any]:
        for index, item in enumerate(items):
            yield self._copy(item, join(path, str(index)))


def _copy_tensor(tensor: Tensor) -> Tensor:
    if tensor.is_meta:
        return tensor
    dtype = torch.float64 if tensor.is_floating_point() else tensor.dtype
    return tensor.detach().to("cpu", dtype, copy=True)


def _check_module(module: nn.Module, path: str) -> None:
    if isinstance(module, torch.jit.ScriptModule):
        raise UnsupportedLayerError(
            f"{place(module, path)} is TorchScript, which cannot be followed; give the original "
            "nn.Module"
        )
    if "forward" in vars(module):
        raise UnsupportedLayerError(
            f"{place(module, path)} has a forward of its own, set on the instance (torch.compile "
            "does so), which cannot be followed; give the original nn.Module"
        )
