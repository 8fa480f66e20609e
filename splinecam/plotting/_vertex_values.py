"""Values of the network at the vertices of a partition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from splinecam.common.types import Floats, Ints
from splinecam.partition.partition import Partition


def output_values(p: Partition, outputs: Ints | None = None) -> Floats:
    """(V, k) float64: some outputs, by default all, at the vertices.

    Each is that of the affine map of one of the regions that meet there; as the network is
    continuous, it does not matter which, but for rounding.
    """
    if outputs is not None and len(outputs) < p.network.n_outputs:
        chosen = np.eye(p.network.n_outputs)[outputs]
        p = replace(p, network=p.network.with_outputs(chosen, np.zeros(len(chosen))))
    slopes, offsets = p.affine_maps()
    regions = np.empty(p.n_vertices, np.int64)
    regions[p.region_vertices] = np.repeat(np.arange(p.n_regions), np.diff(p.region_offsets))
    values = offsets[regions]
    for axis in range(2):
        values += slopes[regions, :, axis] * p.vertices[:, axis, None]
    return values
