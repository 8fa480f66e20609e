"""Axes for pictures of a slice: equal aspect, its limits, no ticks and no frame."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.transforms import Bbox

from splinecam.errors import InvalidArgumentError
from splinecam.plotting._style import INK, LABEL_SIZE, TICK_SIZE
from splinecam.slices import Slice

POINTS_PER_INCH = 72.0

BAR_GAP = 0.03
"""Between axes and colour bar, relative to the width of the axes."""

BAR_WIDTH = 0.035
"""Relative to the width of the axes."""


def base_axes(ax: Axes | None, slice_: Slice) -> Axes:
    """Return the axes to draw on, laid out for a slice."""
    axes = _chosen(ax)
    _lay_out(axes, slice_)
    return axes


def overlay_axes(ax: Axes | None, slice_: Slice) -> Axes:
    """Return the axes to draw on; they are laid out only if nothing is drawn there yet."""
    axes = _chosen(ax)
    if not axes.has_data():
        _lay_out(axes, slice_)
    return axes


def _chosen(ax: Axes | None) -> Axes:
    if ax is None:
        # Only here, because pyplot chooses a backend for the whole process.
        from matplotlib import pyplot as plt

        return plt.gca()
    if not isinstance(ax, Axes):
        raise InvalidArgumentError(
            f"ax is a {type(ax).__name__}; accepted: matplotlib Axes, or None for the current ones"
        )
    return ax


def _lay_out(ax: Axes, slice_: Slice) -> None:
    (left, low), (right, high) = slice_.polygon.min(axis=0), slice_.polygon.max(axis=0)
    ax.set(aspect="equal", xlim=(left, right), ylim=(low, high), xticks=[], yticks=[])
    ax.spines[:].set_visible(False)


def points_per_unit(ax: Axes) -> float:
    """How many points a unit of plane coordinates takes on the page."""
    inches = ax.get_window_extent().size / ax.figure.dpi
    limits = np.ptp([ax.get_xlim(), ax.get_ylim()], axis=1)
    return float((POINTS_PER_INCH * inches / np.abs(limits)).min())


def add_colour_bar(mappable: ScalarMappable, ax: Axes, label: str) -> None:
    """Put a colour bar right of axes, as high as these are when drawn."""
    bar = ax.figure.colorbar(mappable, ax=ax, fraction=0.15, pad=BAR_GAP)
    bar.set_label(label, size=LABEL_SIZE, color=INK)
    bar.ax.tick_params(labelsize=TICK_SIZE, width=0.5, length=2.5, color=INK, labelcolor=INK)
    bar.outline.set_visible(False)

    def beside(bar_axes: Axes, renderer: object) -> Bbox:
        box = ax.get_position()
        left = box.x1 + BAR_GAP * box.width
        return Bbox.from_bounds(left, box.y0, BAR_WIDTH * box.width, box.height)

    # The aspect of `ax`, and with it the height, is known only when the figure is drawn.
    bar.ax.set_axes_locator(beside)
