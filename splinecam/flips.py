"""Which units change across the edges of a subdivision."""

from __future__ import annotations

import numpy as np

from splinecam._kernels.traversal import Flips
from splinecam.planar import PlanarNetwork


def find_flips(network: PlanarNetwork, labels: np.ndarray, shared: tuple) -> Flips:
    """Look up units, counted through the network, for edge labels and what edges share.

    Parameters
    ----------
    network : PlanarNetwork
    labels : ndarray
        (E,) the hinge that labels each edge; negative on the boundary.
    shared : tuple of ndarray
        Edges, ascending, and the codes of the hinges that they have beside: ``2 h``, or
        ``2 h + 1`` where hinge h is positive on the right.
    """
    first_units = np.cumsum([0, *network.layer_sizes])[network.hinge_layers]
    units = np.append(first_units + network.hinge_units, -1).astype(np.int32)
    edges, codes = shared
    offsets = np.empty(0, np.int64)
    if len(edges):
        offsets = np.searchsorted(edges, np.arange(len(labels) + 1))
    steps = (1 - 2 * (codes & 1)).astype(np.int8)
    return Flips(units[np.maximum(labels, -1)], offsets, units[codes >> 1], steps)
