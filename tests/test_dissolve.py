"""Removing edges: against partitions by fewer layers, and against unions of polygons."""

from itertools import pairwise

import networkx as nx
import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from comparison import default_mlp, on
from families import FAMILIES, HEXAGON, SQUARE, example
from meshes import assert_same, assert_sound, extent, mesh_of
from splinecam import InvariantError, Partition
from splinecam.cutting.dissolve import dissolve
from splinecam.cutting.mesh import NOTHING_SHARED, Mesh, Shared

GRID = np.array([[0.0, 0], [3, 0], [3, 3], [0, 3]])


def corners_of(mesh: Mesh) -> np.ndarray:
    kept = np.zeros(len(mesh.vertices), bool)
    kept[: -mesh.edge_labels.min()] = True
    return kept


def polygons_of(mesh: Mesh) -> np.ndarray:
    vertices = mesh.vertices[mesh.edges[mesh.face_halfedges >> 1, mesh.face_halfedges & 1]]
    return np.array([shapely.Polygon(v) for v in np.split(vertices, mesh.face_offsets[1:-1])])


def inner(mesh: Mesh) -> np.ndarray:
    return mesh.edge_faces[:, 1] >= 0


def between(mesh: Mesh, *pairs: tuple[int, int]) -> np.ndarray:
    """Flag the edges between given faces."""
    wanted = [set(pair) for pair in pairs]
    return np.array([set(faces) in wanted for faces in mesh.edge_faces.tolist()])


def grid(n: int = 3) -> Mesh:
    """A square of n × n square faces, numbered row by row from below; vertices likewise."""
    x, y = np.meshgrid(np.arange(n + 1), np.arange(n + 1))
    vertices = np.stack([x.ravel(), y.ravel()], axis=1).astype(float)
    numbers = np.arange((n + 1) ** 2).reshape(n + 1, n + 1)
    edges, faces, labels = [], [], []
    inside = np.pad(np.arange(n * n).reshape(n, n), 1, constant_values=-1)

    def add(ends, left, right, label, side):
        outer = min(left, right) < 0
        edges.append(ends if left >= 0 else ends[::-1])
        faces.append((left, right) if left >= 0 else (right, left))
        labels.append(-1 - side if outer else label)

    for i in range(n + 1):
        for j in range(n):
            row, column = numbers[i, j : j + 2].tolist(), numbers[j : j + 2, i].tolist()
            add(row, inside[i + 1, j + 1], inside[i, j + 1], i, 0 if i == 0 else 2)
            add(column, inside[j + 1, i], inside[j + 1, i + 1], n + i, 3 if i == 0 else 1)
    halfedges = {
        (*pair,): 2 * e + side
        for e, ends in enumerate(edges)
        for side, pair in enumerate([ends, ends[::-1]])
    }
    loops = []
    for i in range(n):
        for j in range(n):
            a, b, c, d = numbers[[i, i, i + 1, i + 1], [j, j + 1, j + 1, j]].tolist()
            loops += [halfedges[pair] for pair in pairwise([a, b, c, d, a])]
    return Mesh(
        vertices=vertices,
        edges=np.array(edges, np.int32),
        edge_faces=np.array(faces, np.int32),
        edge_labels=np.array(labels, np.int32),
        radii=np.arange(len(vertices), dtype=float),
        widths=np.arange(len(edges), dtype=float),
        face_offsets=np.arange(0, 4 * n * n + 1, 4, dtype=np.int32),
        face_halfedges=np.array(loops, np.int32),
    )


def grid_corners(n: int = 3) -> np.ndarray:
    kept = np.zeros((n + 1) ** 2, bool)
    kept[[0, n, n * (n + 1), -1]] = True
    return kept


# --- by hand --------------------------------------------------------------------------------


def test_nothing_removed_returns_what_came():
    mesh, shared = mesh_of(on(default_mlp(2, 6, 1), SQUARE))
    done = dissolve(mesh, shared, np.zeros(len(mesh.edges), bool), corners_of(mesh))
    assert done.mesh is mesh
    assert done.shared is shared
    np.testing.assert_array_equal(done.vertices, np.arange(len(mesh.vertices)))


def test_all_inner_edges_removed_leave_the_polygon():
    mesh = grid()
    done = dissolve(mesh, NOTHING_SHARED, inner(mesh), grid_corners())
    assert polygons_of(done.mesh)[0].equals_exact(shapely.Polygon(GRID), 0)
    assert done.mesh.edge_labels.tolist() == [-1, -4, -3, -2]
    assert done.mesh.edge_faces.tolist() == [[0, -1]] * 4
    assert done.vertices.tolist() == [0, -1, -1, 1] + [-1] * 8 + [2, -1, -1, 3]
    assert done.mesh.radii.tolist() == [0, 3, 12, 15]


def test_vertex_inside_a_region_vanishes():
    mesh = grid()
    lower_left = between(mesh, (0, 1), (1, 4), (4, 3), (3, 0))
    done = dissolve(mesh, NOTHING_SHARED, lower_left, grid_corners())
    assert len(done.mesh.face_offsets) - 1 == 6
    # One vertex was inside, two were where a removed edge met the boundary; two more have three
    # edges left, so they stay.
    assert np.flatnonzero(done.vertices < 0).tolist() == [1, 4, 5]
    assert sorted(p.area for p in polygons_of(done.mesh)) == [1] * 5 + [4]


def test_pieces_of_a_line_become_one_edge():
    mesh = grid()
    rows = between(mesh, (0, 1), (1, 2), (3, 4), (4, 5))
    shared = Shared(np.flatnonzero(mesh.edge_labels == 1), np.array([15, 15, 15]))
    done = dissolve(mesh, shared, rows, grid_corners())
    line = np.flatnonzero(done.mesh.edge_labels == 1)
    assert len(line) == 1
    assert done.mesh.vertices[done.mesh.edges[line[0]]].tolist() == [[0, 1], [3, 1]]
    assert done.mesh.widths[line[0]] == mesh.widths[mesh.edge_labels == 1].max()
    assert [array.tolist() for array in done.shared] == [[line[0]], [15]]


def test_directions_of_pieces_may_differ():
    """Then the whole runs as its first piece does."""
    mesh = grid()
    middle = np.flatnonzero(mesh.edge_labels == 1)[1]
    flipped = mesh._replace(
        edges=mesh.edges.copy(),
        edge_faces=mesh.edge_faces.copy(),
        face_halfedges=mesh.face_halfedges ^ (mesh.face_halfedges >> 1 == middle),
    )
    flipped.edges[middle] = flipped.edges[middle, ::-1]
    flipped.edge_faces[middle] = flipped.edge_faces[middle, ::-1]
    rows = between(mesh, (0, 1), (1, 2), (3, 4), (4, 5))
    expected = dissolve(mesh, NOTHING_SHARED, rows, grid_corners())
    done = dissolve(flipped, NOTHING_SHARED, rows, grid_corners())
    for found, array in zip(done.mesh, expected.mesh, strict=True):
        np.testing.assert_array_equal(found, array)


def test_removed_edges_may_end_at_the_boundary_alone():
    mesh = grid()
    done = dissolve(mesh, NOTHING_SHARED, between(mesh, (0, 1)), grid_corners())
    assert len(done.mesh.face_offsets) - 1 == 8
    assert np.flatnonzero(done.vertices < 0).tolist() == [1]


def test_region_may_be_joined_through_several_edges_round_a_vertex():
    """Three of the four edges at a vertex vanish: then the fourth has one region on both sides."""
    mesh = grid()
    with pytest.raises(InvariantError, match="two sides become one region"):
        dissolve(mesh, NOTHING_SHARED, between(mesh, (0, 1), (1, 4), (4, 3)), grid_corners())


def test_holes_are_refused():
    mesh = grid()
    ring = [0, 1, 2, 5, 8, 7, 6, 3, 0]
    with pytest.raises(InvariantError, match="without holes"):
        dissolve(mesh, NOTHING_SHARED, between(mesh, *pairwise(ring)), grid_corners())


def test_corners_that_nothing_touches_are_refused():
    mesh = grid()
    with pytest.raises(InvariantError, match="without holes"):
        dissolve(mesh, NOTHING_SHARED, inner(mesh), np.ones(16, bool))


def test_polygon_without_corners_is_refused():
    mesh = grid()
    with pytest.raises(InvariantError, match="without holes"):
        dissolve(mesh, NOTHING_SHARED, inner(mesh), np.zeros(16, bool))


def test_outer_edges_are_not_removed():
    mesh = grid()
    with pytest.raises(InvariantError, match="edge 0 is to be removed, but it is an outer one"):
        dissolve(mesh, NOTHING_SHARED, np.ones(len(mesh.edges), bool), grid_corners())


# --- against partitions by fewer layers -----------------------------------------------------


def below(shared: Shared, limit: int) -> Shared:
    few = shared.codes < 2 * limit
    return Shared(shared.edges[few], shared.codes[few])


def assert_later_layers_come_off(p: Partition, heads: list[Partition]) -> None:
    """Assert that without the edges of the last layers it is the partition by the first ones."""
    mesh, shared = mesh_of(p)
    for n_layers, head in enumerate(heads):
        limit = int(np.count_nonzero(p.network.units.hinge_layers < n_layers))
        removed = mesh.edge_labels >= limit
        done = dissolve(mesh, below(shared, limit), removed, corners_of(mesh))
        atol = 1e-12 * extent(p.slice.polygon)
        assert_same((done.mesh, done.shared), mesh_of(head), atol)
        stay = done.vertices >= 0
        np.testing.assert_array_equal(done.mesh.vertices, mesh.vertices[stay])
        np.testing.assert_array_equal(done.vertices[stay], np.arange(len(done.mesh.vertices)))


@pytest.mark.parametrize("name", FAMILIES)
def test_partition_without_its_last_layers(name):
    for seed in range(4):
        model, polygon = example(name, seed)
        n_layers = len(model) // 2
        heads = [on(model[: 2 * k], polygon) for k in range(1, n_layers)]
        assert_later_layers_come_off(on(model, polygon), [on(model[:1], polygon), *heads])


def test_partition_without_its_last_layers_at_size():
    model = default_mlp(2, 40, 40, 40, 1)
    heads = [on(model[: max(1, 2 * k)], HEXAGON) for k in range(3)]
    assert_later_layers_come_off(on(model, HEXAGON), heads)


# --- against unions of polygons -------------------------------------------------------------


@given(st.integers(0, 2**32 - 1), st.sampled_from(["generic_mixed", "integer", "tent"]))
@settings(deadline=None, max_examples=60)
def test_random_regions_become_one(seed, name):
    rng = np.random.default_rng(seed)
    mesh, shared = mesh_of(on(*example(name, seed % 50)))
    groups = np.arange(len(mesh.face_offsets) - 1)
    for left, right in mesh.edge_faces[inner(mesh)][rng.random(np.sum(inner(mesh))) < 0.3]:
        groups[groups == groups[right]] = groups[left]
    removed = inner(mesh) & (groups[mesh.edge_faces[:, 0]] == groups[mesh.edge_faces[:, 1]])
    stay = nx.Graph(mesh.edges[~removed].tolist())
    kept = np.isin(np.arange(len(mesh.vertices)), list(stay))  # regions need not be convex here
    if not nx.is_connected(stay):
        with pytest.raises(InvariantError, match="without holes"):
            dissolve(mesh, shared, removed, kept)
        return
    done = dissolve(mesh, shared, removed, kept)
    assert_sound(done.mesh, done.shared)
    parts = polygons_of(mesh)
    unions = [shapely.union_all(parts[groups == group]) for group in np.unique(groups)]
    np.testing.assert_allclose(
        sorted(polygon.area for polygon in polygons_of(done.mesh)),
        sorted(polygon.area for polygon in unions),
        rtol=1e-9,
    )
    np.testing.assert_array_equal(done.vertices >= 0, kept)
