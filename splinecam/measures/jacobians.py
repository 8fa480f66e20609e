"""Jacobians in the full input space, and the average outer product of gradients."""

from __future__ import annotations

from collections.abc import Iterator
from math import prod

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from splinecam.common.arguments import real_array
from splinecam.common.types import Floats
from splinecam.convert import convert
from splinecam.errors import InvalidArgumentError
from splinecam.measures.held import held_values, program_of
from splinecam.partition.partition import Partition
from splinecam.program import Program

BATCH_ENTRIES = 2**22
"""Entries of all values of the program that are held at a time."""


def input_jacobians(
    partition: Partition, model: nn.Module, regions: ArrayLike | None = None
) -> Floats:
    """Compute the Jacobians of the network on regions, with respect to the whole input.

    The derivative is that of the program into which the model is converted, with each unit on the
    piece that the region's activation pattern names: no point of the region is evaluated, so that
    rounding decides nothing however small the region is.

    Parameters
    ----------
    partition : Partition
    model : torch.nn.Module
        What the partition is of. It is left as it is.
    regions : array_like of int, optional
        Which regions, (k,). Default: all.

    Returns
    -------
    ndarray
        (k, out, *input_shape) float64, for the flattened output. With the slice's `basis` and
        flattened inputs, ``jacobians @ basis.T`` is A of `Partition.affine_maps`.

    Raises
    ------
    InvalidArgumentError
        If `regions` are no numbers of regions, or the model's layers are not the partition's.
    UnsupportedLayerError, InvalidModelError
        If the model cannot be converted.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.jacobians import input_jacobians
    >>> fold = torch.nn.Sequential(torch.nn.Linear(3, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[1.0, 2.0, 3.0]])), fold[0].bias.fill_(9.0)
    >>> p = sc.compute_partition(fold, sc.Slice.axes(0, 1, at=[0, 0, 0], xlim=(0, 1), ylim=(0, 1)))
    >>> input_jacobians(p, fold).tolist()
    [[[1.0, 2.0, 3.0]]]
    """
    program = _program(partition, model)
    chosen = np.arange(partition.n_regions) if regions is None else regions
    shape = partition.slice.input_shape
    found = [jacobians for _, jacobians in _batches(partition, program, chosen)]
    n_outputs = prod(program.output_shape)
    return np.concatenate([np.empty((0, n_outputs, *shape)), *found])


def slice_agop(partition: Partition, model: nn.Module) -> Floats:
    """Compute the average gradient outer product over a slice, in the full input space, exactly.

    G = ∫ JᵀJ / area = Σ (area of the region / area) JᵀJ, with J the Jacobian on each region: the
    AGOP (Radhakrishnan et al., Science 383, 2024) for inputs spread evenly on the slice, without
    sampling.

    Parameters
    ----------
    partition : Partition
    model : torch.nn.Module
        What the partition is of. It is left as it is.

    Returns
    -------
    ndarray
        (D, D) float64, for flattened inputs.

    Raises
    ------
    InvalidArgumentError, UnsupportedLayerError, InvalidModelError
        As for `input_jacobians`.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.measures.jacobians import slice_agop
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[3.0, 4.0]])), fold[0].bias.zero_()
    >>> p = sc.compute_partition(fold, sc.Slice.box((-1, 1), (-1, 1)))
    >>> slice_agop(p, fold).round(6).tolist()
    [[4.5, 6.0], [6.0, 8.0]]
    """
    program = _program(partition, model)
    dim = partition.slice.dim
    shares = partition.areas / partition.areas.sum()
    total = np.zeros((dim, dim))
    for regions, jacobians in _batches(partition, program, np.arange(partition.n_regions)):
        rows = np.sqrt(shares[regions])[:, None, None] * jacobians.reshape(len(regions), -1, dim)
        rows = rows.reshape(-1, dim)
        total += rows.T @ rows
    return total


def sample_agop(model: nn.Module, points: ArrayLike) -> Floats:
    """Compute the average gradient outer product over samples, in the full input space.

    G = (1/n) Σ JᵀJ, with J the Jacobian at each of the n points (Radhakrishnan et al., Science
    383, 2024). A unit exactly at a breakpoint is taken to be below it.

    Parameters
    ----------
    model : torch.nn.Module
        It is left as it is.
    points : array_like
        (n, *input_shape) inputs, n >= 1; D is the number of one input's entries.

    Returns
    -------
    ndarray
        (D, D) float64, for flattened inputs.

    Raises
    ------
    InvalidArgumentError
        If `points` are no such array of finite numbers.
    UnsupportedLayerError, InvalidModelError
        If the model cannot be converted.

    Examples
    --------
    >>> import torch
    >>> from splinecam.measures.jacobians import sample_agop
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[3.0, 4.0]])), fold[0].bias.zero_()
    >>> sample_agop(fold, [[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0], [0.0, -1.0]]).tolist()
    [[4.5, 6.0], [6.0, 8.0]]
    """
    x = real_array("points", points, InvalidArgumentError)
    if x.ndim < 2 or not x.size:
        raise InvalidArgumentError(
            f"points has shape {x.shape}; accepted: (n, *input_shape) with n >= 1"
        )
    program = convert(model, x.shape[1:])
    dim = prod(x.shape[1:])
    step = _batch_size(program)
    total = np.zeros((dim, dim))
    for start in range(0, len(x), step):
        inputs = torch.from_numpy(x[start : start + step].astype(np.float64))
        rows = _differentiate(program, program.patterns(inputs).numpy()).reshape(-1, dim)
        total += rows.T @ rows
    return total / len(x)


def _program(partition: Partition, model: nn.Module) -> Program:
    names, sizes = partition.layer_names, partition.layer_sizes
    return program_of(model, partition.slice.input_shape, names, sizes)


def _batch_size(program: Program) -> int:
    """How many points' derivatives are computed at a time."""
    sizes = [prod(program.input_shape) * (1 + prod(program.output_shape))]
    sizes += [prod(step.shape) for step in program.steps]
    return max(1, BATCH_ENTRIES // sum(sizes))


def _batches(
    partition: Partition, program: Program, regions: ArrayLike
) -> Iterator[tuple[NDArray[np.integer], Floats]]:
    """Regions, some at a time, with their Jacobians."""
    chosen = np.asarray(regions)
    patterns = partition.patterns(chosen)
    step = _batch_size(program)
    for start in range(0, len(chosen), step):
        held = slice(start, start + step)
        yield chosen[held], _differentiate(program, patterns[held])


def _differentiate(program: Program, patterns: NDArray[np.unsignedinteger]) -> Floats:
    """Jacobians (n, out, *input_shape) where the units have given patterns (n, units).

    On given pieces the program is affine, whatever its input.
    """
    count = len(patterns)
    with torch.inference_mode(False), torch.enable_grad():
        x = torch.zeros(count, *program.input_shape, dtype=torch.float64, requires_grad=True)
        outputs = held_values(program, x, patterns).reshape(count, -1)
        rows = [
            torch.autograd.grad(outputs[:, c].sum(), x, retain_graph=True)[0]
            for c in range(outputs.shape[1])
        ]
    return torch.stack(rows, dim=1).numpy()
