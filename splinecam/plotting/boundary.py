"""Pictures of decision boundaries and classes."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import BoundaryNorm, ListedColormap

from splinecam.measures.boundary import DecisionBoundary, decision_boundary
from splinecam.partition.partition import Partition
from splinecam.plotting._axes import base_axes, overlay_axes, points_per_unit
from splinecam.plotting._bulk import Lines
from splinecam.plotting._polygons import add_polygons
from splinecam.plotting._style import LINE_LAYER, RASTERISE_ABOVE, theme_of

THICKEST_LINE = 1.4
"""Points."""

LINE_INK = 0.05
"""Share of the slice that the line covers at most."""

HALO_WIDTH = 2.2
"""Relative to the line."""


def plot_decision_boundary(
    boundary: DecisionBoundary | Partition, *, ax: Axes | None = None, **collection_kw: Any
) -> LineCollection:
    """Draw a decision boundary, or a level set, as a dark line with a white halo.

    Axes that are empty are laid out as by `plot_partition`; others stay as they are.

    Parameters
    ----------
    boundary : DecisionBoundary or Partition
        What `decision_boundary` or `level_set` returned, or a partition for its decision boundary.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes of pyplot.
    **collection_kw
        Properties of the collection, such as `color`, `linewidth` or `path_effects`.

    Returns
    -------
    matplotlib.collections.LineCollection
        One path for each segment; an image inside vector files if there are more than 20,000.

    Raises
    ------
    InvalidArgumentError
        If `ax` is no axes.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from matplotlib.figure import Figure
    >>> from splinecam.plotting import plot_decision_boundary
    >>> p = sc.compute_partition(torch.nn.Linear(2, 3), sc.Slice.box((-9, 9), (-9, 9)))
    >>> ax = Figure().subplots()
    >>> plot_decision_boundary(p, ax=ax).axes is ax
    True
    """
    if isinstance(boundary, Partition):
        boundary = decision_boundary(boundary)
    axes = overlay_axes(ax, boundary.partition.slice)
    theme = theme_of(axes)
    width = _line_width(axes, boundary)
    options = normalize_kwargs(collection_kw, LineCollection)
    halo = HALO_WIDTH * np.max(options.get("linewidth", width))
    properties = {
        "color": theme.ink,
        "linewidth": width,
        "capstyle": "round",
        "joinstyle": "round",
        # Two passes, so that no segment's halo covers its neighbour.
        "path_effects": [
            patheffects.Stroke(linewidth=halo, foreground=theme.paper),
            patheffects.Normal(),
        ],
        "rasterized": len(boundary.segments) > RASTERISE_ABOVE,
        "zorder": LINE_LAYER,
        **options,
    }
    collection = Lines(boundary.segments, **properties)
    axes.add_collection(collection, autolim=False)
    return collection


def _line_width(ax: Axes, boundary: DecisionBoundary) -> float:
    """Width in points, less where much boundary is on little paper."""
    if boundary.length == 0:
        return THICKEST_LINE
    spacing = points_per_unit(ax) * boundary.partition.slice.area / boundary.length
    return min(THICKEST_LINE, LINE_INK * spacing)


def plot_classes(
    boundary: DecisionBoundary, *, ax: Axes | None = None, **collection_kw: Any
) -> PolyCollection:
    """Draw which class wins where: the pieces of the regions, coloured by class.

    The axes and edges are as those of `plot_partition`. A class has the same colour in all
    pictures; there are ten colours, and the eleventh class gets the first one again. `mark_classes`
    adds a key.

    Parameters
    ----------
    boundary : DecisionBoundary
        What `decision_boundary` or `level_set` returned.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes of pyplot.
    **collection_kw
        Properties of the collection, such as `edgecolor` or `linewidth`.

    Returns
    -------
    matplotlib.collections.PolyCollection
        One path for each piece; its array is the classes, which a colour bar can show.

    Raises
    ------
    InvalidArgumentError
        If `ax` is no axes.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from matplotlib.figure import Figure
    >>> from splinecam.measures.boundary import decision_boundary
    >>> from splinecam.plotting import plot_classes
    >>> p = sc.compute_partition(torch.nn.Linear(2, 3), sc.Slice.box((-9, 9), (-9, 9)))
    >>> boundary = decision_boundary(p)
    >>> pieces = plot_classes(boundary, ax=Figure().subplots())
    >>> pieces.get_array().tolist() == boundary.piece_classes.tolist()
    True
    """
    slice_ = boundary.partition.slice
    axes = base_axes(ax, slice_)
    count = boundary.n_classes
    look = {
        "array": boundary.piece_classes,
        "cmap": ListedColormap(list(islice(cycle(theme_of(axes).classes), count))),
        "norm": BoundaryNorm(np.arange(count + 1) - 0.5, count),
    }
    return add_polygons(
        *(axes, slice_, boundary.piece_vertices, boundary.piece_offsets, boundary.piece_areas),
        *(look, collection_kw),
    )
