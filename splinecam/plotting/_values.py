"""Numbers of regions that pictures show as colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.colors import BoundaryNorm, CenteredNorm, Colormap, LogNorm, Normalize
from numpy.typing import NDArray

from splinecam.partition import Partition
from splinecam.plotting._style import DIVERGING, SEQUENTIAL

Floats = NDArray[np.float64]


class Scale(NamedTuple):
    """Values of all regions, and how they become colours."""

    values: Floats
    label: str
    norm: Normalize
    cmap: str | Colormap = SEQUENTIAL


def _area(p: Partition) -> Scale:
    return Scale(p.areas, "area", LogNorm())


def _slope(p: Partition) -> Scale:
    slopes, _ = p.affine_maps()
    return Scale(np.linalg.norm(slopes, axis=(1, 2)), "norm of the slope", Normalize())


def _output(p: Partition) -> Scale:
    slopes, offsets = p.affine_maps()
    values = np.einsum("ri,ri->r", slopes[:, 0], p.centroids) + offsets[:, 0]
    label = "output" if p.network.n_outputs == 1 else "output 0"
    if values.min() < 0 < values.max():
        return Scale(values, label, CenteredNorm(), DIVERGING)
    return Scale(values, label, Normalize())


def _depth(p: Partition) -> Scale:
    layers = p.edge_layers[p.region_halfedges >> 1]
    deepest = np.maximum.reduceat(layers, p.region_offsets[:-1]).astype(np.float64)
    return Scale(deepest, "deepest layer at the boundary", Normalize())


NAMED: dict[str, Callable[[Partition], Scale]] = {
    "area": _area,
    "depth": _depth,
    "output": _output,
    "slope": _slope,
}
