"""Tiles put together, or counted, against the slice in one piece."""

from dataclasses import replace

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from comparison import assert_agrees_with_model, default_mlp, on
from families import FAMILIES, HEXAGON, RECTANGLE, SQUARE, UNIT_SQUARE, example, linear, tent_map
from meshes import assert_same, extent, mesh_of
from splinecam import InvalidArgumentError, InvariantError, Partition
from splinecam.cutting.mesh import NOTHING_SHARED, Mesh, Shared, polygon_mesh
from splinecam.cutting.numbering import renumber
from splinecam.network.units import Units
from splinecam.tiling.rims import Joined, join_rims, take_rim
from splinecam.tiling.seams import Sides, TileMesh, find_corners, match_pieces
from splinecam.tiling.stitch import stitch
from strategies import networks
from tiles import cut, fan, quadtree, tiled

BOX = np.array([[0.0, 0], [2, 0], [2, 1], [0, 1]])

PLAIN = Units(("relu",), (20,), (1,), (False,))


def assert_whole(tiles: list[TileMesh], p: Partition) -> None:
    """Assert that tiles make up a partition."""
    size = extent(p.slice.polygon)
    assert_same(stitch(tiles, p.network.units), mesh_of(p), 1e-12 * size)
    areas, joined = region_areas(tiles, p.network.units)
    tolerance = 1e-11 * size * np.ptp(p.slice.polygon, axis=0).max()
    np.testing.assert_allclose(np.sort(areas), np.sort(p.areas), atol=tolerance)
    ends = p.vertices[p.edges]
    lengths = np.bincount(p.edge_hinges + 1, np.hypot(*(ends[:, 1] - ends[:, 0]).T))[1:]
    inner = [inner_lengths(tile, len(lengths)) for tile in tiles]
    along_seams = np.bincount(joined.hinges, joined.lengths, len(lengths))
    np.testing.assert_allclose(sum(inner, along_seams), lengths, atol=1e-10 * size)


def region_areas(tiles: list[TileMesh], units: Units = PLAIN) -> tuple[np.ndarray, Joined]:
    """The areas of all regions, from the rims of tiles; and what these make up."""
    rims, inner = zip(*(take_rim(tile, face_areas(tile.mesh)) for tile in tiles), strict=True)
    joined = join_rims(rims, units)
    return np.concatenate([joined.areas, *inner]), joined


def face_areas(mesh: Mesh) -> np.ndarray:
    halfedges, vertices = mesh.face_halfedges, mesh.vertices - mesh.vertices[0]
    starts, stops = (
        vertices[mesh.edges[halfedges >> 1, side]] for side in (halfedges & 1, ~halfedges & 1)
    )
    doubled = starts[:, 0] * stops[:, 1] - starts[:, 1] * stops[:, 0]
    return np.add.reduceat(doubled, mesh.face_offsets[:-1]) / 2


def inner_lengths(tile: TileMesh, n_hinges: int) -> np.ndarray:
    """Lengths of a tile's edges, but those on its rim, by hinge."""
    mesh = tile.mesh
    inner = mesh.edge_faces[:, 1] >= 0
    ends = mesh.vertices[mesh.edges[inner]]
    lengths = np.hypot(*(ends[:, 1] - ends[:, 0]).T)
    return np.bincount(mesh.edge_labels[inner], lengths, n_hinges)


def n_seam_hinges(tiles: list[TileMesh]) -> int:
    return sum(np.sum(tile.mesh.edge_labels[tile.shared.edges] < 0) for tile in tiles)


# --- partitions -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_tiles_make_up_the_partition(name):
    for seed in range(4):
        model, polygon = example(name, seed)
        tiles = tiled(model, cut(polygon, np.random.default_rng(seed)))
        assert_whole(tiles, on(model, polygon))


@pytest.mark.parametrize("polygon", [SQUARE, UNIT_SQUARE, RECTANGLE])
@given(st.data())
@settings(deadline=None, max_examples=6)
def test_quadtrees_make_up_the_partition(polygon, data):
    model = data.draw(networks(polygon))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    depth, share = data.draw(st.integers(1, 4)), data.draw(st.floats(0.3, 0.8))
    tiles = quadtree(polygon, rng, depth=depth, share=share)
    assert_whole(tiled(model, tiles), on(model, polygon))


def test_many_regions():
    model = default_mlp(2, 40, 40, 40, 1)
    tiles = quadtree(SQUARE, np.random.default_rng(0), depth=3)
    assert len(tiles) > 15
    assert_whole(tiled(model, tiles), on(model, SQUARE))


def test_result_is_a_partition():
    model = default_mlp(2, 20, 20, 3)
    p = on(model, HEXAGON)
    mesh, shared = renumber(*stitch(tiled(model, fan(HEXAGON)), p.network.units))
    stitched = replace(
        p,
        vertices=mesh.vertices,
        edges=mesh.edges,
        edge_regions=mesh.edge_faces,
        edge_hinges=np.maximum(mesh.edge_labels, -1),
        shared_edges=shared.edges,
        shared_hinges=shared.codes,
        region_offsets=mesh.face_offsets,
        region_halfedges=mesh.face_halfedges,
    )
    assert_agrees_with_model(stitched, model)


def test_order_of_tiles_does_not_matter():
    model = default_mlp(2, 20, 20, 3)
    tiles = tiled(model, quadtree(SQUARE, np.random.default_rng(3), depth=2))
    units = on(model, SQUARE).network.units
    expected = stitch(tiles, units)
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(tiles))
        assert_same(stitch((tiles[k] for k in order), units), expected, 1e-14)


def test_one_tile_is_the_whole():
    model = default_mlp(2, 20, 3)
    p = on(model, HEXAGON)
    mesh, shared = mesh_of(p)
    tile = TileMesh(mesh, shared, np.arange(6) + 10, np.arange(6))
    assert_whole([tile], p)
    # The first corner of a tile need not be the slice's.
    turned = tile._replace(sides=(np.arange(6) + 2) % 6)
    whole, _ = stitch([turned], p.network.units)
    np.testing.assert_array_equal(whole.vertices[:6], np.roll(HEXAGON, 2, axis=0))


def test_tiles_are_left_alone():
    model, polygon = tent_map(2), UNIT_SQUARE
    tiles = tiled(model, quadtree(polygon, np.random.default_rng(0), depth=2))
    before = [[array.copy() for array in (*tile.mesh, *tile.shared)] for tile in tiles]
    stitch(tiles, PLAIN)
    for tile, arrays in zip(tiles, before, strict=True):
        for array, copy in zip((*tile.mesh, *tile.shared), arrays, strict=True):
            np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("n_folds", [1, 2, 3])
def test_seams_on_hinges_stay(n_folds):
    """Seams of the tent map's quadtree lie on its edges."""
    model = tent_map(n_folds)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        tiles = tiled(model, quadtree(UNIT_SQUARE, rng, depth=3, share=0.9))
        assert n_seam_hinges(tiles) > 0
        assert_whole(tiles, on(model, UNIT_SQUARE))


@pytest.mark.parametrize("seed", range(3))
def test_regions_are_joined_when_all_their_tiles_are_there(seed):
    p = on(default_mlp(2, 8, 8, 1), SQUARE)
    tiles = tiled(default_mlp(2, 8, 8, 1), cut(SQUARE, np.random.default_rng(seed)))
    outlines = [shapely.Polygon(tile.mesh.vertices[: len(tile.corners)]) for tile in tiles]
    for n in range(1, len(tiles)):
        missing = shapely.union_all(outlines[n:])
        outside = shapely.area(shapely.intersection(p.polygons, missing)) < 1e-12
        found, _ = region_areas(tiles[:n])
        np.testing.assert_allclose(np.sort(found), np.sort(p.areas[outside]), atol=1e-12)


# --- by hand --------------------------------------------------------------------------------


def halves(left: Shared = NOTHING_SHARED, right: Shared = NOTHING_SHARED) -> list[TileMesh]:
    """Two squares that make up the box; the seam is side 1 of the left and side 3 of the right."""
    square = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    meshes = polygon_mesh(square), polygon_mesh(square + np.array([1, 0]))
    return [
        TileMesh(meshes[0], left, np.array([0, 1, 4, 5]), np.array([0, -1, 2, 3])),
        TileMesh(meshes[1], right, np.array([1, 2, 3, 4]), np.array([0, 1, 2, -1])),
    ]


def share(edge: int, *codes: int) -> Shared:
    return Shared(np.full(len(codes), edge), np.array(codes, np.int64))


def box_mesh() -> Mesh:
    return polygon_mesh(BOX)


def test_seam_without_hinges_vanishes():
    tiles = halves()
    assert_same(stitch(tiles, PLAIN), (box_mesh(), NOTHING_SHARED))
    assert len(region_areas(tiles)[0]) == 1


def test_hinge_that_flips_across_a_seam_makes_an_edge():
    """Its first hinge is positive on its left; hinges without a change leave no trace."""
    left, right = share(1, 2 * 5, 2 * 8), share(3, 2 * 5, 2 * 7)
    tiles = halves(left, right)
    tiles[0].mesh.widths[1] = 1e-15
    mesh, shared = stitch(tiles, PLAIN)
    assert len(region_areas(tiles)[0]) == 2
    (edge,) = np.flatnonzero(mesh.edge_faces[:, 1] >= 0)
    assert mesh.edge_labels[edge] == 7
    assert mesh.widths[edge] == 1e-15
    assert mesh.vertices[mesh.edges[edge]].tolist() == [[1, 1], [1, 0]]
    assert [array.tolist() for array in shared] == [[edge], [2 * 8 + 1]]
    assert len(mesh.face_halfedges) == 8
    assert_same((mesh, shared), stitch(tiles[::-1], PLAIN))


def test_hinge_that_does_not_flip_is_no_edge():
    """It vanishes along the seam and has the same sign on both sides."""
    tiles = halves(share(1, 10, 14), share(3, 10, 14))
    assert_same(stitch(tiles, PLAIN), (box_mesh(), NOTHING_SHARED))
    assert len(region_areas(tiles)[0]) == 1


@pytest.mark.parametrize(
    ("left", "right", "label", "ends"),
    [
        ((), (), None, None),
        ((2,), (2,), None, None),
        ((1,), (), 1, [[1, 0], [1, 1]]),
        ((), (3,), 3, [[1, 1], [1, 0]]),
        ((3,), (1,), 2, [[1, 0], [1, 1]]),
        ((1,), (2,), 1, [[1, 1], [1, 0]]),
    ],
)
def test_places_in_a_max_group_rise_on_both_sides(left, right, label, ends):
    """Hinge j: the greatest entry's place is j + 1 greater than that of the first on the seam."""
    units = Units(("relu", "max"), (5, 2), (1, 4), (False, True))
    base = 5 + 4
    tiles = halves(
        share(1, *(2 * (base + rise - 1) for rise in left)),
        share(3, *(2 * (base + rise - 1) for rise in right)),
    )
    mesh, shared = stitch(tiles, units)
    assert not len(shared.edges)
    inner = np.flatnonzero(mesh.edge_faces[:, 1] >= 0)
    _, joined = region_areas(tiles, units)
    if label is None:
        assert len(inner) == len(joined.hinges) == 0
    else:
        assert mesh.edge_labels[inner] == joined.hinges == base + label - 1
        assert mesh.vertices[mesh.edges[inner[0]]].tolist() == ends
        assert joined.lengths.tolist() == [1.0]


def test_hinges_along_the_boundary_are_forgotten():
    tiles = halves(share(0, 10), share(1, 12))
    assert_same(stitch(tiles, PLAIN), (box_mesh(), NOTHING_SHARED))


def test_first_tile_gives_the_coordinates():
    tiles = halves()
    tiles[1].mesh.vertices[:] += 1e-15
    kept = share(1, 10), NOTHING_SHARED
    tiles = [tile._replace(shared=shared) for tile, shared in zip(tiles, kept, strict=True)]
    for order in (tiles, tiles[::-1]):
        mesh, _ = stitch(order, PLAIN)
        inner = mesh.edges[mesh.edge_faces[:, 1] >= 0][0]
        given = [order[0].mesh.vertices[k].tolist() for k in ([1, 2] if order is tiles else [0, 3])]
        assert sorted(mesh.vertices[inner].tolist()) == sorted(given)


@pytest.mark.parametrize("seed", range(20))
def test_quadtree_without_edges_is_one_region(seed):
    """Corners of four, three and two tiles vanish."""
    tiles = [
        TileMesh(polygon_mesh(tile.polygon), NOTHING_SHARED, tile.corners, tile.sides)
        for tile in quadtree(BOX, np.random.default_rng(seed), depth=4)
    ]
    assert_same(stitch(tiles, PLAIN), (box_mesh(), NOTHING_SHARED))
    assert len(region_areas(tiles)[0]) == 1


# --- what does not fit ----------------------------------------------------------------------


def assert_refused(tiles: list[TileMesh], message: str) -> None:
    with pytest.raises(InvariantError, match=message):
        stitch(tiles, PLAIN)
    with pytest.raises(InvariantError, match=message):
        region_areas(tiles)


def test_no_tiles_are_refused():
    with pytest.raises(InvariantError, match="there are no tiles"):
        stitch([], PLAIN)


def test_more_edges_than_numbers_are_refused():
    left, right = halves()
    mesh = right.mesh._replace(edges=np.broadcast_to(np.int32(0), (2**30, 2)))
    with pytest.raises(InvalidArgumentError, match="tiles has 1,073,741,828 edges; accepted: up"):
        stitch([left, right._replace(mesh=mesh)], PLAIN)


def test_breaks_on_one_side_only_are_refused():
    left, right = halves()
    mesh, shared = mesh_of(on(linear_fold(), left.mesh.vertices))
    assert_refused(
        [left._replace(mesh=mesh, shared=shared), right],
        "the seam between corners 1 and 4 has 2 pieces on one side, 1 on the other",
    )


def linear_fold() -> nn.Sequential:
    """A relu that vanishes where y = 1/2."""
    return nn.Sequential(linear(np.array([[0.0, 2]]), np.array([-1.0]), torch.float64), nn.ReLU())


def test_sides_that_are_not_chains_are_refused():
    left, right = halves()
    mesh = right.mesh._replace(edge_labels=right.mesh.edge_labels[::-1].copy())
    tiles = [left, right._replace(mesh=mesh)]
    with pytest.raises(InvariantError, match="side 0 of tile 1 is not a chain of edges with its"):
        stitch(tiles, PLAIN)
    with pytest.raises(InvariantError, match="side 0 of tile 0 is not a chain of edges with its"):
        take_rim(tiles[1], np.ones(1))


def test_outer_edges_on_no_side_are_refused():
    left, right = (tile.mesh for tile in halves())
    both = Mesh(
        *(np.concatenate([a, b]) for a, b in zip(left[:6], right[:6], strict=True)),
        np.array([0, 4, 8], np.int32),
        np.arange(0, 16, 2, dtype=np.int32),
    )
    both.edges[4:] += 4
    with pytest.raises(InvariantError, match="4 outer edges are on no side of a tile"):
        take_rim(TileMesh(both, NOTHING_SHARED, np.arange(4), np.arange(4)), np.ones(2))


def seams(*ends: tuple[int, int]) -> Sides:
    starts, stops = np.array(ends).T
    return Sides(starts, stops, np.full(len(ends), -1), np.arange(len(ends) + 1))


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        ([(3, 8)], "between corners 3 and 8 is a side of 1 tiles; it has to be one of 2"),
        ([(1, 2), (2, 1), (8, 3)], "between corners 3 and 8 is a side of 1 tiles"),
        ([(1, 2), (2, 1), (1, 2), (2, 1)], "between corners 1 and 2 is a side of 4 tiles"),
        ([(1, 2), (5, 4), (5, 4), (2, 1)], "4 and 5 has both its tiles on the same side"),
    ],
)
def test_seams_lie_between_two_tiles(ends, message):
    with pytest.raises(InvariantError, match=message):
        match_pieces(seams(*ends))


@pytest.mark.parametrize(
    ("starts", "stops", "sides", "message"),
    [
        ([0, 1, 2], [1, 2, 7], [0, 1, 2], "ends at corner 0, where one begins"),
        ([0, 1, 2], [1, 2, 0], [0, 1, 1], "are not those of a polygon"),
        ([0, 1, 2], [1, 2, 0], [0, 2, 1], "are not those of a polygon"),
        ([0, 1, 2], [1, 2, 0], [1, 2, 3], "are not those of a polygon"),
        ([0, 1, 2, 3], [1, 2, 3, 0], [0, 1, 0, 1], "are not those of a polygon"),
        ([0, 1, 2], [1, 2, 0], [-1, -1, -1], "are not those of a polygon"),
    ],
)
def test_sides_on_the_boundary_make_up_a_polygon(starts, stops, sides, message):
    with pytest.raises(InvariantError, match=message):
        find_corners(np.array(starts), np.array(stops), np.array(sides))
