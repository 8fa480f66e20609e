"""Hints at the scale of a picture: a bar of known length, or plane coordinates along the axes."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.ticker import MaxNLocator
from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar

from splinecam.errors import InvalidArgumentError
from splinecam.plotting._axes import chosen_axes, points_per_unit
from splinecam.plotting._style import LABEL_SIZE, TICK_SIZE, theme_of

LONGEST_BAR = 0.3
"""Relative to the width of the axes."""

BAR_HEIGHT = 1.2
"""Points."""


def mark_scale(*, ax: Axes | None = None) -> AnchoredSizeBar:
    """Put a bar of a round length below the axes, with the length in plane coordinates.

    Plane coordinates measure lengths of the input space.

    Parameters
    ----------
    ax : matplotlib.axes.Axes, optional
        Axes with a picture of a slice. Default: the current axes of pyplot.

    Returns
    -------
    mpl_toolkits.axes_grid1.anchored_artists.AnchoredSizeBar

    Raises
    ------
    InvalidArgumentError
        If `ax` is no axes, or nothing is drawn there.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from matplotlib.figure import Figure
    >>> from splinecam.plotting import mark_scale, plot_partition
    >>> p = sc.compute_partition(torch.nn.Linear(2, 1), sc.Slice.box((-1, 1), (-1, 1)))
    >>> ax = Figure().subplots()
    >>> _ = plot_partition(p, ax=ax)
    >>> mark_scale(ax=ax).txt_label.get_text()
    '0.5'
    """
    axes = _drawn_axes(ax)
    ink = theme_of(axes).ink
    extent = LONGEST_BAR * float(np.ptp(axes.get_xlim()))
    power = 10.0 ** np.floor(np.log10(extent))
    length = float(max(step * power for step in (1, 2, 5) if step * power <= extent))
    bar = AnchoredSizeBar(
        *(axes.transData, length, f"{length:g}", "upper left"),
        pad=0.0,
        borderpad=0.4,
        sep=2.0,
        frameon=False,
        color=ink,
        size_vertical=BAR_HEIGHT / points_per_unit(axes),
        fill_bar=True,
        label_top=False,
        fontproperties=FontProperties(size=TICK_SIZE),
        bbox_to_anchor=(0.0, 0.0),
        bbox_transform=axes.transAxes,
    )
    axes.add_artist(bar)
    return bar


def mark_coordinates(*, ax: Axes | None = None) -> Axes:
    """Write plane coordinates along the axes.

    Parameters
    ----------
    ax : matplotlib.axes.Axes, optional
        Axes with a picture of a slice. Default: the current axes of pyplot.

    Returns
    -------
    matplotlib.axes.Axes

    Raises
    ------
    InvalidArgumentError
        If `ax` is no axes, or nothing is drawn there.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from matplotlib.figure import Figure
    >>> from splinecam.plotting import mark_coordinates, plot_partition
    >>> p = sc.compute_partition(torch.nn.Linear(2, 1), sc.Slice.box((-1, 1), (-1, 1)))
    >>> ax = Figure().subplots()
    >>> _ = plot_partition(p, ax=ax)
    >>> mark_coordinates(ax=ax).get_xticks().tolist()
    [-1.0, -0.5, 0.0, 0.5, 1.0]
    """
    axes = _drawn_axes(ax)
    ink = theme_of(axes).ink
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(4))
        axis.set_tick_params(labelsize=TICK_SIZE, width=0.5, length=2.5, pad=2.0)
        axis.set_tick_params(color=ink, labelcolor=ink)
    axes.set_xlabel("u", size=LABEL_SIZE, color=ink, style="italic", labelpad=1.0)
    axes.set_ylabel("v", size=LABEL_SIZE, color=ink, style="italic", labelpad=1.0)
    return axes


def _drawn_axes(ax: Axes | None) -> Axes:
    axes = chosen_axes(ax)
    if not axes.has_data():
        raise InvalidArgumentError("ax is empty; accepted: axes with a picture of a slice")
    return axes
