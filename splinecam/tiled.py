"""Partitions that are cut tile by tile and put together."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import ExitStack, closing

from splinecam.common.errands import own_threads
from splinecam.common.memory import available
from splinecam.common.progress import progress_bar
from splinecam.common.workers import Workers
from splinecam.cutting.mesh import NOTHING_SHARED
from splinecam.cutting.numbering import renumber
from splinecam.errors import InsufficientMemoryError, RegionLimitError
from splinecam.partition.assembly import make_partition, tile_partition
from splinecam.partition.partition import Partition
from splinecam.tiling.jobs import Job, Leaf, Tile, cut_leaves, few_units, find_leaves
from splinecam.tiling.seams import TileMesh
from splinecam.tiling.stitch import stitch
from splinecam.tiling.tiles import number_corners

BYTES_TO_JOIN = 250
"""For each region of the tiles: about twice the size of the result, and what lies on seams."""


class TiledPartition:
    """The partition of a job, within limits.

    Parameters
    ----------
    job : Job
    max_regions : int
    memory : int or None
        As for `compute_partition`.
    progress : bool
        Show a progress bar.
    """

    def __init__(self, job: Job, max_regions: int, memory: int | None, progress: bool):
        self._job = job
        self._max_regions = max_regions
        self._memory = memory
        self._progress = progress

    def run(self, executor: Executor | None) -> Partition:
        """Cut the tiles in an executor and put them together here."""
        with ExitStack() as stack:
            if executor is None:
                executor = stack.enter_context(own_threads())
            stack.enter_context(Workers(None)).limit_blas()
            root = self._job.root()
            few = few_units(available(self._memory))
            leaves = find_leaves(self._job, root, executor, few)
            return self._joined(root, leaves, self._cut(root, leaves, executor))

    def _cut(self, root: Leaf, leaves: Sequence[Leaf], executor: Executor) -> deque[Tile]:
        """All tiles, unless there are too many regions or too little memory."""
        done: deque[Tile] = deque()
        n_pieces = n_regions = 0
        with (
            closing(cut_leaves(self._job, leaves, executor)) as tiles,
            progress_bar(len(leaves), "cutting", "tile", shown=self._progress) as report,
        ):
            for tile in tiles:
                done.append(tile)
                n_pieces += tile.n_regions
                n_regions += tile.n_regions - tile.n_cut_by_seams
                if n_regions > self._max_regions:
                    raise self._too_many(root, done, len(leaves), n_regions)
                self._check_memory(n_pieces)
                report(n_pieces)
        return done

    def _joined(self, root: Leaf, leaves: Sequence[Leaf], tiles: deque[Tile]) -> Partition:
        numbers = number_corners(leaf.cell for leaf in leaves)
        first = root.cell.points[0]
        root_pattern = root.network.rest

        def meshes() -> Iterator[TileMesh]:
            nonlocal root_pattern
            while tiles:  # let go of what is copied
                tile = tiles.popleft()
                if tile.cell.points[0] == first and tile.cell.sides[0] == 0:
                    root_pattern = tile.finished.root_pattern
                yield tile.mesh(numbers)

        mesh, shared = renumber(*stitch(meshes(), root.network.units))
        whole = make_partition(self._job.slice_, root.network, mesh, shared, root_pattern)
        if whole.n_regions > self._max_regions:
            raise RegionLimitError(
                f"there are {whole.n_regions:,} regions, max_regions is {self._max_regions:,}; the "
                "error carries the whole partition",
                whole,
                whole.n_regions,
                self._max_regions,
            )
        return whole

    def _check_memory(self, n_pieces: int) -> None:
        """Refuse what could not be put together."""
        needed = BYTES_TO_JOIN * n_pieces
        free = available(self._memory)
        if needed > free:
            raise InsufficientMemoryError(
                f"the tiles that are finished have {n_pieces:,} regions, which take another "
                f"{needed / 2**20:,.0f} MiB of memory to put together; {free / 2**20:,.0f} MiB "
                "are free. PartitionStream hands them out one by one",
                needed,
                free,
            )

    def _too_many(
        self, root: Leaf, tiles: deque[Tile], n_tiles: int, n_regions: int
    ) -> RegionLimitError:
        slice_, network = self._job.slice_, root.network
        uncut, mesh = network.head(0), root.cell.patch.mesh()
        n_done = len(tiles)
        parts = [tile_partition(slice_, network, tiles.popleft()) for _ in range(n_done)]
        return RegionLimitError(
            f"{n_done} of {n_tiles} tiles are finished and have at least {n_regions:,} regions, "
            f"max_regions is {self._max_regions:,}; the error carries these tiles",
            make_partition(slice_, uncut, mesh, NOTHING_SHARED, uncut.rest),
            n_regions,
            self._max_regions,
            tuple(parts),
        )
