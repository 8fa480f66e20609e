"""After a max group's tournament: edges of its nodes become edges of its winners, or vanish."""

from __future__ import annotations

import numpy as np

from splinecam._kernels.arrays import Mesh
from splinecam._kernels.traversal import collect_patterns
from splinecam.dissolve import Dissolved, dissolve
from splinecam.flips import find_flips
from splinecam.labels import Labels
from splinecam.mesh import Shared
from splinecam.tournaments import Tournament


def settle(
    mesh: Mesh,
    shared: Shared,
    root: np.ndarray,
    tournament: Tournament,
    labels: Labels,
    step: int,
    n_corners: int,
) -> Dissolved:
    """Label edges by the change of winners across them; dissolve those where none changes.

    Parameters
    ----------
    mesh, shared
        Cut by all nodes.
    root : ndarray
        Pattern, followed by the nodes, of the region left of edge 0; the winners are entered.
    tournament : Tournament
    labels : Labels
    step : int
        The max group's.
    n_corners : int
        The first vertices, which stay.
    """
    places = _winners(mesh, shared, root, tournament, labels, step)
    first = labels.units.first_units[step]
    root[first + np.arange(len(tournament.roots))] = places[mesh.edge_faces[0, 0]]
    low, high = (labels.units.n_hinges + node for node in labels.nodes(step))
    is_node = (mesh.edge_labels >= low) & (mesh.edge_labels < high)
    codes = shared.codes >> 1
    is_shared_node = (codes >= low) & (codes < high)
    concerned = np.union1d(np.flatnonzero(is_node), shared.edges[is_shared_node])
    edges, codes = _changes(mesh, concerned, places, labels, step)
    # An edge of nodes only is labelled with its first change, whose direction it takes.
    own = is_node[edges]
    firsts, where = np.unique(edges[own], return_index=True)
    leading = np.flatnonzero(own)[where]
    removed = is_node.copy()
    removed[firsts] = False
    mesh.edge_labels[firsts] = codes[leading] >> 1
    turned = np.zeros(len(mesh.edges), bool)
    turned[firsts] = (codes[leading] & 1).astype(bool)
    rest = np.ones(len(edges), bool)
    rest[leading] = False
    all_edges = np.concatenate([shared.edges[~is_shared_node], edges[rest]])
    all_codes = np.concatenate([shared.codes[~is_shared_node], codes[rest] ^ turned[edges[rest]]])
    order = np.lexsort([all_codes, all_edges])
    shared = Shared(all_edges[order], all_codes[order])
    kept = np.zeros(len(mesh.vertices), bool)
    kept[:n_corners] = True
    return dissolve(_turned(mesh, turned), shared, removed, kept)


def _winners(
    mesh: Mesh,
    shared: Shared,
    root: np.ndarray,
    tournament: Tournament,
    labels: Labels,
    step: int,
) -> np.ndarray:
    """The place of each window's winner (F, groups) in each face."""
    n_faces = len(mesh.face_offsets) - 1
    patterns = np.empty((n_faces, len(root)), root.dtype)
    collect_patterns(
        int(mesh.edge_faces[0, 0]),
        root.copy(),
        *(mesh.face_offsets, mesh.face_halfedges, mesh.edge_faces),
        find_flips(labels.units, labels.n_nodes, mesh.edge_labels, shared),
        np.arange(n_faces, dtype=np.int32),
        patterns,
        0,
    )
    first, stop = (labels.units.n_units + node for node in labels.nodes(step))
    won = patterns[:, first:stop]
    faces = np.arange(n_faces)[:, None]
    codes = np.broadcast_to(tournament.roots, (n_faces, len(tournament.roots)))
    while (codes >= 0).any():
        node = np.maximum(codes, 0)
        codes = np.where(codes < 0, codes, tournament.children[node, won[faces, node]])
    return tournament.places(-1 - codes)


def _changes(
    mesh: Mesh, edges: np.ndarray, places: np.ndarray, labels: Labels, step: int
) -> tuple[np.ndarray, np.ndarray]:
    """Edges across which winners change, ascending, and the codes of the hinges that say how."""
    left, right = (places[mesh.edge_faces[edges, side]] for side in range(2))
    which, groups = np.nonzero(left != right)
    rise = left[which, groups].astype(np.int64) - right[which, groups]
    highest = labels.units.highest[step]
    hinges = labels.units.first_hinges[step] + groups * highest + np.abs(rise) - 1
    return edges[which], 2 * hinges + (rise < 0)


def _turned(mesh: Mesh, turned: np.ndarray) -> Mesh:
    """The mesh with some edges (E,) in the opposite direction."""
    if not turned.any():
        return mesh
    edges, edge_faces = mesh.edges.copy(), mesh.edge_faces.copy()
    edges[turned] = edges[turned, ::-1]
    edge_faces[turned] = edge_faces[turned, ::-1]
    halfedges = mesh.face_halfedges ^ turned[mesh.face_halfedges >> 1]
    return mesh._replace(edges=edges, edge_faces=edge_faces, face_halfedges=halfedges)
