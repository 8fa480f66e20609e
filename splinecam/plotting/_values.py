"""Values of the network at the vertices of a partition."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from splinecam.common.types import Floats, Ints
from splinecam.partition.partition import Partition

ENTRIES = 2**22
"""Entries of layers' values that are held at a time, about."""


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


def folding_activations(p: Partition, layer: int) -> Floats:
    """(V, k) float64: activations, at the vertices, of a layer's units that fold the slice.

    Those are the units that change somewhere on the slice. The others are affine on each region of
    the partition by the layers before; a `ReducedNetwork` does not have them.
    """
    flips = p.edge_flips
    folding = np.unique(flips.units[flips.layers == layer])
    values = np.empty((p.n_vertices, len(folding)))
    if len(folding):
        step = max(1, ENTRIES // max(1, sum(part.n_units for part in p.network.layers)))
        for start in range(0, p.n_vertices, step):
            held = slice(start, start + step)
            values[held] = _activations(p, layer, folding, p.vertices[held])
    return values


def _activations(p: Partition, layer: int, units: Ints, uv: Floats) -> Floats:
    """(n, k): activations of some units of a layer, no max groups, at plane coordinates (n, 2)."""
    for number, hinges in enumerate(p.network.hinge_values(uv)):
        part = p.network.layers[number]
        if getattr(part, "step", number) == layer:
            own = getattr(part, "units", np.arange(part.n_units))
            return part.activate(hinges)[:, np.searchsorted(own, units)]
    raise AssertionError("a layer that folds the slice is in the network")
