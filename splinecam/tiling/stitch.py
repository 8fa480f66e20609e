"""Putting the meshes of tiles together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from splinecam._kernels.arrays import Mesh
from splinecam.cutting.dissolve import dissolve_pairs
from splinecam.cutting.mesh import Shared, places_within
from splinecam.errors import InvalidArgumentError, InvariantError
from splinecam.network.units import Units
from splinecam.tiling.seams import (
    Facing,
    Sides,
    TileMesh,
    find_corners,
    find_flips,
    find_pieces,
    following,
    match_pieces,
    piece_numbers,
)

MAX_EDGES = 2**30
"""What 32-bit numbers of half-edges allow."""


class _Sheet(NamedTuple):
    """All tiles in the same arrays, not connected, which are changed step by step.

    The slice's corners are vertices beside those of the tiles, the first ones.
    """

    mesh: Mesh
    shared: Shared
    own: np.ndarray  # (n,) int64: the numbers of the slice's corners
    vertices: np.ndarray  # (S,) int64: at which each side of a tile begins
    sides: Sides
    pieces: np.ndarray  # int64: edges


def stitch(tiles: Iterable[TileMesh], units: Units) -> tuple[Mesh, Shared]:
    """Put tiles together so that no seam is left.

    The structure is that of the slice without tiles, in other numbers;
    `splinecam.cutting.numbering` makes these the same too. Only where a hinge vanishes along a seam
    and is positive on one side of it, an edge stays, which runs so that its first hinge is positive
    on its left. Where tiles share a vertex, the coordinates are those of the tile that comes first.

    Parameters
    ----------
    tiles : iterable of TileMesh
        Every tile of the slice, in any order. An iterator lets each of them go when it is copied.
    units : Units
        Of the network.

    Returns
    -------
    Mesh
        Vertices 0 … n - 1 are the slice's corners, counter-clockwise from where side 0 begins;
        outer edges on side s have label -1 - s.
    Shared

    Raises
    ------
    InvariantError
        If the tiles do not fit each other.
    InvalidArgumentError
        If they have more edges than 32-bit numbers of half-edges allow.

    Examples
    --------
    >>> import numpy as np
    >>> from splinecam.cutting.mesh import NOTHING_SHARED, polygon_mesh
    >>> units = Units((), (), (), ())
    >>> def tile(polygon, corners, sides):
    ...     mesh = polygon_mesh(np.array(polygon))
    ...     return TileMesh(mesh, NOTHING_SHARED, np.array(corners), np.array(sides))
    >>> lower = tile([(0, 0), (1, 0), (1, 1)], [0, 1, 2], [0, 1, -1])
    >>> upper = tile([(0, 0), (1, 1), (0, 1)], [0, 2, 3], [-1, 2, 3])
    >>> mesh, shared = stitch([upper, lower], units)
    >>> mesh.vertices.tolist(), mesh.face_halfedges.tolist()
    ([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]], [0, 2, 4, 6])
    """
    sheet = _lay_out(tiles)
    facing = match_pieces(sheet.sides)
    _join_vertices(sheet, facing)
    shared, real, unused = _keep_flips(sheet, facing, units)
    _label_boundary(sheet)
    first, second = sheet.pieces[facing.first[~real]], sheet.pieces[facing.second[~real]]
    pairs = 2 * np.stack([first, second], axis=1).astype(np.int32)
    kept = np.zeros(len(sheet.mesh.vertices), bool)
    kept[: len(sheet.own)] = True
    done = dissolve_pairs(sheet.mesh, shared, pairs, unused, kept)
    return done.mesh, done.shared


def _lay_out(tiles: Iterable[TileMesh]) -> _Sheet:
    rows = ((*tile.mesh, *tile.shared, tile.corners, tile.sides) for tile in tiles)
    columns = [list(column) for column in zip(*rows, strict=True)]
    if not columns:
        raise InvariantError("there are no tiles")
    vertices, edges, faces, labels, radii, widths, offsets, halfedges, *shared = columns[:-2]
    n_edges = sum(map(len, edges))
    if n_edges > MAX_EDGES:
        raise InvalidArgumentError(f"tiles has {n_edges:,} edges; accepted: up to {MAX_EDGES:,}")
    counts = np.array([len(part) for part in columns[-1]])
    starts, numbers = np.concatenate(columns[-2]), np.concatenate(columns[-1])
    stops = following(starts, counts)
    own = find_corners(starts, stops, numbers)
    vertices.insert(0, np.zeros((len(own), 2)))
    radii.insert(0, np.zeros(len(own)))
    ends = [part[1:] for part in offsets]
    to_vertex, to_edge = _shifts(vertices)[1:], _shifts(edges)
    to_face, to_halfedge = _shifts(ends), _shifts(halfedges)
    offsets.clear()
    mesh = Mesh(
        vertices=_gather(vertices),
        edges=_gather(edges, to_vertex),
        edge_faces=_gather(faces, to_face),
        edge_labels=_gather(labels),
        radii=_gather(radii),
        widths=_gather(widths),
        face_offsets=np.concatenate([np.zeros(1, np.int32), _gather(ends, to_halfedge)]),
        face_halfedges=_gather(halfedges, 2 * to_edge),
    )
    mesh.edge_faces[mesh.edge_labels < 0, 1] = -1
    first_corners = np.repeat(to_vertex, counts) + places_within(counts)
    side_offsets, pieces = find_pieces(mesh, first_corners, counts)
    return _Sheet(
        mesh,
        Shared(_gather(shared[0], to_edge), _gather(shared[1])),
        own,
        first_corners,
        Sides(starts, stops, numbers, side_offsets),
        pieces,
    )


def _shifts(parts: list[np.ndarray]) -> np.ndarray:
    """Where each array begins when they are put behind each other."""
    return np.cumsum([0, *(len(part) for part in parts[:-1])]).astype(np.int32)


def _gather(parts: list[np.ndarray], shifts: np.ndarray | None = None) -> np.ndarray:
    """Put arrays behind each other, each of them shifted, and let go of them."""
    whole = np.concatenate(parts)
    if shifts is not None:
        lengths = [len(part) for part in parts]
        whole += np.repeat(shifts, lengths).reshape(-1, *[1] * (whole.ndim - 1))
    parts.clear()
    return whole


def _join_vertices(sheet: _Sheet, facing: Facing) -> None:
    """Let all edges that end at the same corner or break end at the same vertex."""
    vertices, radii, edges = sheet.mesh.vertices, sheet.mesh.radii, sheet.mesh.edges
    corners, first, which = np.unique(sheet.sides.starts, return_index=True, return_inverse=True)
    chosen = sheet.vertices[first]
    own = np.searchsorted(corners, sheet.own)
    vertices[: len(own)], radii[: len(own)] = vertices[chosen[own]], radii[chosen[own]]
    chosen[own] = np.arange(len(own))
    same = np.arange(len(vertices), dtype=np.int32)
    same[sheet.vertices] = chosen[which]
    breaks = facing.places > 0
    here, there = sheet.pieces[facing.first[breaks]], sheet.pieces[facing.second[breaks]]
    same[edges[there, 1]] = edges[here, 0]
    edges[:] = same[edges]


def _keep_flips(
    sheet: _Sheet, facing: Facing, units: Units
) -> tuple[Shared, np.ndarray, np.ndarray]:
    """Make edges of the pieces of seams across which hinges flip.

    Returns what all edges share, which pieces are edges now, and the outer edges that lay on these.
    """
    mesh, pieces, (edges, codes) = sheet.mesh, sheet.pieces, sheet.shared
    is_real = np.zeros(len(facing.first), bool)
    outer = mesh.edge_faces[edges, 1] < 0
    flips = find_flips(facing, piece_numbers(pieces, edges[outer]), codes[outer], units)
    heads = np.diff(flips.indices, prepend=-1) != 0
    chosen = flips.indices[heads]
    is_real[chosen] = True
    left = flips.positive[heads]
    both = pieces[np.stack([facing.first[chosen], facing.second[chosen]])]
    real, unused = np.where(left == 0, both, both[::-1])
    mesh.edge_labels[real] = flips.hinges[heads]
    mesh.edge_faces[real, 1] = mesh.edge_faces[unused, 0]
    mesh.widths[real] = np.maximum(mesh.widths[real], mesh.widths[unused])
    _replace(mesh.face_halfedges, 2 * unused, 2 * real + 1)
    group = np.cumsum(heads) - 1
    other = ~heads
    codes_there = 2 * flips.hinges + (flips.positive != left[group])
    all_edges = np.concatenate([edges[~outer], real[group[other]]])
    all_codes = np.concatenate([codes[~outer], codes_there[other]])
    order = np.lexsort([all_codes, all_edges])
    return Shared(all_edges[order], all_codes[order]), is_real, unused


def _replace(array: np.ndarray, old: np.ndarray, new: np.ndarray) -> None:
    """Replace some numbers by others."""
    if len(old):
        places = np.flatnonzero(np.isin(array, old))
        order = np.argsort(old)
        array[places] = new[order[np.searchsorted(old, array[places], sorter=order)]]


def _label_boundary(sheet: _Sheet) -> None:
    """Label edges on the slice's boundary with its sides."""
    sides = np.repeat(sheet.sides.sides, np.diff(sheet.sides.offsets))
    outer = sides >= 0
    sheet.mesh.edge_labels[sheet.pieces[outer]] = -1 - sides[outer]
