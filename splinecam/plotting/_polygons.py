"""Many polygons as one collection."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from matplotlib.collections import PolyCollection
from numpy.typing import NDArray

from splinecam.plotting._axes import points_per_unit
from splinecam.plotting._style import INK, RASTERISE_ABOVE

THICKEST_EDGE = 0.7
"""Points."""

EDGE_PER_SIZE = 0.06
"""Width of an edge relative to the size of a typical polygon: ink covers a tenth of the page."""


def add_polygons(
    ax: Axes,
    vertices: NDArray[np.float64],
    offsets: NDArray[np.integer],
    areas: NDArray[np.float64],
    look: dict[str, Any],
    collection_kw: dict[str, Any],
) -> PolyCollection:
    """Draw polygons with thin edges.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    vertices, offsets : ndarray
        (N, 2) and (P + 1,): polygon ``i`` has ``vertices[offsets[i]:offsets[i + 1]]``.
    areas : ndarray
        (P,), the polygons' areas.
    look : dict
        Keywords of the collection.
    collection_kw : dict
        What the caller asked for, under any of the names that matplotlib knows; it goes before.
    """
    polygons = [vertices[start:stop] for start, stop in pairwise(offsets.tolist())]
    options = {
        "edgecolor": INK,
        "linewidth": edge_width(ax, areas),
        "joinstyle": "round",
        "rasterized": len(polygons) > RASTERISE_ABOVE,
        **look,
        **normalize_kwargs(collection_kw, PolyCollection),
    }
    collection = PolyCollection(polygons, **options)
    # The limits are the slice's already: matplotlib need not look at each polygon for them.
    ax.add_collection(collection, autolim=False)
    return collection


def edge_width(ax: Axes, areas: NDArray[np.float64]) -> float:
    """Width in points of the edges of polygons with these areas, thinner the smaller they are."""
    typical_size = points_per_unit(ax) * float(np.sqrt(np.median(areas)))
    return min(THICKEST_EDGE, EDGE_PER_SIZE * typical_size)
