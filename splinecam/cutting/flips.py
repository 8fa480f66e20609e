"""Which units change across the edges of a subdivision."""

from __future__ import annotations

import numpy as np

from splinecam._kernels.arrays import Mesh
from splinecam._kernels.traversal import Flips, collect_patterns
from splinecam.cutting.mesh import Shared
from splinecam.network.units import Units


def find_flips(units: Units, n_nodes: int, labels: np.ndarray, shared: tuple) -> Flips:
    """Look up what flips across edges from their labels and from what they share.

    Parameters
    ----------
    units : Units
        A hinge flips its unit.
    n_nodes : int
        Nodes of tournaments, whose labels come after those of the hinges; node i flips entry
        ``n_units + i`` of the pattern.
    labels : ndarray
        (E,) labels of edges; negative on the boundary.
    shared : tuple of ndarray
        Edges, ascending, and the codes of what they have beside: ``2 label``, or ``2 label + 1``
        where it is positive on the right.
    """
    first_units = np.array(units.first_units[:-1], np.int64)[units.hinge_layers]
    nodes = units.n_units + np.arange(n_nodes)
    entries = np.concatenate([first_units + units.hinge_units, nodes, [-1]]).astype(np.int32)
    steps = np.concatenate([units.hinge_steps, np.ones(n_nodes + 1)]).astype(np.int16)
    edges, codes = shared
    offsets = _offsets(edges, len(labels))
    shared_steps = steps[codes >> 1] * (1 - 2 * (codes & 1)).astype(np.int16)
    inner = np.maximum(labels, -1)
    own_steps = steps[inner] if any(units.are_groups) else np.empty(0, np.int16)
    return Flips(entries[inner], own_steps, offsets, entries[codes >> 1], shared_steps)


def choose_flips(chosen: np.ndarray, n_labels: int, labels: np.ndarray, shared: tuple) -> Flips:
    """Look up what flips of a few hinges only.

    Parameters
    ----------
    chosen : ndarray
        (k,) labels of hinges, each the only one of its unit: number i flips entry i of a pattern
        of their own, and all others flip entry k, which means nothing.
    n_labels : int
        Labels that edges may have.
    labels, shared
        As for `find_flips`.
    """
    entries = np.full(n_labels + 1, len(chosen), np.int32)
    entries[chosen] = np.arange(len(chosen))
    edges, codes = shared
    kept = np.flatnonzero(entries[codes >> 1] < len(chosen))
    edges, codes = edges[kept], codes[kept]
    return Flips(
        entries[np.maximum(labels, -1)],
        np.empty(0, np.int16),
        _offsets(edges, len(labels)),
        entries[codes >> 1],
        (1 - 2 * (codes & 1)).astype(np.int16),
    )


def patterns_in(
    mesh: Mesh,
    shared: Shared,
    own: np.ndarray,
    chosen: np.ndarray,
    n_labels: int,
    faces: np.ndarray,
) -> np.ndarray:
    """Patterns (n, k) of the units of a few hinges in distinct faces (n,).

    Parameters
    ----------
    mesh, shared
        With labels as for `find_flips`.
    own : ndarray
        (k,) the pattern in the face left of edge 0.
    chosen, n_labels
        As for `choose_flips`.
    faces : ndarray
    """
    rows = np.full(len(mesh.face_offsets) - 1, -1, np.int32)
    rows[faces] = np.arange(len(faces))
    patterns = np.empty((len(faces), len(own)), own.dtype)
    collect_patterns(
        int(mesh.edge_faces[0, 0]),
        np.append(own, own.dtype.type(0)),
        *(mesh.face_offsets, mesh.face_halfedges, mesh.edge_faces),
        *(choose_flips(chosen, n_labels, mesh.edge_labels, shared), rows, patterns, 0),
    )
    return patterns


def _offsets(edges: np.ndarray, n_edges: int) -> np.ndarray:
    """Where the part of each edge begins in ascending `edges`; empty if there are none."""
    if not len(edges):
        return np.empty(0, np.int64)
    return np.searchsorted(edges, np.arange(n_edges + 1))
