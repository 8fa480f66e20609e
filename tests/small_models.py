"""Models for the tests of `convert`, and the check that a program is its model."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor, nn

from splinecam.convert import convert
from splinecam.program import Program

Function = Callable[[Any], Any]


class Apply(nn.Module):
    """A model whose forward is a given function."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Any:
        return self.function(x)


def mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 5), nn.ReLU(), nn.Linear(5, 2))


def inputs(*shape: int) -> Tensor:
    """Points of normal entries, wide enough to fall on all sides of the breakpoints used here."""
    generator = torch.Generator().manual_seed(7)
    return 4 * torch.randn(50, *shape, generator=generator, dtype=torch.float64)


def in_double(model: nn.Module) -> nn.Module:
    return deepcopy(model).double().eval()


def converted(model: nn.Module, *shape: int) -> Program:
    """The program of a model, once its outputs are those of the model's own float64 forward."""
    program = convert(model, shape)
    x = inputs(*shape)
    expected = in_double(model)(x)
    torch.testing.assert_close(program(x), expected, rtol=1e-13, atol=1e-13)
    assert program.output_shape == expected.shape[1:]
    return program
