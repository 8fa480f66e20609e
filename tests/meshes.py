"""Meshes: of partitions, in other numbers, and compared."""

from __future__ import annotations

import numpy as np

from splinecam import Partition
from splinecam.cutting.mesh import Mesh, Shared
from splinecam.cutting.numbering import renumber


def mesh_of(p: Partition) -> tuple[Mesh, Shared]:
    """Take a partition's mesh; its outer edges are labelled with their sides, as in the engine."""
    labels = p.edge_hinges.copy()
    for edge, side in sides_of(p).items():
        labels[edge] = -1 - side
    mesh = Mesh(
        vertices=p.vertices.copy(),
        edges=p.edges.copy(),
        edge_faces=p.edge_regions.copy(),
        edge_labels=labels,
        radii=np.linspace(0, 1e-15, p.n_vertices),
        widths=np.linspace(0, 1e-15, p.n_edges),
        face_offsets=p.region_offsets.copy(),
        face_halfedges=p.region_halfedges.copy(),
    )
    return mesh, Shared(p.shared_edges.copy(), p.shared_hinges.copy())


def sides_of(p: Partition) -> dict[int, int]:
    """Tell on which side of the polygon each outer edge lies."""
    outer = {p.edges[e, 0].item(): e.item() for e in np.flatnonzero(p.edge_regions[:, 1] < 0)}
    sides, vertex = {}, 0  # the first vertices are the corners
    for side in range(len(p.slice.polygon)):
        end = (side + 1) % len(p.slice.polygon)
        while True:
            edge = outer[vertex]
            sides[edge] = side
            vertex = p.edges[edge, 1].item()
            if vertex == end:
                break
    return sides


def assert_sound(mesh: Mesh, shared: Shared) -> None:
    """Assert that loops are closed and all arrays agree on them."""
    for face, loop in enumerate(np.split(mesh.face_halfedges, mesh.face_offsets[1:-1])):
        edge, side = loop >> 1, loop & 1
        assert (mesh.edge_faces[edge, side] == face).all()
        assert (mesh.edges[edge, 1 - side] == np.roll(mesh.edges[edge, side], -1)).all()
    assert len(mesh.face_halfedges) == np.count_nonzero(mesh.edge_faces >= 0)
    assert ((mesh.edge_faces[:, 1] < 0) == (mesh.edge_labels < 0)).all()
    assert (np.diff(shared.edges) >= 0).all()


def assert_same(
    found: tuple[Mesh, Shared], expected: tuple[Mesh, Shared], atol: float = 0.0
) -> None:
    """Assert that two meshes differ in their numbers at most, and in coordinates by `atol`."""
    assert_sound(*found)
    (mesh, shared), (other, others) = renumber(*found), renumber(*expected)
    for name in ("edges", "edge_faces", "edge_labels", "face_offsets", "face_halfedges"):
        np.testing.assert_array_equal(getattr(mesh, name), getattr(other, name), name)
    np.testing.assert_array_equal(shared, others)
    np.testing.assert_allclose(mesh.vertices, other.vertices, rtol=0, atol=atol)


def extent(points: np.ndarray) -> float:
    return float(np.ptp(points, axis=0).max() + np.abs(points).max())
