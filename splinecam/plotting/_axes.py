"""Axes for pictures of a slice: equal aspect, its limits, no ticks."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.ticker import Locator
from matplotlib.transforms import Bbox

from splinecam.errors import InvalidArgumentError
from splinecam.plotting._style import INK, LABEL_SIZE, TICK_SIZE
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
    _lay_out(axes, slice_)
    return axes


def overlay_axes(ax: Axes | None, slice_: Slice) -> Axes:
    """Return the axes to draw on, laid out for a slice if nothing is drawn there yet."""
    axes = chosen_axes(ax)
    if not axes.has_data():
        _lay_out(axes, slice_)
    return axes


def _lay_out(ax: Axes, slice_: Slice) -> None:
    (left, low), (right, high) = slice_.polygon.min(axis=0), slice_.polygon.max(axis=0)
    ax.set(aspect="equal", xlim=(left, right), ylim=(low, high), xticks=[], yticks=[])
    is_box = np.isclose(slice_.area, (right - left) * (high - low), rtol=1e-9, atol=0.0)
    ax.spines[:].set(visible=is_box, color=INK, linewidth=FRAME_WIDTH)


def points_per_unit(ax: Axes) -> float:
    """How many points a unit of plane coordinates takes on the page."""
    box = ax.get_window_extent()
    points = np.array([box.width, box.height]) * POINTS_PER_INCH / ax.figure.dpi
    return float((points / np.abs(np.ptp([ax.get_xlim(), ax.get_ylim()], axis=1))).min())


def add_colour_bar(
    mappable: ScalarMappable, ax: Axes, label: str, ticks: Locator | None = None
) -> None:
    """Put a colour bar right of axes and make it as high as they are.

    An end is pointed if there are values beyond it.
    """
    mappable.autoscale_None()
    values = np.ma.asarray(mappable.get_array())
    lowest, highest = mappable.get_clim()
    below, above = bool(values.min() < lowest), bool(values.max() > highest)
    bar = ax.figure.colorbar(
        mappable,
        ax=ax,
        fraction=BAR_ROOM,
        ticks=ticks,
        extend=("neither", "min", "max", "both")[below + 2 * above],
        extendfrac=BAR_POINT,
    )
    bar.set_label(label, size=LABEL_SIZE, color=INK)
    bar.ax.tick_params(which="both", labelsize=TICK_SIZE, color=INK, labelcolor=INK)
    bar.ax.tick_params(which="major", width=0.5, length=2.5)
    bar.ax.tick_params(which="minor", width=0.4, length=1.5)
    bar.outline.set_visible(False)

    def beside(bar_axes: Any, renderer: object) -> Bbox:
        # A layout engine has set the aspect for the height that it expects.
        bar_axes.set_box_aspect(None)
        box = ax.get_position()
        height = box.height / (1 + BAR_POINT * (below + above))
        bottom = box.y0 + BAR_POINT * height * below
        point = ax.figure.dpi / (POINTS_PER_INCH * ax.figure.bbox.width)
        return Bbox.from_bounds(box.x1 + BAR_GAP * point, bottom, BAR_WIDTH * point, height)

    # The height of `ax` follows from its own aspect, and is known only when the figure is drawn.
    bar.ax.set_axes_locator(beside)
