"""After a max group's tournament: edges of its nodes become edges of its winners, or vanish."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from splinecam._kernels.arrays import Mesh
from splinecam._kernels.winners import count_changes, find_winners, list_changes
from splinecam.common.workers import Workers
from splinecam.cutting.dissolve import Dissolved, dissolve
from splinecam.cutting.flips import choose_flips, patterns_in
from splinecam.cutting.labels import Labels
from splinecam.cutting.mesh import NOTHING_SHARED, VALUE_GRAIN, Shared
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
    is_outer = mesh.edge_faces[shared.edges, 1] < 0
    rim = _rises_from_rim(
        *(mesh, shared, shared.take(is_shared_node & is_outer)),
        *(root, brackets, groups, labels, step),
    )
    concerned = is_node.copy()
    concerned[shared.edges[is_shared_node & ~is_outer]] = True
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
    edges = np.concatenate([shared.edges[~is_shared_node], changes.edges[~leading], rim.edges])
    codes = np.concatenate([shared.codes[~is_shared_node], changes.codes[~leading], rim.codes])
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
    codes = _codes(labels, step, groups[which], rises)
    return _Changes(np.repeat(edges, counts), codes)


def _codes(labels: Labels, step: int, groups: np.ndarray, rises: np.ndarray) -> np.ndarray:
    """Codes of the hinges across which winners of groups (n,) rise, or fall, by so many places."""
    highest = labels.units.highest[step]
    hinges = labels.units.first_hinges[step] + groups * highest + np.abs(rises) - 1
    return 2 * hinges + (rises < 0)


def _rises_from_rim(
    mesh: Mesh,
    shared: Shared,
    positive: Shared,
    root: np.ndarray,
    brackets: np.ndarray,
    groups: np.ndarray,
    labels: Labels,
    step: int,
) -> _Changes:
    """From outer edges to the faces beside them, how winners change.

    `positive` are the nodes that vanish along outer edges and are positive inside: on the edge,
    where their candidates tie, the earlier one wins.
    """
    if not len(positive.edges):
        return _Changes(*NOTHING_SHARED)
    edges, rows = np.unique(positive.edges, return_inverse=True)
    faces, own = np.unique(mesh.edge_faces[edges, 0], return_inverse=True)
    first, stop = labels.nodes(step)
    at_root = root[labels.units.n_units + first : labels.units.n_units + stop]
    nodes = np.arange(first, stop) + labels.units.n_hinges
    inside = patterns_in(mesh, shared, at_root, nodes, labels.n_labels, faces)[own]
    along = inside.copy()
    along[rows, (positive.codes >> 1) - nodes[0]] = 0
    rises = _places(brackets, inside) - _places(brackets, along)
    which, open_groups = np.nonzero(rises)
    codes = _codes(labels, step, groups[open_groups], rises[which, open_groups])
    return _Changes(edges[which], codes)


def _places(brackets: np.ndarray, won: np.ndarray) -> np.ndarray:
    """The place of each group's winner (n, G) where nodes (n, nodes) are won."""
    rows, groups = np.arange(len(won))[:, None], np.arange(len(brackets))
    at = np.zeros((len(won), len(brackets)), np.int64)
    while ((nodes := brackets[groups, at]) >= 0).any():
        later = won[rows, np.maximum(nodes, 0)]
        at = np.where(nodes >= 0, 2 * at + 1 + later, at)
    return -1 - nodes.astype(np.int64)


def _turned(mesh: Mesh, turned: np.ndarray) -> Mesh:
    """The mesh with some edges (E,) in the opposite direction."""
    if not turned.any():
        return mesh
    edges, edge_faces = mesh.edges.copy(), mesh.edge_faces.copy()
    edges[turned] = edges[turned, ::-1]
    edge_faces[turned] = edge_faces[turned, ::-1]
    halfedges = mesh.face_halfedges ^ turned[mesh.face_halfedges >> 1]
    return mesh._replace(edges=edges, edge_faces=edge_faces, face_halfedges=halfedges)
