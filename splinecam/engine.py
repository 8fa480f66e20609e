"""From a model and a slice to the partition: all linear regions, layer by layer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import psutil
import torch
from torch import nn
from tqdm import tqdm

from splinecam._batches import checked_device
from splinecam._kernels.words import pack_set
from splinecam._workers import Workers
from splinecam.bounds import coordinate_rounding, network_bounds
from splinecam.convert import convert
from splinecam.cutting import Cutter
from splinecam.errors import InsufficientMemoryError, InvalidArgumentError, RegionLimitError
from splinecam.exact import ExactNetwork, Point, Row, line_through, point_at
from splinecam.flips import find_flips
from splinecam.mesh import NOTHING_SHARED, carry, check_mesh, polygon_mesh
from splinecam.partition import Partition
from splinecam.planar import Layer
from splinecam.program import Program
from splinecam.propagate import propagate
from splinecam.resolve import Resolver
from splinecam.restrict import restrict
from splinecam.slices import Slice
from splinecam.twins import find_twins, follow_kinks, follow_labels, follow_signs

FIRST_BATCH = 32
"""Hinges of a wide first layer that cut alone, so that the others find many faces to share out."""

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
    """Cuts a slice by the layers of a network, one after the other."""

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
        self._network = restrict(program, slice_)
        self._max_regions = max_regions
        self._device = device
        self._workers = workers
        if max((layer.weight.size for layer in self._network.layers), default=0) > SMALL_MATRIX:
            workers.limit_blas()
        self._twins = find_twins(program)
        self._bounds = network_bounds(self._network, slice_.polygon)
        self._rounding = coordinate_rounding(slice_.polygon)
        self._mesh = polygon_mesh(slice_.polygon)
        self._shared = NOTHING_SHARED
        self._root_patterns: list[np.ndarray] = []
        self._points: dict[int, Point] = {}
        self._first_batch: tuple[np.ndarray, np.ndarray] | None = None

    def run(self, report: Callable[[int], None]) -> Partition:
        layers = self._network.layers
        values = np.empty((0, 0))
        label = 0
        for number, layer in enumerate(layers):
            leading = np.ones(layer.n_hinges, bool)
            leading[self._twins[number].followers] = False
            if number == 0:
                leading &= ~self._cut_first_batch(layer, leading)
                values = _hinge_values(layer, self._mesh.vertices)
            following = layers[number + 1] if number + 1 < len(layers) else None
            values = self._cut(number, values, pack_set(leading), label, following)
            label += layer.n_hinges
            report(len(self._mesh.face_offsets) - 1)
        return self._finish(len(layers))

    def _cut_first_batch(self, layer: Layer, leading: np.ndarray) -> np.ndarray:
        """Cut by a few hinges of a wide first layer; return by which."""
        batch = np.zeros(layer.n_hinges, bool)
        if np.count_nonzero(leading) <= 2 * FIRST_BATCH:
            return batch
        values = _hinge_values(layer, self._mesh.vertices)
        positive = values > 0
        cutting = np.flatnonzero(positive.any(axis=0) & ~positive.all(axis=0) & leading)
        batch[cutting[:FIRST_BATCH]] = True
        cutter = self._cutter(0, values, pack_set(batch), 0)
        refinement = cutter.refine(with_chords=False)
        self._first_batch = (batch, cutter.root_signs)
        self._mesh, self._shared = refinement.mesh, refinement.shared
        return batch

    def _cut(
        self,
        number: int,
        values: np.ndarray,
        chosen: np.ndarray,
        label: int,
        following: Layer | None,
    ) -> np.ndarray:
        """Cut by the chosen hinges of a layer; return the values of the following layer's."""
        layer, old = self._network.layers[number], self._mesh
        cutter = self._cutter(number, values, chosen, label)
        refinement = cutter.refine(with_chords=following is not None)
        twins = self._twins[number]
        self._mesh = refinement.mesh
        self._shared = follow_labels(refinement.mesh, refinement.shared, label, layer, twins)
        signs = cutter.root_signs
        if number == 0 and self._first_batch:
            signs = np.where(*self._first_batch, signs)
        self._root_patterns.append(layer.count_exceeded(follow_signs(signs, twins) > 0))
        if following is None:
            return np.empty((0, 0))
        carried = np.empty((len(self._mesh.vertices), following.n_hinges))
        propagate(layer, following, values, carried, self._device, self._workers)
        kinks = follow_kinks(layer.kink_columns(following.hinge_map[0]), twins)
        carry(old, refinement, values, kinks, carried, self._workers)
        return carried

    def _cutter(self, number: int, values: np.ndarray, chosen: np.ndarray, label: int) -> Cutter:
        """Plan the cut of the mesh; refuse if it makes too many regions."""
        cutter = Cutter(
            *(self._mesh, self._shared, values, self._bounds[number], chosen, label),
            self._rounding,
            lambda: self._resolver(number),
            self._workers,
        )
        if cutter.n_faces > self._max_regions:
            name = self._network.layers[number].name
            raise RegionLimitError(
                f"layer {number} ({name}) makes at least {cutter.n_faces:,} regions, max_regions "
                f"is {self._max_regions:,}; the error carries the partition by the {number} "
                "layers before it",
                self._finish(number),
                cutter.n_faces,
                self._max_regions,
            )
        self._check_memory(number, cutter)
        return cutter

    def _check_memory(self, number: int, cutter: Cutter) -> None:
        """Refuse to start what would not fit."""
        layers = self._network.layers
        carried = layers[number + 1].n_hinges if number + 1 < len(layers) else 0
        needed = cutter.n_bytes + 8 * cutter.n_vertices * carried
        if needed < NEGLIGIBLE:
            return
        available = psutil.virtual_memory().available
        if needed > available:
            raise InsufficientMemoryError(
                f"layer {number} ({layers[number].name}) makes {cutter.n_faces:,} regions, which "
                f"takes about {needed / 2**30:.1f} GiB of memory; {available / 2**30:.1f} GiB are "
                "free",
                needed,
                available,
            )

    def _resolver(self, number: int) -> Resolver:
        """Exact decisions in one layer, on the mesh as it is."""
        exact, sides = self._exact
        # What flips in this layer already, in the first batch, is no part of any prefix.
        own = np.zeros(self._network.layers[number].n_units, np.uint8)
        root_pattern = np.concatenate([*self._root_patterns, own])
        flips = find_flips(self._network, self._mesh.edge_labels, self._shared)
        return Resolver(
            exact, sides, self._network, self._mesh, flips, root_pattern, number, self._points
        )

    @cached_property
    def _exact(self) -> tuple[ExactNetwork, list[Row]]:
        """The network and the slice's sides without rounding."""
        corners = [point_at(*corner) for corner in self._slice.polygon.tolist()]
        sides = [line_through(p, q) for p, q in pairwise([*corners, corners[0]])]
        return ExactNetwork(self._program, self._slice), sides

    def _finish(self, n_layers: int) -> Partition:
        """The partition by the first layers."""
        mesh = self._mesh if n_layers else polygon_mesh(self._slice.polygon)
        shared = self._shared if n_layers else NOTHING_SHARED
        check_mesh(mesh, self._rounding, self._workers)
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
            root_pattern=np.concatenate([np.zeros(0, np.uint8), *self._root_patterns[:n_layers]]),
        )


def _hinge_values(layer: Layer, vertices: np.ndarray) -> np.ndarray:
    """Values of the first layer's hinges at plane coordinates."""
    weight, bias = layer.hinge_map
    values = np.multiply.outer(vertices[:, 0], weight[:, 0])
    values += np.multiply.outer(vertices[:, 1], weight[:, 1])
    values += bias
    return values
