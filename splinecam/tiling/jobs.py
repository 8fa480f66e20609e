"""Cutting a slice tile by tile, each with a network that is reduced on it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, TypeVar

import numpy as np
import torch

from splinecam.common.workers import Workers
from splinecam.cutting.subdivision import Context, Finished, Subdivision
from splinecam.exact import ExactNetwork, Point
from splinecam.network.narrowing import narrow
from splinecam.network.reduced import ReducedNetwork
from splinecam.network.reduction import Ground, reduced_bounds
from splinecam.network.root import reduce_program
from splinecam.program import Program
from splinecam.slices import Slice
from splinecam.tiling.seams import TileMesh
from splinecam.tiling.tiles import Cell, with_all_corners

FEW_UNITS = 1200
"""Unsteady units times steps up to which a cell is not split. The cost of a layer grows with the
square of the units, and bounds of errors with their number from step to step."""

LEAST_LAYERS = 3
"""Networks of fewer layers are not cut in larger pieces."""

SMALLEST = 2.0**-20
"""Share of the slice's width below which a cell is not split, whatever is unsteady on it."""

PATIENCE = 4
"""Splits after which a cell is left as it is, if as many as these have not helped."""

HELPS = 0.8
"""Share of its unsteady units that a cell has to fall below by so many splits. Lines that coincide
and values that tie on an area are not told apart however small the cells get."""

AHEAD = 64
"""Pieces of work that are handed out before the first of them is waited for."""

Item = TypeVar("Item")
Made = TypeVar("Made")


class Leaf(NamedTuple):
    """A tile and the network on it."""

    cell: Cell
    network: ReducedNetwork
    ground: Ground


class Tile(NamedTuple):
    """A tile that has been cut."""

    cell: Cell
    finished: Finished

    @property
    def n_regions(self) -> int:
        """Regions of the tile."""
        return len(self.finished.mesh.face_offsets) - 1

    def mesh(self, numbers: dict[Point, int]) -> TileMesh:
        """What is needed to put it together with others, given the numbers of all corners."""
        _, mesh, shared, _ = self.finished
        corners = np.array([numbers[point] for point in self.cell.points])
        return TileMesh(mesh, shared, corners, np.array(self.cell.sides))


@dataclass(eq=False)
class Job:
    """What is cut: a program on a slice. It can be sent to other processes.

    Parameters
    ----------
    program : Program
    slice_ : Slice
    device : str
        Where pre-activations are computed.
    """

    program: Program
    slice_: Slice
    device: str

    def root(self) -> Leaf:
        """The whole slice."""
        network, ground = reduce_program(self.program, self.slice_, torch.device(self.device))
        return Leaf(Cell.whole(self.slice_.polygon), network, ground)

    def split(self, leaf: Leaf) -> list[Leaf]:
        """Four parts of a cell, or fewer."""
        cells = leaf.cell.split()
        return [Leaf(cell, *narrow(leaf.network, cell.patch.corners)) for cell in cells]

    def cut(self, leaf: Leaf) -> Tile:
        """Cut a leaf by its network."""
        context = Context(lambda: self._exact, torch.device(self.device), Workers(n_helpers=0))
        bounds = reduced_bounds(leaf.network, leaf.ground)
        subdivision = Subdivision(leaf.network, bounds, leaf.cell.patch, context)
        subdivision.cut(lambda n_regions: None)
        return Tile(leaf.cell, subdivision.finished)

    @cached_property
    def _exact(self) -> ExactNetwork:
        return ExactNetwork(self.program, self.slice_)

    def __getstate__(self) -> dict[str, object]:
        return {"program": self.program, "slice_": self.slice_, "device": self.device}


def find_leaves(job: Job, root: Leaf, executor: Executor) -> list[Leaf]:
    """Split the whole slice until few units are unsteady on each part."""
    smallest = _width(root) * SMALLEST
    leaves: list[Leaf] = []
    waiting: list[tuple[Leaf, tuple[int, ...]]] = [(root, ())]
    while waiting:
        coarse, histories = [], []
        for leaf, before in waiting:
            counts = (*before, leaf.network.n_activations)
            if _is_fine(leaf.network) or _is_stuck(counts) or _width(leaf) <= smallest:
                leaves.append(leaf)
            else:
                coarse.append(leaf)
                histories.append(counts[-PATIENCE:])
        parts = run_ahead(executor, job.split, coarse)
        families = zip(histories, parts, strict=True)
        waiting = [(child, before) for before, children in families for child in children]
    cells = with_all_corners(leaf.cell for leaf in leaves)
    return [leaf._replace(cell=cell) for leaf, cell in zip(leaves, cells, strict=True)]


def walk_leaves(job: Job, root: Leaf) -> Iterator[Leaf]:
    """The leaves one after the other, without all corners: only those on the way are in memory."""
    smallest = _width(root) * SMALLEST
    waiting = [root]
    while waiting:
        leaf = waiting.pop()
        if _is_fine(leaf.network) or _width(leaf) <= smallest:
            yield leaf
        else:
            waiting += reversed(job.split(leaf))


def _is_fine(network: ReducedNetwork) -> bool:
    """Whether a network is small enough to cut with."""
    n_steps = len({layer.step for layer in network.layers})  # all rounds of a max group are one
    return network.n_activations * max(LEAST_LAYERS, n_steps) <= FEW_UNITS


def _is_stuck(counts: Sequence[int]) -> bool:
    """Whether splits do not help, given the unsteady units of cells that hold each other."""
    return len(counts) > PATIENCE and counts[-1] > HELPS * counts[-1 - PATIENCE]


def _width(leaf: Leaf) -> float:
    return max(high - low for low, high in zip(leaf.cell.low, leaf.cell.high, strict=True))


def cut_leaves(job: Job, leaves: Iterable[Leaf], executor: Executor) -> Iterator[Tile]:
    """Cut leaves, in their order."""
    return run_ahead(executor, job.cut, leaves)


def run_ahead(
    executor: Executor, function: Callable[[Item], Made], items: Iterable[Item]
) -> Iterator[Made]:
    """Call a function on items in an executor; yield the results in order.

    Unlike `Executor.map` it takes only so many items before their results are taken from it.
    """
    futures: deque[Future[Made]] = deque()
    try:
        for item in items:
            futures.append(executor.submit(function, item))
            if len(futures) == AHEAD:
                yield futures.popleft().result()
        while futures:
            yield futures.popleft().result()
    finally:
        for future in futures:
            future.cancel()
