"""Pictures of the edges: the layers that made them, one unit's zero set, changes of slope."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from splinecam.common.arguments import check_integer
from splinecam.errors import InvalidArgumentError
from splinecam.measures.spline import region_maps
from splinecam.partition.partition import Partition
from splinecam.plotting._axes import add_colour_bar, base_axes
from splinecam.plotting._lines import add_lines, grounded_axes, line_width
from splinecam.plotting._style import Theme, theme_of

THICKEST_EDGE = 0.8
"""Points."""

EDGE_INK = 0.2
"""Share of the slice that edges cover at most."""

THICKEST_UNIT = 1.6
"""Points."""

UNIT_INK = 0.06
"""Share of the slice that a unit's zero set covers at most."""

RESOLVED_CHANGES = (0.02, 0.995)
"""Quantiles of the changes of slope, by length of the edges, that the scale begins and ends at."""


def plot_edges(
    p: Partition,
    *,
    ax: Axes | None = None,
    layers: Sequence[int] | None = None,
    **collection_kw: Any,
) -> LineCollection:
    """Draw the edges, coloured by the layer that made them.

    The axes are as those of `plot_partition`, with a colour bar (``artist.colorbar``) of layers.
    Where edges meet, those of earlier layers are on top. A layer has the same colour in all
    pictures of the network.

    Parameters
    ----------
    p : Partition
        The edges; those on the slice's boundary are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes of pyplot.
    layers : sequence of int, optional
        The layers whose edges are drawn, indices into `Partition.layer_names`. Default: all.
    **collection_kw
        Properties of the collection, such as `cmap`, `linewidth` or `rasterized`.

    Returns
    -------
    matplotlib.collections.LineCollection
        One path for each edge, last layers first; its array is the layers. An image inside vector
        files if there are more than 20,000.

    Raises
    ------
    InvalidArgumentError
        If `layers` are no such numbers, the network has no layers, or `ax` is no axes.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from matplotlib.figure import Figure
    >>> from splinecam.plotting import plot_edges
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(
    ...     *(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8), torch.nn.ReLU())
    ... )
    >>> p = sc.compute_partition(model, sc.Slice.box((-1, 1), (-1, 1)))
    >>> edges = plot_edges(p, ax=Figure().subplots())
    >>> len(edges.get_paths()) == (p.edge_layers >= 0).sum()
    True
    """
    n_layers = len(p.layer_names)
    if not n_layers:
        raise InvalidArgumentError("p has no layers; accepted: a partition by one or more")
    chosen = range(n_layers) if layers is None else layers
    for layer in chosen:
        check_integer("layers", layer, 0, n_layers - 1)
    axes = base_axes(ax, p.slice)
    shown = np.flatnonzero(np.isin(p.edge_layers, np.array(chosen, np.int64)))
    shown = shown[np.argsort(-p.edge_layers[shown], kind="stable")]
    look = {
        "array": p.edge_layers[shown],
        "cmap": layer_colours(theme_of(axes), n_layers),
        "norm": Normalize(-0.5, n_layers - 0.5),
        "linewidth": _edge_width(axes, p, shown),
    }
    edges = add_lines(axes, p.vertices[p.edges[shown]], look, collection_kw)
    add_colour_bar(edges, [axes], "layer", MaxNLocator(integer=True, min_n_ticks=1))
    return edges


def layer_colours(theme: Theme, n_layers: int) -> Colormap:
    """Return a colour for each layer, from first to last."""
    places = np.linspace(0, 1, n_layers) if n_layers > 1 else [0.35]
    return ListedColormap(theme.lines(places))


def plot_slope_changes(
    p: Partition, *, ax: Axes | None = None, **collection_kw: Any
) -> LineCollection:
    """Draw the edges, coloured by how much the network's slope changes across them.

    That is ‖A - A'‖ for the affine maps on the two sides (`RegionMaps.slope_changes`), on a
    logarithmic scale that does not resolve the least and the greatest changes. The axes are as
    those of `plot_partition`, with a colour bar (``artist.colorbar``).

    Parameters
    ----------
    p : Partition
        The edges; those on the slice's boundary are left out.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes of pyplot.
    **collection_kw
        Properties of the collection, such as `cmap`, `norm` or `linewidth`.

    Returns
    -------
    matplotlib.collections.LineCollection
        One path for each edge, the greatest changes last; its array is the changes. An image
        inside vector files if there are more than 20,000.

    Raises
    ------
    InvalidArgumentError
        If `ax` is no axes.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from matplotlib.figure import Figure
    >>> from splinecam.plotting import plot_slope_changes
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[3.0, 4.0]])), fold[0].bias.zero_()
    >>> p = sc.compute_partition(fold, sc.Slice.box((-1, 1), (-1, 1)))
    >>> plot_slope_changes(p, ax=Figure().subplots()).get_array().tolist()
    [5.0]
    """
    changes = region_maps(p).slope_changes
    axes = base_axes(ax, p.slice)
    inner = np.flatnonzero(p.edge_layers >= 0)
    inner = inner[np.argsort(changes[inner], kind="stable")]
    look = {
        "array": changes[inner],
        "cmap": theme_of(axes).lines.reversed(),
        "norm": _change_norm(changes[inner], p.edge_lengths[inner]),
        "linewidth": _edge_width(axes, p, inner),
    }
    edges = add_lines(axes, p.vertices[p.edges[inner]], look, collection_kw)
    if len(inner):
        add_colour_bar(edges, [axes], "change of slope")
    return edges


def _change_norm(ascending: NDArray[np.float64], lengths: NDArray[np.float64]) -> Normalize:
    """A logarithmic scale for changes, or a plain one if no two are positive and different."""
    shares = np.cumsum(lengths)
    positive = ascending > 0
    if not positive.any():
        return Normalize()
    limits = ascending[np.searchsorted(shares, np.array(RESOLVED_CHANGES) * shares[-1])]
    low, high = max(limits[0], ascending[positive][0]), limits[1]
    return LogNorm(low, high) if low < high else LogNorm(low / 2, low * 2)


def _edge_width(ax: Axes, p: Partition, edges: NDArray[np.intp]) -> float:
    length = float(p.edge_lengths[edges].sum())
    return line_width(ax, p, length, share=EDGE_INK, thickest=THICKEST_EDGE)


def plot_unit(
    p: Partition, layer: int, unit: int, *, ax: Axes | None = None, **collection_kw: Any
) -> LineCollection:
    """Draw where one unit is at a breakpoint: its zero set, bent by the layers before it.

    On axes that are empty the partition is drawn first, palely; others stay as they are.

    Parameters
    ----------
    p : Partition
    layer, unit : int
        The layer, an index into `Partition.layer_names`, and the unit within it.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes of pyplot.
    **collection_kw
        Properties of the collection, such as `color` or `linewidth`.

    Returns
    -------
    matplotlib.collections.LineCollection
        One path for each edge across which the unit changes; none if it does not cut the slice.

    Raises
    ------
    InvalidArgumentError
        If there is no such unit, or `ax` is no axes.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from matplotlib.figure import Figure
    >>> from splinecam.plotting import plot_unit
    >>> lines = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = lines[0].weight.copy_(torch.eye(2)), lines[0].bias.zero_()
    >>> p = sc.compute_partition(lines, sc.Slice.box((-1, 1), (-1, 1)))
    >>> zero_set = plot_unit(p, 0, 1, ax=Figure().subplots())
    >>> sorted(segment[:, 1].tolist() for segment in zero_set.get_segments())
    [[0.0, 0.0], [0.0, 0.0]]
    """
    check_integer("layer", layer, 0, len(p.layer_names) - 1)
    check_integer("unit", unit, 0, p.layer_sizes[layer] - 1)
    axes, flips = grounded_axes(ax, p), p.edge_flips
    theme = theme_of(axes)
    shown = np.unique(flips.edges[(flips.layers == layer) & (flips.units == unit)])
    length = float(p.edge_lengths[shown].sum())
    width = line_width(axes, p, length, share=UNIT_INK, thickest=THICKEST_UNIT)
    halo = [patheffects.Stroke(linewidth=2 * width, foreground=theme.paper), patheffects.Normal()]
    look = {"color": theme.accent, "linewidth": width, "path_effects": halo}
    return add_lines(axes, p.vertices[p.edges[shown]], look, collection_kw)
