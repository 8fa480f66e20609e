"""Sequential models of plain layers, which need no following.

Following a forward pass takes longer than the whole partition of a small network. The steps of an
MLP can be read off its modules instead; whatever is not as plain as that, or is not in order, is
left to the general way and its messages.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import isfinite

import numpy as np
import torch
from torch import Tensor, nn

from splinecam.convert.sites import join
from splinecam.program import Affine, MatMul, PiecewiseLinear, Step

_RELU_TABLES = (
    torch.zeros(1, dtype=torch.float64),
    torch.tensor([0.0, 1.0], dtype=torch.float64),
    torch.tensor(0.0, dtype=torch.float64),
)

_FLOATS = frozenset({torch.float16, torch.float32, torch.float64})


def read_plain(model: nn.Module, input_shape: tuple[int, ...]) -> list[Step] | None:
    """Read the steps of nested `nn.Sequential` of `nn.Linear` and `nn.ReLU`; None if it is not."""
    steps: list[Step] = []
    shape = input_shape
    paths: dict[nn.Module, str] = {}
    for path, module in _leaves(model, ""):
        name = paths.setdefault(module, path)  # a shared module keeps its first path
        if not name or "forward" in vars(module) or module._forward_pre_hooks:
            return None
        if type(module) is nn.ReLU:
            steps.append(PiecewiseLinear(name, (len(steps),), shape, *_RELU_TABLES))
        elif type(module) is nn.Linear and (step := _read_linear(module, name, len(steps), shape)):
            steps.append(step)
            shape = step.shape
        else:
            return None
    return steps


def _read_linear(module: nn.Linear, name: str, value: int, shape: tuple[int, ...]) -> Affine | None:
    parameters = module._parameters  # read much quicker than attributes of a module
    if not {"weight", "bias"} <= parameters.keys():
        return None
    weight = _read(parameters["weight"])
    bias = None if parameters["bias"] is None else _read(parameters["bias"])
    if weight is None or weight.ndim != 2 or weight.shape[1] != shape[-1]:
        return None
    if bias is None and parameters["bias"] is not None:
        return None
    return Affine(name, (value,), (*shape[:-1], len(weight)), MatMul(weight), bias)


def _leaves(module: nn.Module, path: str) -> Iterator[tuple[str, nn.Module]]:
    """Modules in execution order, with their paths, as far as they are plain containers."""
    if type(module) is nn.Sequential and "forward" not in vars(module):
        for name, child in module._modules.items():
            yield from _leaves(child, join(path, name))
    else:
        yield path, module


def _read(parameter: Tensor | None) -> Tensor | None:
    """Copy to float64; None unless it is a plain tensor of finite floats that numpy knows."""
    if type(parameter) is not nn.Parameter or parameter.dtype not in _FLOATS:
        return None
    if parameter.device.type != "cpu" or parameter.layout != torch.strided:
        return None
    # numpy starts no threads for this, whose waiting would slow down what follows.
    copy = parameter.detach().numpy().astype(np.float64)
    # Where the sum of squares, which is quicker, is finite, so is each number.
    is_finite = isfinite(np.vdot(copy, copy)) or np.isfinite(copy).all()
    return torch.from_numpy(copy) if is_finite else None
