"""Regions that lie on several tiles, joined without putting the tiles together.

Of each tile only its *rim* is kept: the faces that touch seams, and which outer edges they have.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from splinecam.common.types import Floats, Ints
from splinecam.network.units import Units
from splinecam.tiling.seams import (
    Facing,
    Sides,
    TileMesh,
    find_flips,
    find_pieces,
    following,
    match_pieces,
    piece_numbers,
)

INSIDE = 0
"""Put for the slice's side where the tile beyond a seam is not finished."""


class Rim(NamedTuple):
    """What is kept of a tile; pieces are its outer edges, counted round it."""

    corners: Ints
    """(n,) int64, as in `TileMesh`."""
    sides: Ints
    """(n,) int64, as in `TileMesh`."""
    n_pieces: Ints
    """(n,) int64: pieces of each side."""
    faces: Ints
    """(m,) int64: the face of each piece."""
    lengths: Floats
    """(m,) float64: of the pieces."""
    areas: Floats
    """(F,) float64: of the tile's faces that have pieces."""
    pieces: Ints
    """(k,) int64: pieces along which hinges vanish that are positive inside."""
    codes: Ints
    """(k,) int64: the hinges, as in `TileMesh.shared`."""


class Joined(NamedTuple):
    """What the rims of tiles make up together."""

    areas: Floats
    """(R,) float64: of the regions that touch seams, and no tile that is not there."""
    lengths: Floats
    """(E,) float64: of the edges that lie along seams."""
    hinges: Ints
    """(E,) int64: that make these edges."""


def take_rim(tile: TileMesh, areas: Floats) -> tuple[Rim, Floats]:
    """Take the rim of a tile whose faces have these areas (F,).

    Returns
    -------
    Rim
    ndarray
        Areas of the other faces, float64.
    """
    mesh, n = tile.mesh, len(tile.corners)
    offsets, pieces = find_pieces(mesh, np.arange(n), np.array([n]))
    touching, faces = np.unique(mesh.edge_faces[pieces, 0], return_inverse=True)
    along = np.diff(mesh.vertices[mesh.edges[pieces]], axis=1)[:, 0]
    on_rim = mesh.edge_faces[tile.shared.edges, 1] < 0
    rim = Rim(
        tile.corners,
        tile.sides,
        np.diff(offsets),
        faces,
        np.hypot(along[:, 0], along[:, 1]),
        areas[touching],
        piece_numbers(pieces, tile.shared.edges[on_rim]),
        tile.shared.codes[on_rim],
    )
    return rim, np.delete(areas, touching)


def join_rims(rims: Sequence[Rim], units: Units) -> Joined:
    """Join the regions of tiles over the seams between them.

    Parameters
    ----------
    rims : sequence of Rim
        Of tiles of one slice, not necessarily all.
    units : Units
        Of the network.

    Raises
    ------
    InvariantError
        If the tiles do not fit each other.
    """
    if not rims:
        return Joined(np.zeros(0), np.zeros(0), np.zeros(0, np.int64))
    columns = dict(zip(Rim._fields, map(list, zip(*rims, strict=True)), strict=True))
    counts = np.array([len(corners) for corners in columns["corners"]])
    whole = {name: np.concatenate(parts) for name, parts in columns.items()}
    starts, numbers, n_pieces = whole["corners"], whole["sides"], whole["n_pieces"]
    sides = Sides(starts, following(starts, counts), numbers, _starts(n_pieces))
    is_open = _is_open(sides)
    facing = match_pieces(sides._replace(sides=np.where(is_open, INSIDE, numbers)))
    faces = _numbered_on(columns["faces"], columns["areas"])
    pieces = _numbered_on(columns["pieces"], columns["faces"])
    flips = find_flips(facing, pieces, whole["codes"], units)
    heads = np.diff(flips.indices, prepend=-1) != 0
    is_real = np.zeros(len(facing.first), bool)
    is_real[flips.indices[heads]] = True
    open_faces = faces[np.repeat(is_open, n_pieces)]
    return Joined(
        _joined_areas(facing, is_real, faces, whole["areas"], open_faces),
        whole["lengths"][facing.first[is_real]],
        flips.hinges[heads],
    )


def _joined_areas(
    facing: Facing, is_real: np.ndarray, faces: Ints, areas: Floats, open_faces: Ints
) -> Floats:
    """Areas of the regions that consist of faces joined over seams, and none that are open."""
    here, there = faces[facing.first[~is_real]], faces[facing.second[~is_real]]
    meetings = coo_array((np.ones(len(here), bool), (here, there)), shape=[len(areas)] * 2)
    n_regions, regions = connected_components(meetings, directed=False)
    is_whole = np.ones(n_regions, bool)
    is_whole[regions[open_faces]] = False
    sums = np.zeros(n_regions)
    np.add.at(sums, regions, areas)
    return sums[is_whole]


def _is_open(sides: Sides) -> np.ndarray:
    """Which sides (S,) are seams whose other tile is missing."""
    ends = np.sort(np.stack([sides.starts, sides.stops], axis=1), axis=1)
    _, inverse, counts = np.unique(ends, axis=0, return_inverse=True, return_counts=True)
    return (sides.sides < 0) & (counts[inverse.ravel()] == 1)


def _starts(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(counts)])


def _numbered_on(parts: Sequence[np.ndarray], counted: Sequence[np.ndarray]) -> np.ndarray:
    """Numbers of what is counted from 0 in each part, made to count through all parts."""
    starts = _starts(np.array([len(part) for part in counted]))
    return np.concatenate([part + start for part, start in zip(parts, starts[:-1], strict=True)])
