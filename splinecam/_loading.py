"""Models and points as the command line names them."""

from __future__ import annotations

import os
import sys
from importlib import import_module
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from splinecam.convert.exported import load_exported
from splinecam.convert.onnx import load_onnx
from splinecam.errors import InvalidArgumentError, InvalidFileError

if TYPE_CHECKING:
    from torch.export import ExportedProgram


def load_model(path: str | os.PathLike[str]) -> nn.Module | ExportedProgram:
    """Read a model from a file.

    Parameters
    ----------
    path : path-like
        An ONNX file (``.onnx``; needs the packages of the extra ``splinecam[onnx]``), or a program
        that `torch.export.save` wrote (``.pt2``). Nothing is unpickled.

    Returns
    -------
    nn.Module or torch.export.ExportedProgram
        What `splinecam.compute_partition` takes.

    Raises
    ------
    InvalidFileError
        If the file is of another kind, damaged, or holds what only unpickling would read.
    UnsupportedLayerError
        If the ONNX model has an operator that cannot be converted.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import splinecam as sc
    >>> model = sc.load_model("acasxu_1_1.onnx")  # doctest: +SKIP
    """
    path = Path(path)
    if path.suffix == ".onnx":
        return load_onnx(path)
    if path.suffix == ".pt2":
        return load_exported(path)
    raise InvalidFileError(f"{path} is no .onnx or .pt2 file; these are accepted")


def find_model(name: str, weights: Path | None) -> nn.Module | ExportedProgram:
    """Find the model that the command line names.

    Parameters
    ----------
    name : str
        An ``.onnx`` or ``.pt2`` file, or ``package.module:factory``. The factory is called without
        arguments; modules in the current folder are found.
    weights : Path or None
        A state dict for the model that a factory makes, read without unpickling anything but
        tensors.

    Raises
    ------
    InvalidArgumentError
        If there is no such factory, it does not make a model, or a file comes with weights.
    InvalidFileError
        If a file cannot be read, or weights are not this model's.
    """
    if Path(name).suffix not in (".onnx", ".pt2"):
        return _make_model(name, weights)
    if weights is not None:
        raise InvalidArgumentError(f"--weights {weights}: {name} has weights of its own")
    return load_model(name)


def _make_model(name: str, weights: Path | None) -> nn.Module:
    module_name, colon, factory_name = name.partition(":")
    if not (module_name and colon and factory_name):
        raise InvalidArgumentError(
            f"MODEL is {name!r}; accepted: a file .onnx or .pt2, or package.module:factory"
        )
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
