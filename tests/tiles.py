"""Slices cut into tiles, quadtrees of boxes or fans of polygons, and their partitions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from torch import nn

from comparison import planar_slice
from meshes import mesh_of
from splinecam import Partition, Slice, compute_partition
from splinecam.cutting.mesh import Shared
from splinecam.tiling.seams import TileMesh

Rng = np.random.Generator
Place = tuple[int, int]


class Tile(NamedTuple):
    polygon: np.ndarray
    """(n, 2) corners, at some of which it may not turn."""
    corners: np.ndarray
    sides: np.ndarray


def quadtree(polygon: np.ndarray, rng: Rng, *, depth: int, share: float = 0.6) -> list[Tile]:
    """Cut a box, of which `share` of the quarters are cut again, into tiles in any order."""
    size = 2**depth
    leaves = list(_quarter((0, 0), size, rng, share, chance=1.0))
    corners = sorted({place for place, width in leaves for place in _square(place, width)})
    chosen = rng.permutation(3 * len(corners))[: len(corners)]
    numbers = dict(zip(corners, chosen, strict=True))
    low, high = polygon[0], polygon[2]
    tiles = []
    for k in rng.permutation(len(leaves)):
        places = list(_around(*leaves[k], numbers))
        places = [*places[(turn := rng.integers(len(places))) :], *places[:turn]]
        sides = [_side(a, b, size) for a, b in zip(places, [*places[1:], places[0]], strict=True)]
        points = low + np.array(places) * (high - low) / size
        tiles.append(Tile(points, np.array([numbers[p] for p in places]), np.array(sides)))
    return tiles


def _quarter(
    place: Place, width: int, rng: Rng, share: float, chance: float
) -> Iterator[tuple[Place, int]]:
    if width == 1 or rng.random() > chance:
        yield place, width
        return
    half = width // 2
    for i in (0, half):
        for j in (0, half):
            yield from _quarter((place[0] + i, place[1] + j), half, rng, share, share)


def _square(place: Place, width: int) -> list[Place]:
    x, y = place
    return [(x, y), (x + width, y), (x + width, y + width), (x, y + width)]


def _around(place: Place, width: int, corners: dict[Place, int]) -> Iterator[Place]:
    """Go round a square by all corners of tiles on its boundary."""
    for (x, y), (dx, dy) in zip(
        _square(place, width), [(1, 0), (0, 1), (-1, 0), (0, -1)], strict=True
    ):
        for k in range(width):
            if (x + k * dx, y + k * dy) in corners:
                yield x + k * dx, y + k * dy


def _side(a: Place, b: Place, size: int) -> int:
    """Tell on which side of the box two places lie, or -1."""
    both = [a[1] == b[1] == 0, a[0] == b[0] == size, a[1] == b[1] == size, a[0] == b[0] == 0]
    return both.index(True) if any(both) else -1


def cut(polygon: np.ndarray, rng: Rng) -> list[Tile]:
    """Cut a box into a quadtree, any other polygon into a fan."""
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    is_box = np.array_equal(polygon, [low, (high[0], low[1]), high, (low[0], high[1])])
    return quadtree(polygon, rng, depth=2) if is_box else fan(polygon)


def fan(polygon: np.ndarray) -> list[Tile]:
    """Cut a polygon into triangles from its first corner."""
    n = len(polygon)
    return [
        Tile(
            polygon[[0, k, k + 1]],
            np.array([0, k, k + 1]),
            np.array([0 if k == 1 else -1, k, n - 1 if k == n - 2 else -1]),
        )
        for k in range(1, n - 1)
    ]


def slice_of(tile: Tile) -> Slice:
    """The slice of a tile; corners where it does not turn are put in past its constructor."""
    before = tile.polygon - np.roll(tile.polygon, 1, axis=0)
    after = np.roll(tile.polygon, -1, axis=0) - tile.polygon
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    slice_ = planar_slice(tile.polygon[turns])
    polygon = tile.polygon.copy()
    polygon.setflags(write=False)
    object.__setattr__(slice_, "polygon", polygon)
    return slice_


def tiled(model: nn.Module, tiles: list[Tile]) -> list[TileMesh]:
    """Compute the partitions of tiles, with the hinges that flip across seams."""
    partitions = [compute_partition(model, slice_of(tile)) for tile in tiles]
    meshes = [mesh_of(p) for p in partitions]
    flips = _flips_across_seams(tiles, partitions)
    return [
        TileMesh(mesh, _with(shared, flips[k]), tiles[k].corners, tiles[k].sides)
        for k, (mesh, shared) in enumerate(meshes)
    ]


def _with(shared: Shared, more: list[tuple[int, int]]) -> Shared:
    edges, codes = np.array(more, np.int64).reshape(-1, 2).T
    edges, codes = np.concatenate([shared.edges, edges]), np.concatenate([shared.codes, codes])
    order = np.lexsort([codes, edges])
    return Shared(edges[order], codes[order])


def _flips_across_seams(
    tiles: list[Tile], partitions: list[Partition]
) -> list[list[tuple[int, int]]]:
    """Tell by the patterns on both sides which hinges flip across the pieces of seams."""
    patterns = [p.patterns() for p in partitions]
    found: list[list[tuple[int, int]]] = [[] for _ in tiles]
    waiting: dict[tuple[int, int], tuple[int, list[int]]] = {}
    for k, tile in enumerate(tiles):
        n = len(tile.corners)
        chains = _chains(mesh_of(partitions[k])[0], n)
        for side in np.flatnonzero(tile.sides < 0).tolist():
            a, b = tile.corners[side].item(), tile.corners[(side + 1) % n].item()
            if (b, a) not in waiting:
                waiting[a, b] = k, chains[side]
                continue
            other, chain = waiting.pop((b, a))
            for edge, partner in zip(chains[side], reversed(chain), strict=True):
                here = patterns[k][partitions[k].edge_regions[edge, 0]].astype(int)
                there = patterns[other][partitions[other].edge_regions[partner, 0]].astype(int)
                for hinge in _hinges_between(partitions[k], here, there):
                    if hinge >= 0:
                        found[k].append((edge, 2 * hinge))
                    else:
                        found[other].append((partner, 2 * ~hinge))
    return found


def _hinges_between(p: Partition, here: np.ndarray, there: np.ndarray) -> Iterator[int]:
    """Yield the hinges that two patterns differ by; h if exceeded here, ~h if there."""
    first_units = np.cumsum([0, *p.layer_sizes])
    units = first_units[p.network.units.hinge_layers] + p.network.units.hinge_units
    for unit in np.flatnonzero(here != there).tolist():
        hinges = np.flatnonzero(units == unit).tolist()
        low, high = sorted((here[unit], there[unit]))
        for hinge in hinges[low:high]:
            yield hinge if here[unit] > there[unit] else ~hinge


def _chains(mesh, n: int) -> list[list[int]]:
    """List the edges on each side of a mesh in their order."""
    outer = {mesh.edges[e, 0].item(): e.item() for e in np.flatnonzero(mesh.edge_labels < 0)}
    chains = []
    for side in range(n):
        vertex, chain = side, []
        while vertex != (side + 1) % n:
            chain.append(outer[vertex])
            vertex = mesh.edges[outer[vertex], 1].item()
        chains.append(chain)
    return chains
