"""The number of regions from tiles that are looked at one by one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from splinecam.errors import InvariantError
from splinecam.tiling.seams import (
    Sides,
    TileMesh,
    find_flips,
    find_pieces,
    following,
    match_pieces,
    piece_numbers,
)


class TileCount(NamedTuple):
    """What a tile contributes to the number of regions; its size is that of the tile's rim."""

    n_faces: int
    corners: np.ndarray
    """(n,) int64, as in `TileMesh`."""
    sides: np.ndarray
    """(n,) int64, as in `TileMesh`."""
    n_pieces: np.ndarray
    """(n,) int64: outer edges on each side."""
    is_busy: np.ndarray
    """(n,) bool: whether an inner edge ends at each corner."""
    pieces: np.ndarray
    """(m,) int64: outer edges, counted round the tile, along which hinges vanish."""
    codes: np.ndarray
    """(m,) int64: the hinges, as in `TileMesh.shared`."""


def count_tile(tile: TileMesh) -> TileCount:
    """Take from a tile what `count_regions` has to know.

    Parameters
    ----------
    tile : TileMesh

    Returns
    -------
    TileCount
    """
    mesh, n = tile.mesh, len(tile.corners)
    offsets, pieces = find_pieces(mesh, np.arange(n), np.array([n]))
    is_outer = mesh.edge_faces[:, 1] < 0
    ends = mesh.edges[~is_outer]
    is_busy = np.zeros(n, bool)
    is_busy[ends[ends < n]] = True
    on_rim = is_outer[tile.shared.edges]
    return TileCount(
        len(mesh.face_offsets) - 1,
        tile.corners,
        tile.sides,
        np.diff(offsets),
        is_busy,
        piece_numbers(pieces, tile.shared.edges[on_rim]),
        tile.shared.codes[on_rim],
    )


def count_regions(tiles: Iterable[TileCount]) -> int:
    """Count the regions of a slice from all its tiles, without putting these together.

    With F faces in all tiles, S pieces of seams across which no hinge flips, and C corners inside
    the slice at which nothing but such pieces ends, there are F - S + C regions.

    Parameters
    ----------
    tiles : iterable of TileCount
        Every tile of the slice, in any order.

    Returns
    -------
    int

    Raises
    ------
    InvariantError
        If the tiles do not fit each other.

    Notes
    -----
    Proof. The tiles side by side are a connected planar graph of V vertices, E edges and F inner
    faces: V - E + F = 1 (Euler). Taking the S pieces away, the vertices kept, leaves a graph of c
    components, and its inner faces are the R regions: V - (E - S) + R = c. So R = F - S + c - 1.
    Regions are convex and have no holes, so all edges that are left, the slice's boundary among
    them, are in one component. The other c - 1 are single vertices: ends of pieces only. A break
    inside a seam is none of them, since the hinge that makes it is positive on one side of the
    break and negative on the other, in the tile as on the seam, so an edge of the tile ends there;
    nor is a corner on the slice's boundary. What remains are the C corners.

    Examples
    --------
    >>> import numpy as np
    >>> from splinecam.cutting.mesh import NOTHING_SHARED, polygon_mesh
    >>> square = polygon_mesh(np.array([(0, 0), (1, 0), (1, 1), (0, 1)]))
    >>> tile = TileMesh(square, NOTHING_SHARED, np.arange(4), np.arange(4))
    >>> count_regions([count_tile(tile)])
    1
    """
    columns = list(zip(*tiles, strict=True))
    if not columns:
        raise InvariantError("there are no tiles")
    counts = np.array([len(corners) for corners in columns[1]])
    starts, numbers, n_pieces, is_busy = map(np.concatenate, columns[1:5])
    offsets = np.concatenate([[0], np.cumsum(n_pieces)])
    sides = Sides(starts, following(starts, counts), numbers, offsets)
    facing = match_pieces(sides)
    first_pieces = offsets[np.cumsum(counts) - counts]
    pieces = np.repeat(first_pieces, list(map(len, columns[5]))) + np.concatenate(columns[5])
    flips = find_flips(facing, pieces, np.concatenate(columns[6]))
    real = facing.first[np.unique(flips.indices)]
    n_bare = _count_bare_corners(sides, is_busy, real)
    return sum(columns[0]) - (len(facing.first) - len(real)) + n_bare


def _count_bare_corners(sides: Sides, is_busy: np.ndarray, real: np.ndarray) -> int:
    """Count the corners inside the slice where neither inner edges nor real pieces of seams end."""
    on_boundary = sides.sides >= 0
    side = np.searchsorted(sides.offsets, real, side="right") - 1
    busy = [
        sides.starts[is_busy],
        sides.starts[on_boundary],
        sides.stops[on_boundary],
        sides.starts[side[sides.offsets[side] == real]],
        sides.stops[side[sides.offsets[side + 1] == real + 1]],
    ]
    return len(np.setdiff1d(sides.starts, np.concatenate(busy)))
