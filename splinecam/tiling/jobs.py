"""Cutting a slice tile by tile, each with a network that is reduced on it."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing
from dataclasses import dataclass, replace
from functools import cached_property, partial
from math import cbrt
from typing import NamedTuple

import numpy as np
import torch

from splinecam.common.errands import Shared, in_this_process, run_errands
from splinecam.common.workers import Workers, n_processors
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

FEW_UNITS = 1600
"""Unsteady units times steps up to which a cell is not split. The cost of a layer grows with the
square of the units, and bounds of errors with their number from step to step."""

FEWEST_UNITS = 90
"""The same where memory is scarce: smaller tiles would hardly take less."""

SHARE_OF_TILES = 0.25
"""Of the memory that may be taken, for tiles that are being cut."""

LEAST_LAYERS = 3
"""Networks of fewer layers are not cut in larger pieces."""

SMALLEST = 2.0**-20
"""Share of the slice's width below which a cell is not split, whatever is unsteady on it."""

PATIENCE = 4
"""Splits after which a cell is left as it is, if as many as these have not helped."""

HELPS = 0.8
"""Share of its unsteady units that a cell has to fall below by so many splits. Lines that coincide
and values that tie on an area are not told apart however small the cells get."""

SENT = 2**22
"""Bytes of a network up to which it is worth sending it to be split."""


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

    @property
    def n_cut_by_seams(self) -> int:
        """Those of them that may go on beyond the tile."""
        mesh = self.finished.mesh
        is_outer = mesh.edge_faces[:, 1] < 0
        on_seam = np.array(self.cell.sides)[-1 - mesh.edge_labels[is_outer]] < 0
        return len(np.unique(mesh.edge_faces[is_outer, 0][on_seam]))

    def mesh(self, numbers: dict[Point, int]) -> TileMesh:
        """What is needed to put it together with others, given the numbers of all corners."""
        _, mesh, shared, _ = self.finished
        corners = np.array([numbers[point] for point in self.cell.points])
        return TileMesh(mesh, shared, corners, np.array(self.cell.sides))


@dataclass(eq=False)
class Job:
    """What is cut: a program on a slice.

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

    @cached_property
    def exact(self) -> ExactNetwork:
        """What decides where float64 cannot."""
        return ExactNetwork(self.program, self.slice_)

    @cached_property
    def shared(self) -> Shared[Job]:
        """The job as errands have it."""
        return Shared(self)

    def __getstate__(self) -> dict[str, object]:
        program = replace(self.program, head=None)
        return {"program": program, "slice_": self.slice_, "device": self.device}


def split_leaf(shared: Shared[Job], leaf: Leaf) -> list[Leaf]:
    """Four parts of a cell, or fewer."""
    with Workers(n_helpers=0) as workers:
        workers.limit_blas()
        cells = leaf.cell.split()
        return [Leaf(cell, *narrow(leaf.network, cell.patch.corners)) for cell in cells]


def cut_leaf(device: str, shared: Shared[Job], leaf: Leaf) -> Tile:
    """Cut a leaf by its network; pre-activations are computed on a device."""
    with Workers(n_helpers=0) as workers:
        workers.limit_blas()
        context = Context(lambda: shared.get().exact, torch.device(device), workers)
        bounds = reduced_bounds(leaf.network, leaf.ground)
        subdivision = Subdivision(leaf.network, bounds, leaf.cell.patch, context)
        subdivision.cut(lambda n_regions: None)
        return Tile(leaf.cell, subdivision.finished)


def few_units(n_bytes: int) -> int:
    """Unsteady units times layers up to which tiles are cut in so many bytes by all processors.

    Lines of k units make about k² / 2 vertices, at each of which k values are carried.
    """
    n_units = cbrt(max(n_bytes, 0) * SHARE_OF_TILES / n_processors() / 4)
    return min(FEW_UNITS, max(FEWEST_UNITS, int(LEAST_LAYERS * n_units)))


def find_leaves(job: Job, root: Leaf, executor: Executor, few_units: int) -> list[Leaf]:
    """Split the whole slice until few units, times layers, are unsteady on each part."""
    smallest = _width(root) * SMALLEST
    leaves: list[Leaf] = []
    waiting = [_Branch(_without_outputs(root), ())]
    with in_this_process(executor) as threads:
        while waiting:
            coarse = []
            for branch in waiting:
                if branch.is_leaf(few_units, smallest):
                    leaves.append(branch.leaf)
                else:
                    coarse.append(branch)
            # What is large stays here; the order does not depend on the executor.
            coarse.sort(key=_Branch.is_large, reverse=True)
            n_large = sum(map(_Branch.is_large, coarse))
            waiting = []
            for some, chosen in ((coarse[:n_large], threads), (coarse[n_large:], executor)):
                cells = [branch.leaf for branch in some]
                with closing(run_errands(chosen, split_leaf, job.shared, cells)) as families:
                    for branch, children in zip(some, families, strict=True):
                        waiting += branch.grown(children)
    cells = with_all_corners(leaf.cell for leaf in leaves)
    return [leaf._replace(cell=cell) for leaf, cell in zip(leaves, cells, strict=True)]


def walk_leaves(job: Job, root: Leaf, few_units: int) -> Iterator[Leaf]:
    """The leaves one after the other, without all corners: only those on the way are in memory."""
    smallest = _width(root) * SMALLEST
    waiting = [_Branch(root, ())]
    while waiting:
        branch = waiting.pop()
        if branch.is_leaf(few_units, smallest):
            yield branch.leaf
        else:
            waiting += reversed(branch.grown(split_leaf(job.shared, branch.leaf)))


class _Branch(NamedTuple):
    """A cell on the way to the leaves."""

    leaf: Leaf
    before: tuple[int, ...]
    """The unsteady units of the last cells that hold it, the smallest one last."""

    def is_leaf(self, few_units: int, smallest: float) -> bool:
        """Whether the cell is not to be split."""
        network = self.leaf.network
        n_steps = len({layer.step for layer in network.layers})  # all rounds of a max group are one
        size = network.n_activations * max(LEAST_LAYERS, n_steps)
        return size <= few_units or _is_stuck(self._counts) or _width(self.leaf) <= smallest

    def is_large(self) -> bool:
        """Whether sending the network costs more than it brings."""
        return self.leaf.network.n_bytes > SENT

    def grown(self, children: Sequence[Leaf]) -> list[_Branch]:
        """The parts of the cell."""
        return [_Branch(child, self._counts[-PATIENCE:]) for child in children]

    @property
    def _counts(self) -> tuple[int, ...]:
        return (*self.before, self.leaf.network.n_activations)


def _without_outputs(leaf: Leaf) -> Leaf:
    """The same leaf, whose network tells of units only."""
    none = np.empty((0, leaf.network.n_outputs)), np.empty(0)
    return leaf._replace(network=leaf.network.with_outputs(*none))


def _is_stuck(counts: Sequence[int]) -> bool:
    """Whether splits do not help, given the unsteady units of cells that hold each other."""
    return len(counts) > PATIENCE and counts[-1] > HELPS * counts[-1 - PATIENCE]


def _width(leaf: Leaf) -> float:
    return max(high - low for low, high in zip(leaf.cell.low, leaf.cell.high, strict=True))


def cut_leaves(job: Job, leaves: Iterable[Leaf], executor: Executor) -> Generator[Tile, None, None]:
    """Cut leaves, in their order; close the iterator to call off what has not begun."""
    return run_errands(executor, partial(cut_leaf, job.device), job.shared, leaves)
