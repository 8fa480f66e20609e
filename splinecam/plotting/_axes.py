"""Axes for pictures of a slice: equal aspect, its limits, no ticks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colorbar import Colorbar
from matplotlib.colors import LogNorm
from matplotlib.ticker import Locator, LogLocator
from matplotlib.transforms import Bbox

from splinecam.errors import InvalidArgumentError
from splinecam.plotting._style import LABEL_SIZE, TICK_SIZE, theme_of
from splinecam.slices import Slice

POINTS_PER_INCH = 72.0

FRAME_WIDTH = 0.5
"""Points, around slices that are boxes."""

BAR_ROOM = 0.16
"""Share of the axes' room that a colour bar takes, with its numbers and label."""

BAR_GAP = 5.0
"""Points between axes and colour bar."""

BAR_WIDTH = 6.0
"""Points."""

BAR_POINT = 0.05
"""Length of a colour bar's pointed end, relative to the bar without its ends."""

FEW_DECADES = 30.0
"""Logarithmic scales of a smaller ratio than this are labelled inside the decades too."""


def chosen_axes(ax: Axes | None) -> Axes:
    """Return the axes to draw on: the given ones, or the current ones of pyplot."""
    if ax is None:
        # Imported late, because pyplot chooses a backend for the whole process.
        from matplotlib import pyplot as plt

        return plt.gca()
    if not isinstance(ax, Axes):
        raise InvalidArgumentError(
            f"ax is a {type(ax).__name__}; accepted: matplotlib Axes, or None for the current ones"
        )
    return ax


def base_axes(ax: Axes | None, slice_: Slice) -> Axes:
    """Return the axes to draw on, laid out for a slice."""
    axes = chosen_axes(ax)
    lay_out(axes, slice_)
    return axes


def overlay_axes(ax: Axes | None, slice_: Slice) -> Axes:
    """Return the axes to draw on, laid out for a slice if nothing is drawn there yet."""
    axes = chosen_axes(ax)
    if not axes.has_data():
        lay_out(axes, slice_)
    return axes


def lay_out(ax: Axes, slice_: Slice) -> None:
    """Give axes equal aspect, the limits of a slice, and a frame if it is a box."""
    (left, low), (right, high) = slice_.polygon.min(axis=0), slice_.polygon.max(axis=0)
    is_box = np.isclose(slice_.area, (right - left) * (high - low), rtol=1e-9, atol=0.0)
    frame(ax, (left, right), (low, high), visible=bool(is_box))


def frame(ax: Axes, xlim: tuple[float, float], ylim: tuple[float, float], *, visible: bool) -> None:
    """Give axes equal aspect, limits, and a visible frame or none."""
    ax.set_facecolor("none")
    ax.set(aspect="equal", xlim=xlim, ylim=ylim, xticks=[], yticks=[])
    ax.spines[:].set(visible=visible, color=theme_of(ax).ink, linewidth=FRAME_WIDTH)


def finish_layout(ax: Axes) -> None:
    """Let the figure's layout engine, if it has one, place the axes as it will when they are drawn.

    Layouts depend on colour bars and keys, so that what is measured on the page comes after them.
    """
    figure = ax.get_figure(root=True)
    engine = None if figure is None else figure.get_layout_engine()
    if figure is not None and engine is not None:
        engine.execute(figure)


def points_per_unit(ax: Axes) -> float:
    """How many points a unit of plane coordinates takes on the page."""
    box = ax.get_window_extent()
    points = np.array([box.width, box.height]) * POINTS_PER_INCH / ax.figure.dpi
    return float((points / np.abs(np.ptp([ax.get_xlim(), ax.get_ylim()], axis=1))).min())


def add_colour_bar(
    mappable: ScalarMappable, axes: Sequence[Axes], label: str, ticks: Locator | None = None
) -> Colorbar:
    """Put a colour bar right of axes and make it as high as they are together.

    An end is pointed if there are values beyond it.
    """
    mappable.autoscale_None()
    values = np.ma.asarray(mappable.get_array())
    lowest, highest = mappable.get_clim()
    below, above = bool((values < lowest).any()), bool((values > highest).any())
    figure, ink = axes[0].figure, theme_of(axes[0]).ink
    bar = figure.colorbar(
        mappable,
        ax=list(axes),
        fraction=BAR_ROOM if len(axes) == 1 else BAR_ROOM / 2,
        ticks=ticks,
        extend=("neither", "min", "max", "both")[below + 2 * above],
        extendfrac=BAR_POINT,
    )
    if isinstance(bar.norm, LogNorm) and highest < FEW_DECADES * lowest:
        bar.set_ticks(LogLocator(subs=(1, 2, 5)))
        bar.ax.yaxis.set_major_formatter("{x:g}")
        bar.minorticks_off()
    bar.set_label(label, size=LABEL_SIZE, color=ink)
    bar.ax.tick_params(which="both", labelsize=TICK_SIZE, color=ink, labelcolor=ink)
    bar.ax.tick_params(which="major", width=0.5, length=2.5)
    bar.ax.tick_params(which="minor", width=0.4, length=1.5)
    bar.outline.set_visible(False)

    def beside(bar_axes: Any, renderer: object) -> Bbox:
        # A layout engine has set the aspect for the height that it expects.
        bar_axes.set_box_aspect(None)
        box = Bbox.union([ax.get_position() for ax in axes])
        height = box.height / (1 + BAR_POINT * (below + above))
        bottom = box.y0 + BAR_POINT * height * below
        point = figure.dpi / (POINTS_PER_INCH * figure.bbox.width)
        return Bbox.from_bounds(box.x1 + BAR_GAP * point, bottom, BAR_WIDTH * point, height)

    # The height of the axes follows from their aspect, and is known only when they are drawn.
    bar.ax.set_axes_locator(beside)
    return bar


def write_title(ax: Axes, title: str) -> None:
    """Write a title over the left end of axes."""
    ax.set_title(title, loc="left", size=LABEL_SIZE, color=theme_of(ax).ink, pad=4.0)
