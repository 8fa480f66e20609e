"""Cutting a slice tile by tile, each with a network that is reduced on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

import numpy as np

from splinecam.narrowing import narrow
from splinecam.reduced import ReducedNetwork
from splinecam.reduction import Ground, reduced_bounds
from splinecam.seams import TileMesh
from splinecam.subdivision import Context, Subdivision
from splinecam.tiles import Cell, number_corners, with_all_corners

FEW_UNITS = 180
"""Unsteady units up to which a cell is not split: the cost of a layer grows with its square."""

SMALLEST = 2.0**-20
"""Share of the slice's width below which a cell is not split, whatever is unsteady on it."""

Item = TypeVar("Item")
Made = TypeVar("Made")
Map = Callable[[Callable[[Item], Made], Iterable[Item]], Iterable[Made]]


class Leaf(NamedTuple):
    """A tile and the network on it."""

    cell: Cell
    network: ReducedNetwork
    ground: Ground


class Tile(NamedTuple):
    """A tile that has been cut."""

    mesh: TileMesh
    root_pattern: np.ndarray
    """(n_units,) unsigned: of the region left of edge 0."""


def find_leaves(root: Leaf, map_: Map[Leaf, list[Leaf]]) -> list[Leaf]:
    """Split a cell until few units are unsteady on each part."""
    width = max(h - low for low, h in zip(root.cell.low, root.cell.high, strict=True))
    smallest = width * SMALLEST
    leaves, waiting = [], [root]
    while waiting:
        done = [leaf for leaf in waiting if _is_fine(leaf, smallest)]
        leaves += done
        coarse = [leaf for leaf in waiting if not _is_fine(leaf, smallest)]
        waiting = [child for children in map_(_children, coarse) for child in children]
    cells = with_all_corners(leaf.cell for leaf in leaves)
    return [leaf._replace(cell=cell) for leaf, cell in zip(leaves, cells, strict=True)]


def _is_fine(leaf: Leaf, smallest: float) -> bool:
    width = max(h - low for low, h in zip(leaf.cell.low, leaf.cell.high, strict=True))
    return leaf.network.n_activations <= FEW_UNITS or width <= smallest


def _children(leaf: Leaf) -> list[Leaf]:
    cells = leaf.cell.split()
    return [Leaf(cell, *narrow(leaf.network, cell.patch.corners)) for cell in cells]


def cut_leaves(
    leaves: Sequence[Leaf], context: Context, map_: Map[Leaf, Tile]
) -> Iterator[Tile]:
    """Cut each leaf by its network."""
    numbers = number_corners(leaf.cell for leaf in leaves)

    def cut(leaf: Leaf) -> Tile:
        cell = leaf.cell
        bounds = reduced_bounds(leaf.network, leaf.ground)
        subdivision = Subdivision(leaf.network, bounds, cell.patch, context)
        subdivision.cut(lambda n_regions: None)
        _, mesh, shared, root_pattern = subdivision.finished
        corners = np.array([numbers[point] for point in cell.points])
        tile = TileMesh(mesh, shared, corners, np.array(cell.sides))
        return Tile(tile, root_pattern)

    yield from map_(cut, leaves)
