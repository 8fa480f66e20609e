"""Tiles of a slice, and how their sides lie on each other.

A slice is cut into convex polygons, *tiles*, so that each side of a tile is either a whole *seam*,
shared with exactly one other tile, or lies on a side of the slice. Where tiles meet along a part of
a side only, the side is divided by corners at which the polygon does not turn.

What a hinge does along a seam is seen alike from both tiles, since it is continuous: the two sides
have the same breaks. Where it vanishes all along a piece, it may be positive on one side, on both
or on none. A seam stays where the patterns on its sides differ; each tile tells by how much its own
exceeds that on the seam itself, where what vanishes is not positive.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from splinecam._kernels.arrays import Mesh
from splinecam._kernels.stitch import follow_sides
from splinecam.cutting.mesh import Shared, places_within
from splinecam.errors import InvariantError
from splinecam.network.units import Units


class TileMesh(NamedTuple):
    """The mesh of one tile and where the tile lies."""

    mesh: Mesh
    """Vertices 0 … n - 1 are the polygon's corners, counter-clockwise; an outer edge between
    corners s and s + 1 has label -1 - s, and inner edges have the labels of the whole network."""
    shared: Shared
    """Of its edges. Outer edges on seams have ``2 h`` for each hinge h that vanishes along them and
    is positive inside the tile. Of a max group that is the hinge across which the place of its
    greatest entry rises, from the first of those that tie on the seam to that inside."""
    corners: np.ndarray
    """(n,) int64, not negative: numbers of the corners, the same in all tiles."""
    sides: np.ndarray
    """(n,) int64: the slice's side on which each side lies, or -1 for a seam."""


class Sides(NamedTuple):
    """The sides of tiles, each of which consists of pieces, its outer edges in their direction."""

    starts: np.ndarray  # (S,) int64: corners
    stops: np.ndarray  # (S,) int64: corners
    sides: np.ndarray  # (S,) int64: the slice's, or -1 for a seam
    offsets: np.ndarray  # (S + 1,) int64: into the pieces


class Facing(NamedTuple):
    """The pieces of all seams, those of the tile that comes first and those that lie on them."""

    first: np.ndarray  # (P,) int64: piece
    second: np.ndarray  # (P,) int64: piece
    places: np.ndarray  # (P,) int64: along the seam, seen from the first tile


class Flips(NamedTuple):
    """Hinges that are positive on one side of a seam's piece only, by piece, the least first."""

    indices: np.ndarray  # (m,) int64: into `Facing`
    hinges: np.ndarray  # (m,) int64
    positive: np.ndarray  # (m,) int64: 0 or 1, the tile in which it is positive


def find_pieces(
    mesh: Mesh, starts: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """List the outer edges of polygons that are not connected, side by side.

    Parameters
    ----------
    mesh : Mesh
    starts : ndarray
        (S,) the vertices at which the polygons' sides begin, polygon by polygon.
    counts : ndarray
        (n,) the number of sides of each polygon.

    Returns
    -------
    offsets : ndarray
        (S + 1,) int64, where each side's edges begin.
    pieces : ndarray
        int64, the edges.
    """
    numbers = places_within(counts)
    offsets = np.empty(len(starts) + 1, np.int64)
    pieces = np.empty(np.count_nonzero(mesh.edge_faces[:, 1] < 0), np.int64)
    stops = following(starts, counts)
    reached = follow_sides(mesh, starts, stops, -1 - numbers, offsets, pieces)
    if reached < len(starts):
        tile = np.searchsorted(np.cumsum(counts), reached, side="right")
        raise InvariantError(
            f"side {numbers[reached]} of tile {tile} is not a chain of edges with its label"
        )
    if offsets[-1] < len(pieces):
        raise InvariantError(f"{len(pieces) - offsets[-1]} outer edges are on no side of a tile")
    return offsets, pieces


def piece_numbers(pieces: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Look up which pieces outer edges are."""
    order = np.argsort(pieces)
    return order[np.searchsorted(pieces, edges, sorter=order)]


def following(values: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Take, for each side of polygons, the value of the next one; `counts` are their sizes."""
    stops = np.cumsum(counts)
    shifted = np.empty_like(values)
    shifted[:-1] = values[1:]
    shifted[stops - 1] = values[stops - counts]
    return shifted


def match_pieces(sides: Sides) -> Facing:
    """Find which pieces of seams lie on each other.

    Raises
    ------
    InvariantError
        If a seam is not a side of two tiles that lie on either side of it, or has more pieces on
        one side than on the other.
    """
    seams = np.flatnonzero(sides.sides < 0)
    ends = np.sort(np.stack([sides.starts[seams], sides.stops[seams]], axis=1), axis=1)
    order = np.lexsort(ends.T)  # stable: the tile that comes first stays first
    seams, ends = seams[order], ends[order]
    heads = np.flatnonzero((np.diff(ends, axis=0, prepend=-1) != 0).any(axis=1))
    counts = np.diff(heads, append=len(seams))
    _require(counts == 2, ends[heads], "is a side of {0} tiles; it has to be one of 2", counts)
    first, second, ends = seams[0::2], seams[1::2], ends[0::2]
    is_opposite = sides.starts[first] == sides.stops[second]
    _require(is_opposite, ends, "has both its tiles on the same side")
    n_pieces = np.diff(sides.offsets)
    counts, others = n_pieces[first], n_pieces[second]
    _require(counts == others, ends, "has {0} pieces on one side, {1} on the other", counts, others)
    places = places_within(counts)
    return Facing(
        np.repeat(sides.offsets[first], counts) + places,
        np.repeat(sides.offsets[second + 1] - 1, counts) - places,
        places,
    )


def _require(fine: np.ndarray, ends: np.ndarray, fault: str, *numbers: np.ndarray) -> None:
    """Raise an error that names the first seam with a fault."""
    if not fine.all():
        k = int(np.argmin(fine))
        a, b = ends[k].tolist()
        numbers_there = (array[k] for array in numbers)
        raise InvariantError(f"the seam between corners {a} and {b} {fault.format(*numbers_there)}")


def find_flips(facing: Facing, pieces: np.ndarray, codes: np.ndarray, units: Units) -> Flips:
    """Find which hinges change their sign across seams.

    Parameters
    ----------
    facing : Facing
    pieces, codes : ndarray
        (m,) int64: the hinges that vanish along pieces, as in `TileMesh.shared`. Those of pieces
        that lie on no seam do not matter.
    units : Units
        What the hinges belong to.
    """
    both = np.concatenate([facing.first, facing.second])
    order = np.argsort(both)
    at = np.searchsorted(both, pieces, sorter=order)
    on_seam = at < len(both)
    on_seam[on_seam] = both[order[at[on_seam]]] == pieces[on_seam]
    tiles, indices = np.divmod(order[at[on_seam]], max(len(facing.first), 1))
    lowest, rises = _rises(codes[on_seam] >> 1, units)
    order = np.lexsort([lowest, indices])
    indices, lowest = indices[order], lowest[order]
    heads = (np.diff(indices, prepend=-1) != 0) | (np.diff(lowest, prepend=-1) != 0)
    total = np.zeros(np.count_nonzero(heads), np.int64)
    np.add.at(total, np.cumsum(heads) - 1, np.where(tiles == 0, rises, -rises)[order])
    flips = total != 0
    indices, lowest, total = indices[heads][flips], lowest[heads][flips], total[flips]
    return Flips(indices, lowest + np.abs(total) - 1, (total < 0).astype(np.int64))


def _rises(hinges: np.ndarray, units: Units) -> tuple[np.ndarray, np.ndarray]:
    """What to sum up over the sides of a seam: the first of hinges (n,), and the rise of each.

    Hinges of one max group say by how much the same pattern rises; others are each by itself.
    """
    steps = np.searchsorted(units.first_hinges, hinges, side="right") - 1
    is_group = np.array(units.are_groups)[steps]
    places = (hinges - np.array(units.first_hinges)[steps]) % np.array(units.highest)[steps]
    ranks = np.where(is_group, places, 0)
    return hinges - ranks, ranks + 1


def find_corners(starts: np.ndarray, stops: np.ndarray, sides: np.ndarray) -> np.ndarray:
    """Find the slice's own corners (n,), the one where side 0 begins first.

    Parameters
    ----------
    starts, stops : ndarray
        (S,) int64: the corners that sides of tiles run from and to.
    sides : ndarray
        (S,) int64: the slice's, or -1 for a seam.

    Raises
    ------
    InvariantError
        If the tiles' sides on the slice's boundary do not make up a polygon.
    """
    outer = np.flatnonzero(sides >= 0)
    outer = outer[np.argsort(sides[outer], kind="stable")]
    starts, stops, numbers = starts[outer], stops[outer], sides[outer]
    order = np.argsort(stops)
    at = order[np.minimum(np.searchsorted(stops, starts, sorter=order), len(order) - 1)]
    closed = stops[at] == starts
    if not closed.all():
        corner = starts[np.argmin(closed)]
        raise InvariantError(f"no side of the slice ends at corner {corner}, where one begins")
    turns = numbers[at] != numbers
    n = np.count_nonzero(turns)
    is_whole = n >= 3 and np.array_equal(numbers[turns], np.arange(n))
    if not (is_whole and np.array_equal(numbers[at[turns]], np.arange(-1, n - 1) % n)):
        raise InvariantError("the tiles' sides on the slice's boundary are not those of a polygon")
    return starts[turns]
