"""From a model and a slice to the partition: all linear regions, layer by layer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import nn

from splinecam.common.arguments import check_limit
from splinecam.common.batches import checked_device
from splinecam.common.errands import InPlace, check_executor
from splinecam.common.memory import available
from splinecam.common.progress import progress_bar
from splinecam.common.workers import Workers
from splinecam.convert import convert
from splinecam.cutting.mesh import NOTHING_SHARED
from splinecam.cutting.patches import Patch
from splinecam.cutting.refine import Cutter
from splinecam.cutting.small import cut_small
from splinecam.cutting.subdivision import Context, Subdivision
from splinecam.cutting.twins import find_twins
from splinecam.errors import InsufficientMemoryError, RegionLimitError
from splinecam.exact import ExactNetwork
from splinecam.network.bounds import network_bounds
from splinecam.network.planar import PlanarNetwork
from splinecam.network.restrict import is_chain, restrict
from splinecam.partition.assembly import make_partition
from splinecam.partition.partition import Partition
from splinecam.program import Program
from splinecam.slices import Slice, check_slice
from splinecam.tiled import TiledPartition
from splinecam.tiling.jobs import Job

if TYPE_CHECKING:
    from torch.export import ExportedProgram

MAX_REGIONS = 500_000_000
"""What 32-bit numbers of half-edges allow."""

SMALL_MATRIX = 2**12
"""Entries of matrices whose products start no threads anyway."""

SMALL = 200
"""Units up to which a plain chain is cut as it is, whatever its depth."""

SHALLOW = 3
"""Layers up to which a plain chain is cut as it is: deeper, bounds of errors get loose."""

NEGLIGIBLE = 2**28
"""Bytes that are taken without asking how many are free, where no limit is given."""


def compute_partition(
    model: nn.Module | ExportedProgram,
    slice_: Slice,
    *,
    device: str | torch.device | None = None,
    max_regions: int | None = None,
    progress: bool = False,
    executor: Executor | None = None,
    memory: int | None = None,
) -> Partition:
    """Enumerate all linear regions of a model on a slice.

    The zero lines of the units cut the slice layer by layer (SplineCam, Humayun et al., CVPR 2023,
    arXiv 2302.12828), here as one planar subdivision whose vertices and edges neighbouring regions
    share.

    Parameters
    ----------
    model : torch.nn.Module or torch.export.ExportedProgram
        Affine and piecewise-linear parts only; it is read as in evaluation mode and left as it is.
    slice_ : Slice
        Where to look.
    device : str or torch.device, optional
        Where pre-activations are computed, in float64. Default: the CPU.
    max_regions : int, optional
        Stop with `RegionLimitError` before the partition grows beyond it. Default: 500 million,
        what 32-bit numbers of half-edges allow.
    progress : bool
        Show a progress bar.
    executor : concurrent.futures.Executor, optional
        Runs the work: threads, other processes, or other machines (Dask's
        ``client.get_executor()``, say). Default: a pool with one thread for each available
        processor. The result does not depend on it. What is small enough to be cut in one piece
        takes threads of this process only.
    memory : int, optional
        Bytes that this process is to stay below. What would take more when cut in one piece is
        cut tile by tile, and tiles are made so small that the processors work within it. Default:
        four fifths of what is free.

    Returns
    -------
    Partition

    Raises
    ------
    UnsupportedLayerError
        If a part of the model is not piecewise linear or not known.
    InvalidModelError
        If its weights are not finite or shapes do not fit.
    InvalidSliceError
        If the slice does not fit the model's input.
    RegionLimitError
        If there are more than `max_regions` regions; it carries the part that was finished.
    InsufficientMemoryError
        If the result needs more memory than there is; `PartitionStream` hands it out in parts.
    ExecutorError
        If the executor breaks down.
    InvariantError
        If the result contradicts itself, which would be a defect of splinecam.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1)
    ... )
    >>> partition = sc.compute_partition(model, sc.Slice.box((-1, 1), (-1, 1)))
    >>> partition.n_vertices - partition.n_edges + partition.n_regions
    1
    """
    check_slice(slice_)
    check_executor(executor)
    check_limit("max_regions", max_regions)
    check_limit("memory", memory)
    program = convert(model, slice_.input_shape)
    limits = Limits(max_regions, memory)
    return cut_slice(program, slice_, checked_device(device), limits, executor, progress=progress)


class Limits(NamedTuple):
    """What a partition may take; None for the defaults of `compute_partition`."""

    max_regions: int | None = None
    memory: int | None = None


def cut_slice(
    program: Program,
    slice_: Slice,
    device: torch.device,
    limits: Limits,
    executor: Executor | None,
    *,
    progress: bool,
) -> Partition:
    """Enumerate all linear regions of a program on a slice, as `compute_partition` says."""
    max_regions = MAX_REGIONS if limits.max_regions is None else limits.max_regions
    if is_chain(program) and _is_plain(program):
        network = restrict(program, slice_)
        small = cut_small(network, slice_.polygon, max_regions) if device.type == "cpu" else None
        with progress_bar(len(network.layers), "cutting", "layer", shown=progress) as report:
            if small is not None:
                mesh, pattern = small
                for _ in network.layers:
                    report(len(mesh.face_offsets) - 1)
                return make_partition(slice_, network, mesh, NOTHING_SHARED, pattern)
            with suppress(InsufficientMemoryError), _workers(executor) as workers:
                memory = limits.memory
                engine = _Engine(program, slice_, network, max_regions, memory, device, workers)
                return engine.run(report)
    job = Job(program, slice_, str(device))
    return TiledPartition(job, max_regions, limits.memory, progress).run(executor)


def _workers(executor: Executor | None) -> Workers:
    """Threads of this process: the executor's, if these are its own."""
    if isinstance(executor, InPlace):
        return Workers(n_helpers=0)
    return Workers(executor if isinstance(executor, ThreadPoolExecutor) else None)


def _is_plain(program: Program) -> bool:
    """Whether cutting the slice as a whole is quicker than reducing the network on tiles."""
    steps = program.piecewise_steps
    return len(steps) <= SHALLOW or sum(step.n_units for step in steps) <= SMALL


class _Engine:
    """Cuts a slice by the layers of a network."""

    def __init__(
        self,
        program: Program,
        slice_: Slice,
        network: PlanarNetwork,
        max_regions: int,
        memory: int | None,
        device: torch.device,
        workers: Workers,
    ):
        self._program = program
        self._slice = slice_
        self._max_regions = max_regions
        self._memory = memory
        context = Context(lambda: self._exact, device, workers, self._check, self._is_too_many)
        patch = Patch.of_polygon(slice_.polygon)
        self._network = network
        if max((layer.weight.size for layer in self._network.layers), default=0) > SMALL_MATRIX:
            workers.limit_blas()
        bounds = network_bounds(self._network, slice_.polygon)
        twins = find_twins(program)
        self._subdivision = Subdivision(self._network, bounds, patch, context, twins)
        self._workers = workers

    @cached_property
    def _exact(self) -> ExactNetwork:
        return ExactNetwork(self._program, self._slice)

    def run(self, report: Callable[[int], None]) -> Partition:
        self._subdivision.cut(report)
        return self._partition()

    def _is_too_many(self, n_regions: int) -> bool:
        return n_regions > self._max_regions

    def _check(self, number: int, cutter: Cutter, n_carried: int) -> None:
        """Refuse to make too many regions, or to start what would not fit into memory."""
        name = self._network.layers[number].name
        if cutter.n_faces > self._max_regions:
            raise RegionLimitError(
                f"layer {number} ({name}) makes at least {cutter.n_faces:,} regions, max_regions "
                f"is {self._max_regions:,}; the error carries the partition by the "
                f"{self._subdivision.finished.n_layers} layers before it",
                self._partition(),
                cutter.n_faces,
                self._max_regions,
            )
        needed = cutter.n_bytes + 8 * cutter.n_vertices * n_carried
        if self._memory is None and needed < NEGLIGIBLE:
            return
        free = available(self._memory)
        if needed > free:
            raise InsufficientMemoryError(
                f"layer {number} ({name}) makes {cutter.n_faces:,} regions, which "
                f"takes about {needed / 2**30:.1f} GiB of memory; {free / 2**30:.1f} GiB are "
                "free",
                needed,
                free,
            )

    def _partition(self) -> Partition:
        """The partition by the steps that are finished."""
        n_layers, mesh, shared, root_pattern = self._subdivision.finished
        shared = shared.take(mesh.edge_faces[shared.edges, 1] >= 0)
        network = self._network.head(n_layers)
        pattern = root_pattern[: network.units.n_units]
        return make_partition(self._slice, network, mesh, shared, pattern)
