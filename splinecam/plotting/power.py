"""Pictures of power diagrams."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from matplotlib.collections import LineCollection, PathCollection

from splinecam.common.types import Floats, Ints
from splinecam.errors import InvalidArgumentError
from splinecam.measures.power import power_diagram
from splinecam.partition.partition import Partition
from splinecam.plotting._axes import points_per_unit
from splinecam.plotting._lines import add_lines, grounded_axes
from splinecam.plotting._style import POINT_LAYER, RASTERISE_ABOVE, theme_of

MOST_REGIONS = 50_000
"""Of partitions that are drawn: the time grows with regions times units, and more centroids could
not be told apart on a page."""

LARGEST_CENTROID = 3.0
"""Diameter in points."""

CENTROID_PER_SIZE = 0.4
"""Diameter of a centroid relative to the size of a typical cell."""

THICKEST_LINK = 0.5
"""Points."""

LINK_PER_SIZE = 0.08
"""Width of the links relative to the size of a typical cell."""


def plot_power_diagram(
    p: Partition, *, layer: int | None = None, ax: Axes | None = None, **collection_kw: Any
) -> tuple[PathCollection, LineCollection]:
    """Draw the centroids of a layer's power diagram with links to their cells.

    A power diagram stays as it is if all centroids are moved and scaled alike, the radii with
    them. So they are shown where, moved and scaled, they are nearest to the middles of their cells
    (least squares); what links remain tell how far the diagram is from one of Voronoi. Those of
    cells in one region of the partition by the layers before, which compete, are moved alike, and
    all are scaled alike. On axes that are empty the partition is drawn first, palely; others stay
    as they are.

    Parameters
    ----------
    p : Partition
    layer : int, optional
        An index into `Partition.layer_names`. Default: the last one.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes of pyplot.
    **collection_kw
        Properties of centroids and links, such as `color`, `alpha` or `zorder`.

    Returns
    -------
    centroids : matplotlib.collections.PathCollection
        One point for each cell.
    links : matplotlib.collections.LineCollection
        One path for each cell, from its centre of mass to its centroid.

    Raises
    ------
    InvalidArgumentError
        If there is no such layer, `ax` is no axes, or there are more than 50,000 regions.
    UnsupportedLayerError
        If the layer has no power diagram: see `power_diagram`.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from matplotlib.figure import Figure
    >>> from splinecam.plotting import plot_power_diagram
    >>> lines = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = lines[0].weight.copy_(torch.eye(2)), lines[0].bias.zero_()
    >>> p = sc.compute_partition(lines, sc.Slice.box((-1, 1), (-1, 1)))
    >>> centroids, _ = plot_power_diagram(p, ax=Figure().subplots())
    >>> sorted(centroids.get_offsets().round(6).tolist())
    [[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]]
    """
    if p.n_regions > MOST_REGIONS:
        raise InvalidArgumentError(
            f"p has {p.n_regions:,} regions; accepted: up to {MOST_REGIONS:,}, for instance those "
            "of a smaller slice (Slice.with_box)"
        )
    diagram = power_diagram(p, layer)
    middles, areas = _cell_middles(p, diagram.cells)
    places = _fitted(diagram.centroids, diagram.parents, middles)
    axes = grounded_axes(ax, p)
    theme, options = theme_of(axes), normalize_kwargs(collection_kw, LineCollection)
    size = points_per_unit(axes) * float(np.sqrt(np.median(areas)))
    look = {"color": theme.ink, "linewidth": min(THICKEST_LINK, LINK_PER_SIZE * size)}
    links = add_lines(axes, np.stack([middles, places], axis=1), look, options)
    centroids = axes.scatter(
        *places.T,
        s=min(LARGEST_CENTROID, CENTROID_PER_SIZE * size) ** 2,
        **{
            "color": theme.accent,
            "linewidth": 0.0,
            "zorder": POINT_LAYER,
            "rasterized": len(places) > RASTERISE_ABOVE,
            **{name: value for name, value in options.items() if name != "linewidth"},
        },
    )
    return centroids, links


def _cell_middles(p: Partition, cells: Ints) -> tuple[Floats, Floats]:
    """Centres of mass (C, 2) and areas (C,) of unions of regions."""
    areas = np.bincount(cells, p.areas).astype(np.float64)
    weights = p.areas / areas[cells]
    middles = [np.bincount(cells, weights * p.centroids[:, axis]) for axis in range(2)]
    return np.stack(middles, axis=1).astype(np.float64), areas


def _fitted(centroids: Floats, parents: Ints, middles: Floats) -> Floats:
    """Centroids (C, 2), scaled by one factor and moved parent by parent, nearest to the middles."""
    _, group, counts = np.unique(parents, return_inverse=True, return_counts=True)

    def centred(points: Floats) -> tuple[Floats, Floats]:
        means = np.stack([np.bincount(group, column) / counts for column in points.T], axis=1)
        return points - means[group], means[group]

    spread, _ = centred(centroids)
    wanted, means = centred(middles)
    total = float((spread**2).sum())
    # The powers' order turns round with a negative factor.
    factor = max(float((spread * wanted).sum()), 0.0) / total if total > 0 else 0.0
    return means + factor * spread
