"""From a model and a slice to the partition: all linear regions, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn
from tqdm import tqdm

from splinecam._batches import checked_device
from splinecam._workers import Workers
from splinecam.bounds import coordinate_rounding, network_bounds
from splinecam.convert import convert
from splinecam.cutting import Cutter
from splinecam.errors import InsufficientMemoryError, InvalidArgumentError, RegionLimitError
from splinecam.exact import ExactNetwork
from splinecam.mesh import check_mesh
from splinecam.partition import Partition
from splinecam.patches import Patch
from splinecam.program import Program
from splinecam.reduction import reduced_bounds
from splinecam.restrict import is_chain, restrict
from splinecam.root import reduce_program
from splinecam.slices import Slice
from splinecam.subdivision import Context, Subdivision
from splinecam.twins import find_twins

MAX_REGIONS = 500_000_000
"""What 32-bit numbers of half-edges allow."""

SMALL_MATRIX = 2**12
"""Entries of matrices whose products start no threads anyway."""

NEGLIGIBLE = 2**28
"""Bytes that are taken without asking how many are free."""


def compute_partition(
    model: nn.Module,
    slice_: Slice,
    *,
    device: str | torch.device | None = None,
    max_regions: int | None = None,
    progress: bool = False,
    executor: Executor | None = None,
) -> Partition:
    """Enumerate all linear regions of a model on a slice.

    The zero lines of the units cut the slice layer by layer (SplineCam, Humayun et al., CVPR 2023,
    arXiv 2302.12828), here as one planar subdivision whose vertices and edges neighbouring regions
    share.

    Parameters
    ----------
    model : torch.nn.Module
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
        If a layer needs more memory than is free.
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
    _check_arguments(slice_, max_regions, executor)
    where = checked_device(device)
    program = convert(model, slice_.input_shape)
    limit = MAX_REGIONS if max_regions is None else max_regions
    n_layers = len(program.piecewise_steps)
    with Workers(executor) as workers, _progress(n_layers, shown=progress) as report:
        engine = _Engine(program, slice_, limit, where, workers)
        return engine.run(report)


def _check_arguments(slice_: Any, max_regions: Any, executor: Any) -> None:
    if not isinstance(slice_, Slice):
        raise InvalidArgumentError(f"slice_ is a {type(slice_).__name__}; accepted: a Slice")
    is_count = isinstance(max_regions, int | np.integer) and not isinstance(max_regions, bool)
    if max_regions is not None and not (is_count and max_regions >= 1):
        raise InvalidArgumentError(
            f"max_regions is {max_regions!r}; accepted: an integer of 1 or more, or None"
        )
    if executor is not None and not isinstance(executor, ThreadPoolExecutor):
        raise InvalidArgumentError(
            f"executor is a {type(executor).__name__}; accepted: a ThreadPoolExecutor, or None"
        )


@contextmanager
def _progress(n_layers: int, *, shown: bool) -> Iterator[Callable[[int], None]]:
    """What to call with the number of regions after each layer."""
    if not shown:
        yield lambda n_regions: None
        return
    with tqdm(total=n_layers, desc="cutting", unit="layer") as bar:

        def report(n_regions: int) -> None:
            bar.set_postfix(regions=f"{n_regions:,}", refresh=False)
            bar.update()

        yield report


class _Engine:
    """Cuts a slice by the layers of a network."""

    def __init__(
        self,
        program: Program,
        slice_: Slice,
        max_regions: int,
        device: torch.device,
        workers: Workers,
    ):
        self._program = program
        self._slice = slice_
        self._max_regions = max_regions
        context = Context(lambda: self._exact, device, workers, self._check, self._is_too_many)
        patch = Patch.of_polygon(slice_.polygon)
        if is_chain(program):
            self._network = restrict(program, slice_)
            bounds = network_bounds(self._network, slice_.polygon)
            twins = find_twins(program)
        else:
            self._network, ground = reduce_program(program, slice_, device)
            bounds, twins = reduced_bounds(self._network, ground), None
        if max((layer.weight.size for layer in self._network.layers), default=0) > SMALL_MATRIX:
            workers.limit_blas()
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
        available = psutil.virtual_memory().available
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
        check_mesh(mesh, coordinate_rounding(self._slice.polygon), self._workers)
        return Partition(
            slice=self._slice,
            network=self._network.head(n_layers),
            vertices=mesh.vertices,
            edges=mesh.edges,
            edge_regions=mesh.edge_faces,
            edge_hinges=np.maximum(mesh.edge_labels, -1),
            shared_edges=shared.edges,
            shared_hinges=shared.codes,
            region_offsets=mesh.face_offsets,
            region_halfedges=mesh.face_halfedges,
            root_pattern=root_pattern[: self._network.head(n_layers).units.n_units],
        )
