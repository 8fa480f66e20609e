"""A model's own forward pass, to compare its program with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from splinecam.convert.exported import exported_module, is_exported
from splinecam.convert.replica import Replica
from splinecam.convert.traced import BATCH
from splinecam.convert.tracing import FAILURES

if TYPE_CHECKING:
    from torch.export import ExportedProgram


class Forward:
    """The forward pass of a private float64 copy of a model, on batches of any size.

    Models that take batches of one size only, as exported ones often do, are given such batches.

    Parameters
    ----------
    model : nn.Module or ExportedProgram
        It is only read.
    input_shape : tuple of int
        Shape of one input, without the batch dimension.

    Raises
    ------
    InvalidModelError
        If the model's weights are not finite real numbers, or an exported program takes other
        inputs.
    UnsupportedLayerError
        If a module cannot be copied.

    Examples
    --------
    >>> class Flat(nn.Module):
    ...     def forward(self, x):
    ...         return x.reshape(1, 4)
    >>> Forward(Flat(), (2, 2))(torch.zeros(3, 2, 2)).shape
    torch.Size([3, 4])
    """

    def __init__(self, model: nn.Module | ExportedProgram, input_shape: tuple[int, ...]) -> None:
        if is_exported(model):
            module, batch = exported_module(model, input_shape)
            self._batch = None if batch == BATCH else batch
            self._root = Replica(module).root
        else:
            self._root = Replica(model).root
            self._batch = None if _takes_two(self._root, input_shape) else 1

    def __call__(self, x: Tensor) -> Tensor:
        """Outputs ``(n, *output_shape)`` at inputs ``(n, *input_shape)``, n > 0."""
        x = x.double()
        with torch.no_grad():
            if self._batch is None:
                return self._root(x.clone())
            n_missing = -len(x) % self._batch
            filled = torch.cat([x, x[:1].expand(n_missing, *x.shape[1:])])
            return torch.cat([self._root(part) for part in filled.split(self._batch)])[: len(x)]


def _takes_two(root: nn.Module, input_shape: tuple[int, ...]) -> bool:
    try:
        with torch.no_grad():
            return len(root(torch.zeros(2, *input_shape, dtype=torch.float64))) == 2
    except FAILURES:
        return False
