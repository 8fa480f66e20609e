"""Lines of a partition: how wide they are, and the pale partition beneath what is drawn on it."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from splinecam.partition.partition import Partition
from splinecam.plotting._axes import chosen_axes, lay_out, points_per_unit
from splinecam.plotting._bulk import Lines
from splinecam.plotting._polygons import add_polygons
from splinecam.plotting._style import LINE_LAYER, RASTERISE_ABOVE, theme_of

THINNEST_LINE = 0.04
"""Points: thinner ones are too pale to have a colour."""


def add_lines(
    ax: Axes, lines: NDArray[np.float64], look: dict[str, Any], collection_kw: dict[str, Any]
) -> LineCollection:
    """Draw polylines (n, k, 2) as one collection, an image in vector files if they are many.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    lines : ndarray
        (n, k, 2), plane coordinates.
    look : dict
        Properties of the collection, under matplotlib's full names.
    collection_kw : dict
        Properties that the caller's user asked for, under any names; they go before all others.
    """
    properties = {
        "capstyle": "round",
        "joinstyle": "round",
        "rasterized": len(lines) > RASTERISE_ABOVE,
        "zorder": LINE_LAYER,
        **look,
        **normalize_kwargs(collection_kw, LineCollection),
    }
    collection = Lines(lines, **properties)
    ax.add_collection(collection, autolim=False)
    return collection


def line_width(ax: Axes, p: Partition, length: float, *, share: float, thickest: float) -> float:
    """Width in points of lines of some length, so that they cover a share of the slice at most.

    Parameters
    ----------
    ax : Axes
        Laid out for the slice.
    p : Partition
    length : float
        Of all lines, in plane coordinates.
    share : float
        Of the slice's area.
    thickest : float
        Points.
    """
    if length == 0:
        return thickest
    spacing = points_per_unit(ax) * p.slice.area / length
    return max(THINNEST_LINE, min(thickest, share * spacing))


def grounded_axes(ax: Axes | None, p: Partition) -> Axes:
    """Return the axes to draw on; if they are empty, with the partition drawn palely."""
    axes = chosen_axes(ax)
    if not axes.has_data():
        lay_out(axes, p.slice)
        theme = theme_of(axes)
        look = {"facecolor": theme.ground, "edgecolor": theme.faint}
        corners = p.vertices[p.region_vertices]
        add_polygons(axes, p.slice, corners, p.region_offsets, p.areas, look, {})
    return axes
