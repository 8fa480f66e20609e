"""Numbers of regions that pictures show as colours."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from matplotlib.colors import CenteredNorm, Colormap, LogNorm, Normalize
from matplotlib.ticker import Locator, MaxNLocator
from numpy.typing import NDArray

from splinecam.partition.partition import Partition
from splinecam.plotting._style import DIVERGING, SEQUENTIAL

SLIVERS = 0.01
"""Share of the slice whose regions, the smallest ones, the scale of areas does not resolve."""


class Scalar(NamedTuple):
    """A number of each region, and how it becomes a colour."""

    values: NDArray[np.float64]
    label: str = ""
    norm: Normalize | None = None
    cmap: Colormap = SEQUENTIAL
    ticks: Locator | None = None


def _area(p: Partition) -> Scalar:
    ascending = np.sort(p.areas)
    resolved = np.searchsorted(np.cumsum(ascending), SLIVERS * ascending.sum())
    norm = LogNorm(float(ascending[resolved]), float(ascending[-1]))
    return Scalar(p.areas, "area", norm, SEQUENTIAL.reversed())


def _slope(p: Partition) -> Scalar:
    slopes, _ = p.affine_maps()
    return Scalar(np.linalg.norm(slopes, axis=(1, 2)), "slope norm")


def _output(p: Partition) -> Scalar:
    slopes, offsets = p.with_outputs(np.eye(1, p.network.n_outputs), np.zeros(1)).affine_maps()
    values = (slopes[:, 0] * p.centroids).sum(axis=1) + offsets[:, 0]
    label = "output" if p.network.n_outputs == 1 else "output 0"
    if values.min() < 0 < values.max():
        return Scalar(values, label, CenteredNorm(), DIVERGING)
    return Scalar(values, label)


def _depth(p: Partition) -> Scalar:
    layers = p.edge_layers[p.region_halfedges >> 1]
    deepest = np.maximum.reduceat(layers, p.region_offsets[:-1]).astype(np.float64)
    norm = Normalize(deepest.min() - 0.5, deepest.max() + 0.5)
    cmap = SEQUENTIAL.reversed().resampled(int(deepest.max() - deepest.min()) + 1)
    ticks = MaxNLocator(integer=True, min_n_ticks=1)
    return Scalar(deepest, "deepest layer", norm, cmap, ticks)


SCALARS: dict[str, Callable[[Partition], Scalar]] = {
    "area": _area,
    "depth": _depth,
    "output": _output,
    "slope": _slope,
}
"""The scalars that have a name."""
