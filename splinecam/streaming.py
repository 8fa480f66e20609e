"""Partitions larger than memory: tile by tile, with running totals and a folder to resume from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import fields, is_dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import nn

from splinecam.common.batches import checked_device
from splinecam.common.workers import Workers, n_processors
from splinecam.convert import convert
from splinecam.engine import make_partition
from splinecam.errors import InvalidArgumentError, InvalidFileError
from splinecam.partition.archive import DAMAGE
from splinecam.partition.partition import Partition
from splinecam.slices import Slice
from splinecam.tiling.counting import TileCount, count_regions, count_tile
from splinecam.tiling.jobs import Job, Leaf, Tile, cut_leaves, walk_leaves
from splinecam.tiling.seams import TileMesh
from splinecam.tiling.stitch import stitch
from splinecam.tiling.tiles import number_corners, with_all_corners

if TYPE_CHECKING:
    from torch.export import ExportedProgram

HEADER = "job.txt"


class StreamTotals(NamedTuple):
    """What the tiles that are finished sum up to."""

    n_tiles: int
    n_pieces: int
    """Regions of all tiles; one that lies on several tiles counts in each."""
    area: float
    """In plane coordinates."""
    edge_lengths: np.ndarray
    """(layers,) float64: length of the edges that each layer made, in plane coordinates."""


class PartitionStream:
    """The partition of a slice, handed out tile by tile.

    Iterating cuts one tile after the other and yields it as a `Partition` of its own, on its part
    of the slice; only a few tiles are in memory at a time. `totals` grows with them; when all are
    done, `count_regions` tells the number of regions of the whole slice exactly.

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

    Attributes
    ----------
    n_tiles : int
        Number of all tiles.
    totals : StreamTotals

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
    >>> stream.count_regions() == sc.compute_partition(model, slice_).n_regions
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
    ):
        if not isinstance(slice_, Slice):
            raise InvalidArgumentError(f"slice_ is a {type(slice_).__name__}; accepted: a Slice")
        program = convert(model, slice_.input_shape)
        self._job = Job(program, slice_, str(checked_device(device)))
        self._executor = executor
        self._root = self._job.root()
        cells = [leaf.cell for leaf in walk_leaves(self._job, self._root, self._few)]
        self._cells = with_all_corners(cells)
        self._numbers = number_corners(self._cells)
        self._counts: dict[int, TileCount] = {}
        n_layers = len(self._root.network.units.names)
        self.n_tiles = len(cells)
        self.totals = StreamTotals(0, 0, 0.0, np.zeros(n_layers))
        self._folder = None if folder is None else Path(folder)
        if self._folder is not None:
            self._resume(self._folder)

    def __iter__(self) -> Iterator[Partition]:
        with ExitStack() as stack:
            executor = self._executor
            if executor is None:
                executor = stack.enter_context(ThreadPoolExecutor(n_processors()))
            stack.enter_context(Workers(None)).limit_blas()
            waiting = [n for n in range(self.n_tiles) if n not in self._counts]
            tiles = cut_leaves(self._job, self._leaves(set(waiting)), executor)
            for number, tile in zip(waiting, tiles, strict=True):
                partition = self._partition(tile)
                self._add(number, count_tile(tile.mesh(self._numbers)), _totals_of(partition))
                yield partition

    def count_regions(self) -> int:
        """The number of regions of the whole slice, once all tiles are finished.

        Raises
        ------
        InvalidArgumentError
            If tiles are missing.
        """
        if len(self._counts) < self.n_tiles:
            raise InvalidArgumentError(
                f"{len(self._counts)} of {self.n_tiles} tiles are finished; regions can be counted "
                "when all are"
            )
        return count_regions(self._counts[n] for n in range(self.n_tiles))

    def _leaves(self, chosen: set[int]) -> Iterator[Leaf]:
        """The chosen leaves, one after the other, with all corners."""
        for number, leaf in enumerate(walk_leaves(self._job, self._root, self._few)):
            if number in chosen:
                yield leaf._replace(cell=self._cells[number])

    def _partition(self, tile: Tile) -> Partition:
        """A tile by itself: corners of its neighbours go."""
        corners, sides = tile.cell.without_flat_corners()
        whole = self._job.slice_
        part = Slice(whole.origin, whole.basis, corners, whole.input_shape)
        _, mesh, shared, root_pattern = tile.finished
        numbers = np.arange(len(tile.cell.points))
        mesh, shared = stitch([TileMesh(mesh, shared, numbers, sides)])
        return make_partition(part, self._root.network, mesh, shared, root_pattern)

    def _add(self, number: int, count: TileCount, totals: StreamTotals) -> None:
        self._keep(number, count, totals)
        if self._folder is not None:
            arrays = {name: np.asarray(value) for name, value in count._asdict().items()}
            arrays |= {f"total_{name}": np.asarray(v) for name, v in totals._asdict().items()}
            unfinished = self._folder / f"{number}.part"
            with unfinished.open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
            unfinished.replace(self._folder / f"{number}.npz")

    def _keep(self, number: int, count: TileCount, totals: StreamTotals) -> None:
        self._counts[number] = count
        mine = self.totals
        self.totals = StreamTotals(
            mine.n_tiles + totals.n_tiles,
            mine.n_pieces + totals.n_pieces,
            mine.area + totals.area,
            mine.edge_lengths + totals.edge_lengths,
        )

    def _resume(self, folder: Path) -> None:
        """Take over what a folder has, or begin it."""
        folder.mkdir(parents=True, exist_ok=True)
        header = folder / HEADER
        fingerprint = _fingerprint(self._job)
        if header.exists():
            if header.read_text() != fingerprint:
                raise InvalidFileError(f"{folder} belongs to another model or slice")
        else:
            header.write_text(fingerprint)
        for path in sorted(folder.glob("*.npz")):
            try:
                with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                    found = {name: arrays[name] for name in arrays.files}
                count = TileCount(
                    int(found["n_faces"]), *(found[name] for name in TileCount._fields[1:])
                )
                n_tiles, n_pieces, area, lengths = (
                    found[f"total_{name}"] for name in StreamTotals._fields
                )
                totals = StreamTotals(int(n_tiles), int(n_pieces), float(area), lengths)
                self._keep(int(path.stem), count, totals)
            except DAMAGE as error:
                raise InvalidFileError(f"{path} is damaged: {error}") from error


def _totals_of(p: Partition) -> StreamTotals:
    ends = p.vertices[p.edges]
    lengths = np.hypot(*(ends[:, 1] - ends[:, 0]).T)
    inner = p.edge_layers >= 0
    per_layer = np.bincount(p.edge_layers[inner], lengths[inner], len(p.layer_names))
    return StreamTotals(1, p.n_regions, float(p.areas.sum()), per_layer)


def _fingerprint(job: Job) -> str:
    """A text that tells jobs apart."""
    digest = hashlib.sha256()
    slice_ = job.slice_
    for part in _content((job.program, slice_.origin, slice_.basis, slice_.polygon)):
        digest.update(part)
    return digest.hexdigest()


def _content(value: Any) -> Iterator[bytes]:
    """What a value consists of, whatever its parts are called in memory."""
    yield type(value).__name__.encode()
    if isinstance(value, torch.Tensor | np.ndarray):
        array = np.asarray(value)
        yield f"{array.dtype}{array.shape}".encode()
        yield array.tobytes()
    elif isinstance(value, partial):
        yield from _content((value.func, value.args, tuple(sorted(value.keywords.items()))))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _content(item)
    elif is_dataclass(value):
        yield from _content([getattr(value, field.name) for field in fields(value)])
    else:
        yield getattr(value, "__qualname__", repr(value)).encode()
