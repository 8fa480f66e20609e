"""The partitions of one model on many slices."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Executor
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import nn

from splinecam.common.arguments import check_limit
from splinecam.common.batches import checked_device
from splinecam.common.errands import InPlace, Shared, check_executor, own_threads, run_errands
from splinecam.common.progress import progress_bar
from splinecam.convert import convert
from splinecam.engine import Limits, cut_slice
from splinecam.errors import InvalidArgumentError, SplineCamError
from splinecam.partition.partition import Partition
from splinecam.program import Program
from splinecam.slices import Slice

if TYPE_CHECKING:
    from torch.export import ExportedProgram

Programs = dict[tuple[int, ...], Program]
"""The program for each shape of inputs."""


def compute_partitions(
    model: nn.Module | ExportedProgram,
    slices: Iterable[Slice],
    *,
    device: str | torch.device | None = None,
    max_regions: int | None = None,
    progress: bool = False,
    executor: Executor | None = None,
) -> list[Partition]:
    """Enumerate all linear regions of a model on each of many slices.

    The slices are worked on side by side, each by one worker of the executor: quicker than one
    `compute_partition` after the other where there are many and none takes most of the time.

    Parameters
    ----------
    model : torch.nn.Module or torch.export.ExportedProgram
        As for `compute_partition`; it is read once.
    slices : iterable of Slice
    device : str or torch.device, optional
        Where pre-activations are computed, in float64. Default: the CPU.
    max_regions : int, optional
        The limit of each partition, as for `compute_partition`.
    progress : bool
        Show a progress bar.
    executor : concurrent.futures.Executor, optional
        Threads, other processes or other machines; does not change the result. Default: a pool
        with one thread for each available processor.

    Returns
    -------
    list of Partition
        In the order of the slices.

    Raises
    ------
    SplineCamError
        What `compute_partition` raises for a slice; a note of the error says for which.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1)
    ... )
    >>> boxes = [sc.Slice.box((x, x + 1), (0, 1)) for x in range(3)]
    >>> [p.slice.area for p in sc.compute_partitions(model, boxes)]
    [1.0, 1.0, 1.0]
    """
    slices = list(slices)
    for number, slice_ in enumerate(slices):
        if not isinstance(slice_, Slice):
            kind = type(slice_).__name__
            raise InvalidArgumentError(f"slices[{number}] is a {kind}; accepted: a Slice")
    check_executor(executor)
    check_limit("max_regions", max_regions)
    cut = partial(_cut, checked_device(device), Limits(max_regions))
    shapes = {slice_.input_shape for slice_ in slices}
    programs = {shape: replace(convert(model, shape), head=None) for shape in shapes}
    done: list[Partition] = []
    n_regions = 0
    with ExitStack() as stack:
        if executor is None:
            executor = stack.enter_context(own_threads())
        partitions = run_errands(executor, cut, Shared(programs), slices)
        stack.enter_context(closing(partitions))
        bar = progress_bar(len(slices), "cutting", "slice", shown=progress)
        report = stack.enter_context(bar)
        try:
            for partition in partitions:
                done.append(partition)
                n_regions += partition.n_regions
                report(n_regions)
        except SplineCamError as error:
            error.add_note(f"in slices[{len(done)}]")
            raise
    return done


def _cut(
    device: torch.device, limits: Limits, programs: Shared[Programs], slice_: Slice
) -> Partition:
    program = programs.get()[slice_.input_shape]
    return cut_slice(program, slice_, device, limits, InPlace(), progress=False)
