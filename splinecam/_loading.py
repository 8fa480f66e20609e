"""Models and points as the command line names them."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError

import numpy as np
import torch
from torch import nn

from splinecam.errors import InvalidArgumentError, InvalidFileError


def load_model(name: str, weights: Path | None) -> nn.Module:
    """Make a model from ``package.module:factory`` and, if given, a file of its weights.

    The factory is called without arguments; modules in the current folder are found. The weights
    are a state dict, read without unpickling anything but tensors.

    Raises
    ------
    InvalidArgumentError
        If there is no such factory, or it does not make a model.
    InvalidFileError
        If the weights cannot be read or are not this model's.
    """
    module_name, colon, factory_name = name.partition(":")
    if not (module_name and colon and factory_name):
        raise InvalidArgumentError(f"MODEL is {name!r}; accepted: package.module:factory")
    if "" not in sys.path:
        sys.path.insert(0, "")
    try:
        factory = getattr(import_module(module_name), factory_name)
    except (ImportError, AttributeError) as error:
        raise InvalidArgumentError(f"MODEL is {name!r}: {error}") from error
    if not callable(factory):
        raise InvalidArgumentError(f"MODEL is {name!r}, a {type(factory).__name__}, not a factory")
    model = factory()
    if not isinstance(model, nn.Module):
        raise InvalidArgumentError(
            f"MODEL is {name!r}, which makes a {type(model).__name__}; accepted: a torch nn.Module"
        )
    if weights is not None:
        _load_weights(model, weights)
    return model


def _load_weights(model: nn.Module, path: Path) -> None:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state)
    except (UnpicklingError, EOFError, RuntimeError, TypeError, ValueError) as error:
        raise InvalidFileError(
            f"--weights {path} is not a state dict of this model: {error}"
        ) from error


def load_points(path: Path) -> np.ndarray:
    """Read an array of points (k, *input_shape) from a ``.npy`` file.

    Raises
    ------
    InvalidFileError
        If it is not one, or holds Python objects.
    """
    try:
        with path.open("rb") as file:
            return np.lib.format.read_array(file, allow_pickle=False)
    except (EOFError, ValueError, TypeError, SyntaxError) as error:
        raise InvalidFileError(f"--points {path} is not a .npy file of numbers: {error}") from error
