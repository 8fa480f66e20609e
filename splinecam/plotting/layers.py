"""Pictures of how each layer subdivides the regions of those before it."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from splinecam.errors import InvalidArgumentError
from splinecam.partition.partition import Partition
from splinecam.plotting._axes import lay_out, write_title
from splinecam.plotting._levels import level_polygons
from splinecam.plotting._lines import add_lines, line_width
from splinecam.plotting._patterns import pattern_colours
from splinecam.plotting._polygons import add_polygons
from splinecam.plotting._style import theme_of
from splinecam.plotting.figure import TITLE_ROOM, Width, panel_grid, slice_aspect

MOST_COLUMNS = {"column": 2, "page": 4}

LINE_ROOM = 0.13
"""Inches, for the second line that titles have over narrow panels."""

THICKEST_FOLD = 0.8
"""Points."""

FOLD_INK = 0.1
"""Share of the slice that the folds of a layer cover at most."""


def plot_layers(p: Partition, *, width: Width = "page", dark: bool = False) -> Figure:
    """Draw the partitions by the first layer, the first two layers, and so on, side by side.

    A pattern of the first layers has the colour that `plot_partition` gives it in the partition
    by them alone; the folds that a panel's last layer makes are set off from those before.

    Parameters
    ----------
    p : Partition
    width : {"page", "column"}, optional
        7.2 inches, with four panels in a row at most, or 3.5 inches with two.
    dark : bool, optional
        Whether the background is dark.

    Returns
    -------
    matplotlib.figure.Figure
        With axes for each layer.

    Raises
    ------
    InvalidArgumentError
        If the network has no layers, or `width` is not one of these.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.plotting import plot_layers
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(
    ...     *(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8), torch.nn.ReLU())
    ... )
    >>> p = sc.compute_partition(model, sc.Slice.box((-1, 1), (-1, 1)))
    >>> [ax.get_title(loc="left") for ax in plot_layers(p).axes]
    ['layer 0: 8 regions', 'layers 0–1: 22 regions']
    """
    n_layers = len(p.layer_names)
    if not n_layers:
        raise InvalidArgumentError("p has no layers; accepted: a partition by one or more")
    columns = min(n_layers, MOST_COLUMNS.get(width, 1))
    aspect = slice_aspect(p.slice)
    is_narrow = columns == MOST_COLUMNS.get(width)
    room = TITLE_ROOM + is_narrow * LINE_ROOM
    grid = panel_grid(n_layers, columns, width, dark=dark, aspect=aspect, title_room=room)
    for layer, ax in enumerate(grid[1]):
        _draw_level(p, layer, ax, "\n" if is_narrow else ": ")
    return grid[0]


def _draw_level(p: Partition, layer: int, ax: Axes, separator: str) -> None:
    """Draw the partition by the layers up to one, and the folds of this one."""
    lay_out(ax, p.slice)
    theme = theme_of(ax)
    level = level_polygons(p, layer + 1)
    colours = pattern_colours(p, palette=theme.regions, n_layers=layer + 1)[level.members]
    look = {"facecolor": colours}
    add_polygons(ax, p.slice, level.vertices, level.offsets, level.areas, look, {})
    folds = np.flatnonzero(p.edge_layers == layer)
    length = float(p.edge_lengths[folds].sum())
    thickness = line_width(ax, p, length, share=FOLD_INK, thickest=THICKEST_FOLD)
    look = {"color": theme.accent, "linewidth": thickness}
    add_lines(ax, p.vertices[p.edges[folds]], look, {})
    count = len(level.members)
    named = f"layers 0–{layer}" if layer else "layer 0"
    write_title(ax, f"{named}{separator}{count:,} region{'' if count == 1 else 's'}")
