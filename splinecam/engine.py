"""From a model and a slice to the partition: all linear regions, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from splinecam._kernels.arrays import Mesh
from splinecam.common.batches import checked_device
from splinecam.common.workers import Workers, n_processors
from splinecam.convert import convert
from splinecam.cutting.mesh import NOTHING_SHARED, Shared, check_mesh
from splinecam.cutting.numbering import renumber
from splinecam.cutting.patches import Patch
from splinecam.cutting.refine import Cutter
from splinecam.cutting.small import cut_small
from splinecam.cutting.subdivision import Context, Subdivision
from splinecam.cutting.twins import find_twins
from splinecam.errors import InsufficientMemoryError, InvalidArgumentError, RegionLimitError
from splinecam.exact import ExactNetwork
from splinecam.network.bounds import coordinate_rounding, network_bounds
from splinecam.network.planar import PlanarNetwork
from splinecam.network.reduced import ReducedNetwork
from splinecam.network.restrict import is_chain, restrict
from splinecam.partition.partition import Partition
from splinecam.program import Program
from splinecam.slices import Slice
from splinecam.tiling.jobs import Job, Leaf, Tile, cut_leaves, find_leaves
from splinecam.tiling.seams import TileMesh
from splinecam.tiling.stitch import stitch
from splinecam.tiling.tiles import number_corners

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

CHECKED = 2**18
"""After so many regions it is checked whether memory suffices."""

BYTES_TO_JOIN = 250
"""For each region of the tiles: about twice the size of the result, and what lies on seams."""

NEGLIGIBLE = 2**28
"""Bytes that are taken without asking how many are free."""


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
    executor : concurrent.futures.ThreadPoolExecutor, optional
        Runs the work. Default: a pool with one thread for each available processor. The result
        does not depend on the number of threads.
    memory : int, optional
        Bytes to stay below. What would take more when cut in one piece is cut tile by tile.
        Default: what is free.

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
    _check_arguments(slice_, max_regions, executor, memory)
    where = checked_device(device)
    program = convert(model, slice_.input_shape)
    limit = MAX_REGIONS if max_regions is None else max_regions
    if is_chain(program) and _is_plain(program):
        network = restrict(program, slice_)
        with _progress(len(network.layers), "cutting", "layer", shown=progress) as report:
            small = cut_small(network, slice_.polygon, limit) if where.type == "cpu" else None
            if small is not None:
                mesh, pattern = small
                for _ in network.layers:
                    report(len(mesh.face_offsets) - 1)
                return make_partition(slice_, network, mesh, NOTHING_SHARED, pattern)
            with suppress(InsufficientMemoryError), Workers(executor) as workers:
                return _Engine(program, slice_, network, limit, memory, where, workers).run(report)
    job = Job(program, slice_, str(where))
    return _Tiles(job, limit, memory, executor, progress).run()


def _available(memory: int | None) -> int:
    """Bytes that may still be taken."""
    import psutil

    free = psutil.virtual_memory().available
    return free if memory is None else min(free, memory - psutil.Process().memory_info().rss)


def _is_plain(program: Program) -> bool:
    """Whether cutting the slice as a whole is quicker than reducing the network on tiles."""
    steps = program.piecewise_steps
    return len(steps) <= SHALLOW or sum(step.n_units for step in steps) <= SMALL


def _check_arguments(slice_: Any, max_regions: Any, executor: Any, memory: Any) -> None:
    if not isinstance(slice_, Slice):
        raise InvalidArgumentError(f"slice_ is a {type(slice_).__name__}; accepted: a Slice")
    for name, count in (("max_regions", max_regions), ("memory", memory)):
        is_count = isinstance(count, int | np.integer) and not isinstance(count, bool)
        if count is not None and not (is_count and count >= 1):
            raise InvalidArgumentError(
                f"{name} is {count!r}; accepted: an integer of 1 or more, or None"
            )
    if executor is not None and not isinstance(executor, ThreadPoolExecutor):
        raise InvalidArgumentError(
            f"executor is a {type(executor).__name__}; accepted: a ThreadPoolExecutor, or None"
        )


@contextmanager
def _progress(
    total: int, description: str, unit: str, *, shown: bool
) -> Iterator[Callable[[int], None]]:
    """What to call with the number of regions after each layer or tile."""
    if not shown:
        yield lambda n_regions: None
        return
    from tqdm import tqdm

    with tqdm(total=total, desc=description, unit=unit) as bar:

        def report(n_regions: int) -> None:
            bar.set_postfix(regions=f"{n_regions:,}", refresh=False)
            bar.update()

        yield report


class _Tiles:
    """Cuts a slice tile by tile."""

    def __init__(
        self,
        job: Job,
        max_regions: int,
        memory: int | None,
        executor: Executor | None,
        progress: bool,
    ):
        self._job = job
        self._max_regions = max_regions
        self._memory = memory
        self._executor = executor
        self._progress = progress

    def run(self) -> Partition:
        with ExitStack() as stack:
            executor = self._executor
            if executor is None:
                executor = stack.enter_context(ThreadPoolExecutor(n_processors()))
            workers = stack.enter_context(Workers(None))
            workers.limit_blas()
            root = self._job.root()
            leaves = find_leaves(self._job, root, executor)
            report = stack.enter_context(
                _progress(len(leaves), "cutting", "tile", shown=self._progress)
            )
            return self._joined(root, leaves, cut_leaves(self._job, leaves, executor), report)

    def _joined(
        self,
        root: Leaf,
        leaves: Sequence[Leaf],
        tiles: Iterable[Tile],
        report: Callable[[int], None],
    ) -> Partition:
        numbers = number_corners(leaf.cell for leaf in leaves)
        first = root.cell.points[0]
        root_pattern = root.network.rest
        n_regions = 0

        def meshes() -> Iterator[TileMesh]:
            nonlocal n_regions, root_pattern
            for tile in tiles:
                n_regions += tile.n_regions
                if n_regions > self._max_regions:
                    raise self._too_many(root, n_regions)
                if tile.cell.points[0] == first and tile.cell.sides[0] == 0:
                    root_pattern = tile.finished.root_pattern
                self._check_memory(n_regions, tile.n_regions)
                report(n_regions)
                yield tile.mesh(numbers)

        mesh, shared = renumber(*stitch(meshes()))
        return make_partition(self._job.slice_, root.network, mesh, shared, root_pattern)

    def _check_memory(self, n_regions: int, n_new: int) -> None:
        """Refuse what could not be put together; asked once in a while."""
        if n_regions // CHECKED == (n_regions - n_new) // CHECKED:
            return
        needed = BYTES_TO_JOIN * n_regions
        available = _available(self._memory)
        if needed > available:
            raise InsufficientMemoryError(
                f"the tiles that are finished have {n_regions:,} regions, which take another "
                f"{needed / 2**30:.1f} GiB of memory to put together; {available / 2**30:.1f} GiB "
                "are free. PartitionStream hands them out one by one",
                needed,
                available,
            )

    def _too_many(self, root: Leaf, n_regions: int) -> RegionLimitError:
        network = root.network.head(0)
        mesh = root.cell.patch.mesh()
        whole = make_partition(self._job.slice_, network, mesh, NOTHING_SHARED, network.rest)
        return RegionLimitError(
            f"the tiles that are finished have {n_regions:,} regions, max_regions is "
            f"{self._max_regions:,}; the error carries the slice, cut by none of the layers",
            whole,
            n_regions,
            self._max_regions,
        )


def make_partition(
    slice_: Slice,
    network: PlanarNetwork | ReducedNetwork,
    mesh: Mesh,
    shared: Shared,
    root_pattern: np.ndarray,
) -> Partition:
    """A partition from its mesh, which is checked."""
    check_mesh(mesh, coordinate_rounding(slice_.polygon), Workers(None))
    return Partition(
        slice=slice_,
        network=network,
        vertices=mesh.vertices,
        edges=mesh.edges,
        edge_regions=mesh.edge_faces,
        edge_hinges=np.maximum(mesh.edge_labels, -1),
        shared_edges=shared.edges,
        shared_hinges=shared.codes,
        region_offsets=mesh.face_offsets,
        region_halfedges=mesh.face_halfedges,
        root_pattern=root_pattern,
    )


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
        if needed < NEGLIGIBLE:
            return
        available = _available(self._memory)
        if needed > available:
            raise InsufficientMemoryError(
                f"layer {number} ({name}) makes {cutter.n_faces:,} regions, which "
                f"takes about {needed / 2**30:.1f} GiB of memory; {available / 2**30:.1f} GiB are "
                "free",
                needed,
                available,
            )

    def _partition(self) -> Partition:
        """The partition by the steps that are finished."""
        n_layers, mesh, shared, root_pattern = self._subdivision.finished
        network = self._network.head(n_layers)
        pattern = root_pattern[: network.units.n_units]
        return make_partition(self._slice, network, mesh, shared, pattern)
