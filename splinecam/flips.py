"""Which units change across the edges of a subdivision."""

from __future__ import annotations

import numpy as np

from splinecam._kernels.traversal import Flips
from splinecam.units import Units


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
    offsets = np.empty(0, np.int64)
    if len(edges):
        offsets = np.searchsorted(edges, np.arange(len(labels) + 1))
    shared_steps = steps[codes >> 1] * (1 - 2 * (codes & 1)).astype(np.int16)
    inner = np.maximum(labels, -1)
    own_steps = steps[inner] if any(units.are_groups) else np.empty(0, np.int16)
    return Flips(entries[inner], own_steps, offsets, entries[codes >> 1], shared_steps)
