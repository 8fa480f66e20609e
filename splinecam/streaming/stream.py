"""Partitions larger than memory: tile by tile, with running totals and a folder to resume from."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import ExitStack, closing
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from splinecam.common.arguments import check_limit
from splinecam.common.batches import checked_device
from splinecam.common.errands import check_executor, own_threads
from splinecam.common.memory import available
from splinecam.common.workers import Workers
from splinecam.convert import convert
from splinecam.errors import InvalidArgumentError
from splinecam.partition.assembly import tile_partition
from splinecam.partition.partition import Partition
from splinecam.slices import Slice, check_slice
from splinecam.streaming.folder import StreamFolder, fingerprint
from splinecam.streaming.totals import Part, StreamTotals, measure_tile, total
from splinecam.tiling.jobs import Job, Leaf, Tile, cut_leaves, few_units, walk_leaves
from splinecam.tiling.rims import Rim, join_rims
from splinecam.tiling.tiles import number_corners, with_all_corners

if TYPE_CHECKING:
    from torch.export import ExportedProgram


class PartitionStream:
    """The partition of a slice, handed out tile by tile.

    Iterating cuts one tile after the other and yields it as a `Partition` of its own, on its part
    of the slice; only a few tiles are in memory at a time, and of those that are finished what
    lies along their seams. `totals` grows with them; when all are done, it tells of the whole
    slice exactly.

    Parameters
    ----------
    model : torch.nn.Module or torch.export.ExportedProgram
    slice_ : Slice
    device : str or torch.device, optional
        As for `compute_partition`.
    executor : concurrent.futures.Executor, optional
        As for `compute_partition`.
    folder : path, optional
        Where the totals of finished tiles are kept. A stream of the same model and slice with the
        same folder goes on after them, and does not hand them out again.
    memory : int, optional
        As for `compute_partition`; a folder's tiles stay as they were when it was begun.

    Attributes
    ----------
    n_tiles : int
        Number of all tiles.

    Raises
    ------
    InvalidFileError
        If the folder belongs to another model or slice, or is damaged.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1)
    ... )
    >>> slice_ = sc.Slice.box((-1, 1), (-1, 1))
    >>> stream = sc.PartitionStream(model, slice_)
    >>> area = sum(tile.areas.sum() for tile in stream)
    >>> bool(abs(area - slice_.area) < 1e-12)
    True
    >>> stream.totals.n_regions == sc.compute_partition(model, slice_).n_regions
    True
    """

    def __init__(
        self,
        model: nn.Module | ExportedProgram,
        slice_: Slice,
        *,
        device: str | torch.device | None = None,
        executor: Executor | None = None,
        folder: str | PathLike[str] | None = None,
        memory: int | None = None,
    ):
        check_slice(slice_)
        check_executor(executor)
        check_limit("memory", memory)
        program = convert(model, slice_.input_shape)
        self._job = Job(program, slice_, str(checked_device(device)))
        self._executor = executor
        self._folder = None if folder is None else StreamFolder(Path(folder))
        begun = None if self._folder is None else self._folder.few_units
        self._few = few_units(available(memory)) if begun is None else begun
        self._root = self._job.root()
        self._cells = with_all_corners(leaf.cell for leaf in self._walk())
        self._numbers = number_corners(self._cells)
        self._parts: dict[int, tuple[Part, Rim]] = {}
        self._totals: StreamTotals | None = None
        self.n_tiles = len(self._cells)
        if self._folder is not None:
            self._folder.begin(fingerprint(self._job, self._cells), self._few)
            self._parts = self._folder.read()

    def __iter__(self) -> Iterator[Partition]:
        with ExitStack() as stack:
            executor = self._executor
            if executor is None:
                executor = stack.enter_context(own_threads())
            stack.enter_context(Workers(None)).limit_blas()
            waiting = [n for n in range(self.n_tiles) if n not in self._parts]
            sent: deque[Leaf] = deque()
            leaves = self._leaves(set(waiting), sent)
            tiles = stack.enter_context(closing(cut_leaves(self._job, leaves, executor)))
            for number, tile in zip(waiting, tiles, strict=True):
                partition = tile_partition(self._job.slice_, sent.popleft().network, tile)
                self._add(number, tile, partition)
                yield partition

    @property
    def totals(self) -> StreamTotals:
        """What the tiles that are finished sum up to."""
        if self._totals is None:
            parts, rims = zip(*self._parts.values(), strict=True) if self._parts else ((), ())
            network = self._root.network
            self._totals = total(parts, join_rims(rims, network.units), network)
        return self._totals

    def count_regions(self) -> int:
        """The number of regions of the whole slice, once all tiles are finished.

        Raises
        ------
        InvalidArgumentError
            If tiles are missing.
        """
        if len(self._parts) < self.n_tiles:
            raise InvalidArgumentError(
                f"{len(self._parts)} of {self.n_tiles} tiles are finished; regions can be counted "
                "when all are"
            )
        return self.totals.n_regions

    def _walk(self) -> Iterator[Leaf]:
        return walk_leaves(self._job, self._root, self._few)

    def _leaves(self, chosen: set[int], sent: deque[Leaf]) -> Iterator[Leaf]:
        """The chosen leaves, one after the other, with all corners; they are noted, too."""
        for number, leaf in enumerate(self._walk()):
            if number in chosen:
                sent.append(leaf._replace(cell=self._cells[number]))
                yield sent[-1]

    def _add(self, number: int, tile: Tile, partition: Partition) -> None:
        part, rim = measure_tile(partition, tile.mesh(self._numbers))
        if self._folder is not None:
            self._folder.write(number, part, rim)
        self._parts[number] = part, rim
        self._totals = None
