"""Pictures of the graph of neighbouring regions."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from matplotlib.collections import LineCollection, PathCollection

from splinecam.partition.partition import Partition
from splinecam.plotting._axes import points_per_unit
from splinecam.plotting._lines import add_lines, grounded_axes
from splinecam.plotting._style import POINT_LAYER, RASTERISE_ABOVE, theme_of

LARGEST_NODE = 4.0
"""Diameter in points."""

NODE_PER_SIZE = 0.3
"""Diameter of a node relative to the size of its region."""

THICKEST_LINK = 0.6
"""Points."""

LINK_PER_SIZE = 0.06
"""Width of the links relative to the size of a typical region."""


def plot_graph(
    p: Partition, *, ax: Axes | None = None, **collection_kw: Any
) -> tuple[PathCollection, LineCollection]:
    """Draw the graph of neighbouring regions: nodes at their centroids, links across shared edges.

    A link passes through the middle of the edge, so that it stays in its two regions, which are
    convex, and no two links cross. On axes that are empty the partition is drawn first, palely;
    others stay as they are.

    Parameters
    ----------
    p : Partition
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes of pyplot.
    **collection_kw
        Properties of nodes and links, such as `color`, `alpha` or `zorder`.

    Returns
    -------
    nodes : matplotlib.collections.PathCollection
        One point for each region, in the regions' order, larger for larger ones if they
        are 20,000 at most.
    links : matplotlib.collections.LineCollection
        One path for each inner edge, in the edges' order.

    Raises
    ------
    InvalidArgumentError
        If `ax` is no axes.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from matplotlib.figure import Figure
    >>> from splinecam.plotting import plot_graph
    >>> lines = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = lines[0].weight.copy_(torch.eye(2)), lines[0].bias.zero_()
    >>> p = sc.compute_partition(lines, sc.Slice.box((-1, 1), (-1, 1)))
    >>> nodes, links = plot_graph(p, ax=Figure().subplots())
    >>> len(nodes.get_offsets()), len(links.get_segments())
    (4, 4)
    """
    axes = grounded_axes(ax, p)
    theme = theme_of(axes)
    options = normalize_kwargs(collection_kw, LineCollection)
    inner = p.edge_regions[:, 1] >= 0
    left, right = p.edge_regions[inner].T
    middles = p.vertices[p.edges[inner]].mean(axis=1)
    lines = np.stack([p.centroids[left], middles, p.centroids[right]], axis=1)
    sizes = points_per_unit(axes) * np.sqrt(p.areas)
    look = {
        "color": theme.ink,
        "linewidth": min(THICKEST_LINK, LINK_PER_SIZE * float(np.median(sizes))),
    }
    links = add_lines(axes, lines, look, options)
    is_large = p.n_regions > RASTERISE_ABOVE
    diameters = NODE_PER_SIZE * (np.median(sizes) if is_large else sizes)
    nodes = axes.scatter(
        *p.centroids.T,
        s=np.minimum(LARGEST_NODE, diameters) ** 2,
        **{
            "color": theme.accent,
            "linewidth": 0.0,
            "zorder": POINT_LAYER,
            "rasterized": is_large,
            **{name: value for name, value in options.items() if name != "linewidth"},
        },
    )
    return nodes, links
