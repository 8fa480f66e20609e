"""Pictures of partitions."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import Normalize, is_color_like
from numpy.typing import ArrayLike

from splinecam.errors import InvalidArgumentError
from splinecam.partition import Partition
from splinecam.plotting._axes import add_colour_bar, base_axes
from splinecam.plotting._colour import pattern_colours
from splinecam.plotting._polygons import add_polygons
from splinecam.plotting._values import NAMED, Scale


def plot_partition(
    p: Partition, *, ax: Axes | None = None, color: Any = "pattern", **collection_kw: Any
) -> PolyCollection:
    """Draw."""
    scale = None
    if isinstance(color, str) and color == "pattern":
        look = {"facecolor": pattern_colours(p)}
    elif isinstance(color, str) and color in NAMED:
        scale = NAMED[color](p)
    elif isinstance(color, str | tuple):
        look = {"facecolor": color}
    else:
        scale = Scale(np.asarray(color, float), "", Normalize())
    if scale:
        look = {"array": scale.values, "cmap": scale.cmap, "norm": scale.norm}
    axes = base_axes(ax, p.slice)
    vertices = p.vertices[p.region_vertices]
    regions = add_polygons(axes, vertices, p.region_offsets, p.areas, look, collection_kw)
    if scale:
        add_colour_bar(regions, axes, scale.label)
    return regions
