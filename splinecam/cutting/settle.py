"""After a max group's tournament: edges of its nodes become edges of its winners, or vanish."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from splinecam._kernels.arrays import Mesh
from splinecam._kernels.winners import count_changes, find_winners, list_changes
from splinecam.common.workers import Workers
from splinecam.cutting.dissolve import Dissolved, dissolve
from splinecam.cutting.flips import choose_flips
from splinecam.cutting.labels import Labels
from splinecam.cutting.mesh import VALUE_GRAIN, Shared
from splinecam.network.tournaments import Tournament


class _Changes(NamedTuple):
    """Where winners change, each (n,)."""

    edges: np.ndarray  # ascending
    codes: np.ndarray  # of the hinges that say how, ascending on each edge


def settle(
    mesh: Mesh,
    shared: Shared,
    root: np.ndarray,
    tournament: Tournament,
    labels: Labels,
    step: int,
    n_corners: int,
    workers: Workers,
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
    workers : Workers
    """
    groups, brackets = tournament.brackets()
    nodes = labels.nodes(step)
    places = _winners(mesh, shared, root, brackets, labels, nodes)
    root[labels.units.first_units[step] + groups] = places[mesh.edge_faces[0, 0]]
    low, high = (labels.units.n_hinges + node for node in nodes)
    is_node = (mesh.edge_labels >= low) & (mesh.edge_labels < high)
    is_shared_node = (shared.codes >= 2 * low) & (shared.codes < 2 * high)
    concerned = is_node.copy()
    concerned[shared.edges[is_shared_node]] = True
    changes = _changes(mesh, np.flatnonzero(concerned), groups, places, labels, step, workers)
    # An edge of nodes only is labelled with its first change, whose direction it takes.
    leading = is_node[changes.edges]
    leading[1:] &= changes.edges[1:] != changes.edges[:-1]
    firsts, codes = changes.edges[leading], changes.codes[leading]
    removed = is_node
    removed[firsts] = False
    edge_labels = mesh.edge_labels.copy()
    edge_labels[firsts] = codes >> 1
    turned = np.zeros(len(mesh.edges), bool)
    turned[firsts] = codes & 1
    mesh = _turned(mesh._replace(edge_labels=edge_labels), turned)
    edges = np.concatenate([shared.edges[~is_shared_node], changes.edges[~leading]])
    codes = np.concatenate([shared.codes[~is_shared_node], changes.codes[~leading]])
    # Hinges of this step come after all earlier ones.
    order = np.argsort(edges, kind="stable")
    edges, codes = edges[order], codes[order]
    kept = np.zeros(len(mesh.vertices), bool)
    kept[:n_corners] = True
    return dissolve(mesh, Shared(edges, codes ^ turned[edges]), removed, kept)


def _winners(
    mesh: Mesh,
    shared: Shared,
    root: np.ndarray,
    brackets: np.ndarray,
    labels: Labels,
    nodes: tuple[int, int],
) -> np.ndarray:
    """The place of each open group's winner (F, G) in each face."""
    first, stop = nodes
    places = np.empty((len(mesh.face_offsets) - 1, len(brackets)), root.dtype)
    n_units, n_hinges = labels.units.n_units, labels.units.n_hinges
    find_winners(
        int(mesh.edge_faces[0, 0]),
        np.append(root[n_units + first : n_units + stop], root.dtype.type(0)),
        *(mesh.face_offsets, mesh.face_halfedges, mesh.edge_faces),
        choose_flips(
            np.arange(n_hinges + first, n_hinges + stop), labels.n_labels, mesh.edge_labels, shared
        ),
        brackets,
        places,
    )
    return places


def _changes(
    mesh: Mesh,
    edges: np.ndarray,
    groups: np.ndarray,
    places: np.ndarray,
    labels: Labels,
    step: int,
    workers: Workers,
) -> _Changes:
    """Across which of the edges (n,), ascending, which of the open groups change their winners."""
    offsets = np.zeros(len(edges) + 1, np.int64)
    compared = (edges, mesh.edge_faces, places)
    grain = VALUE_GRAIN // max(1, places.shape[1]) + 1
    workers.run(count_changes, len(edges), *compared, offsets, grain=grain)
    counts = offsets[1:].copy()
    np.cumsum(offsets, out=offsets)
    which, rises = np.empty((2, offsets[-1]), np.int64)
    workers.run(list_changes, len(edges), *compared, offsets, which, rises, grain=grain)
    highest = labels.units.highest[step]
    hinges = labels.units.first_hinges[step] + groups[which] * highest + np.abs(rises) - 1
    return _Changes(np.repeat(edges, counts), 2 * hinges + (rises < 0))


def _turned(mesh: Mesh, turned: np.ndarray) -> Mesh:
    """The mesh with some edges (E,) in the opposite direction."""
    if not turned.any():
        return mesh
    edges, edge_faces = mesh.edges.copy(), mesh.edge_faces.copy()
    edges[turned] = edges[turned, ::-1]
    edge_faces[turned] = edge_faces[turned, ::-1]
    halfedges = mesh.face_halfedges ^ turned[mesh.face_halfedges >> 1]
    return mesh._replace(edges=edges, edge_faces=edge_faces, face_halfedges=halfedges)
