"""The canonical numbering: the same for all numberings of the same mesh."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comparison import default_mlp, on
from families import FAMILIES, HEXAGON, SQUARE, UNIT_SQUARE, example, tent_map
from meshes import assert_sound, mesh_of
from splinecam import InvariantError
from splinecam.cutting.mesh import NOTHING_SHARED, Mesh, Shared, polygon_mesh
from splinecam.cutting.numbering import renumber

Rng = np.random.Generator


def shuffled(mesh: Mesh, shared: Shared, rng: Rng) -> tuple[Mesh, Shared]:
    """Number a mesh at random, corners excepted, start loops anywhere, swap coincident hinges."""
    mesh, shared = relabelled(mesh, shared, rng)
    n_corners = -mesh.edge_labels.min()
    n_faces = len(mesh.face_offsets) - 1
    inner = n_corners + rng.permutation(len(mesh.vertices) - n_corners)
    vertices = np.concatenate([np.arange(n_corners), inner])  # old number of each new vertex
    edges, faces = rng.permutation(len(mesh.edges)), rng.permutation(n_faces)
    new_vertex, new_edge, new_face = (
        np.argsort(a).astype(np.int32) for a in (vertices, edges, faces)
    )
    loops = np.split(mesh.face_halfedges, mesh.face_offsets[1:-1])
    loops = [np.roll(loops[face], rng.integers(len(loops[face]))) for face in faces]
    halfedges = np.concatenate(loops)
    new = Mesh(
        vertices=mesh.vertices[vertices],
        edges=new_vertex[mesh.edges[edges]],
        edge_faces=np.append(new_face, np.int32(-1))[mesh.edge_faces[edges]],
        edge_labels=mesh.edge_labels[edges],
        radii=mesh.radii[vertices],
        widths=mesh.widths[edges],
        face_offsets=np.cumsum([0, *map(len, loops)]).astype(np.int32),
        face_halfedges=2 * new_edge[halfedges >> 1] + (halfedges & 1),
    )
    order = rng.permutation(len(shared.edges))
    return new, Shared(new_edge[shared.edges[order]].astype(np.int64), shared.codes[order])


def relabelled(mesh: Mesh, shared: Shared, rng: Rng) -> tuple[Mesh, Shared]:
    """Label some edges that have several hinges with another one of them."""
    labels, edges, faces = mesh.edge_labels.copy(), mesh.edges.copy(), mesh.edge_faces.copy()
    halfedges, codes = mesh.face_halfedges.copy(), shared.codes.copy()
    for edge in np.unique(shared.edges):
        own = np.flatnonzero(shared.edges == edge)
        chosen = rng.choice(own)
        if rng.random() < 0.5:
            continue
        turn = codes[chosen] & 1
        labels[edge], codes[chosen] = codes[chosen] >> 1, 2 * labels[edge]
        if turn:
            codes[own] ^= 1
            edges[edge], faces[edge] = edges[edge, ::-1].copy(), faces[edge, ::-1].copy()
            halfedges[halfedges >> 1 == edge] ^= 1
    new = mesh._replace(edges=edges, edge_faces=faces, edge_labels=labels, face_halfedges=halfedges)
    return new, Shared(shared.edges, codes)


def assert_equal(found: tuple[Mesh, Shared], expected: tuple[Mesh, Shared]) -> None:
    for left, right in zip([*found[0], *found[1]], [*expected[0], *expected[1]], strict=True):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)


@pytest.mark.parametrize("name", FAMILIES)
def test_numbers_do_not_depend_on_those_that_came(name):
    for seed in range(3):
        mesh, shared = mesh_of(on(*example(name, seed)))
        done = renumber(mesh, shared)
        assert_sound(*done)
        for k in range(3):
            other = shuffled(mesh, shared, np.random.default_rng(k))
            assert_equal(renumber(*other), done)


@given(st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=30)
def test_numbers_of_a_larger_mesh_do_not_depend_on_those_that_came(seed):
    assert_equal(renumber(*shuffled(*LARGER, np.random.default_rng(seed))), CANONICAL)


LARGER = mesh_of(on(default_mlp(2, 20, 20, 1), HEXAGON))
CANONICAL = renumber(*LARGER)


def test_twice_is_once():
    assert_equal(renumber(*CANONICAL), CANONICAL)


def test_what_came_is_left_alone():
    mesh, shared = mesh_of(on(*example("negated", 0)))
    mesh, shared = relabelled(mesh, shared, np.random.default_rng(0))
    before = [array.copy() for array in (*mesh, *shared)]
    renumber(mesh, shared)
    for array, copy in zip((*mesh, *shared), before, strict=True):
        np.testing.assert_array_equal(array, copy)


def test_walk_begins_at_the_first_corner():
    mesh, _ = renumber(*shuffled(*LARGER, np.random.default_rng(1)))
    np.testing.assert_array_equal(mesh.vertices[:6], HEXAGON)
    assert mesh.edge_labels[0] == -1
    assert (mesh.edges[0, 0], mesh.edge_faces[0].tolist()) == (0, [0, -1])
    assert mesh.face_halfedges[0] == 0
    # Each number is met for the first time after all lower ones.
    edges, sides = mesh.face_halfedges >> 1, mesh.face_halfedges & 1
    for numbers, first in (
        (edges, 0),
        (mesh.edges[edges, sides], 6),
        (mesh.edge_faces[edges, 1 - sides], 1),
    ):
        met = np.unique(numbers[numbers >= first], return_index=True)[1]
        assert (np.diff(met) > 0).all()


def test_faces_are_numbered_by_their_distance():
    """On a grid of squares, faces come diagonal by diagonal."""
    mesh, _ = renumber(*mesh_of(on(tent_map(2), UNIT_SQUARE)))
    corners = mesh.vertices[mesh.edges[mesh.face_halfedges >> 1, mesh.face_halfedges & 1]]
    middles = corners.reshape(16, 4, 2).mean(axis=1)
    distances = np.rint((middles * 4).sum(axis=1) - 1).astype(int)
    assert distances.tolist() == sorted(distances)
    assert middles[:3].tolist() == [[0.125, 0.125], [0.375, 0.125], [0.125, 0.375]]


def test_least_hinge_labels_the_edge():
    """And is positive on its left; the other hinges' sides follow."""
    mesh, _ = mesh_of(on(*example("concurrent", 0)))
    edge = int(np.flatnonzero(mesh.edge_faces[:, 1] >= 0)[0])
    labels = mesh.edge_labels.copy()
    labels[edge] = 70
    one = Shared(np.full(3, edge), np.array([2 * 80 + 1, 2 * 60 + 1, 2 * 75]))
    new, shared = renumber(mesh._replace(edge_labels=labels), one)
    (found,) = np.flatnonzero(new.edge_labels == 60)
    assert shared.edges.tolist() == [found] * 3
    assert shared.codes.tolist() == [2 * 70 + 1, 2 * 75 + 1, 2 * 80]
    np.testing.assert_array_equal(
        new.vertices[new.edges[found]], mesh.vertices[mesh.edges[edge, ::-1]]
    )


def test_polygon_that_does_not_begin_at_vertex_0_is_refused():
    mesh = polygon_mesh(SQUARE)
    turned = mesh._replace(edge_labels=np.roll(mesh.edge_labels, 1))
    with pytest.raises(InvariantError, match="0 pieces of side 0 begin at vertex 0"):
        renumber(turned, NOTHING_SHARED)


def test_faces_out_of_reach_are_refused():
    one, n = polygon_mesh(SQUARE), np.int32(4)
    two = Mesh(
        vertices=np.concatenate([one.vertices, one.vertices + 5]),
        edges=np.concatenate([one.edges, one.edges + n]),
        edge_faces=np.array([(0, -1)] * 4 + [(1, -1)] * 4, np.int32),
        edge_labels=np.concatenate([one.edge_labels] * 2),
        radii=np.zeros(8),
        widths=np.zeros(8),
        face_offsets=np.array([0, 4, 8], np.int32),
        face_halfedges=np.arange(0, 16, 2, dtype=np.int32),
    )
    with pytest.raises(InvariantError, match="1 of 2 regions are not connected"):
        renumber(two, NOTHING_SHARED)
