"""Curves over the steps of a training run, drawn up to one of them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from splinecam.plotting._style import LABEL_SIZE, TICK_SIZE, theme_of

TO_COME = 0.25
"""Opacity of a curve beyond the step that is shown."""

LOG_SPAN = 30.0
"""Positive values of which the greatest is so many times the least have a logarithmic scale."""

SPREAD_STEPS = 10.0
"""So have steps of which the last is so many times the middle one."""


def plot_curves(
    ax: Axes, steps: NDArray[np.int64], columns: Mapping[str, NDArray[np.float64]], index: int
) -> None:
    """Draw metrics over the steps: strong up to a step, faint beyond it.

    Parameters
    ----------
    ax : Axes
        Empty axes.
    steps : ndarray
        (n,), ascending.
    columns : mapping of str to ndarray
        (n,) each; NaN where there is nothing to draw.
    index : int
        Which step is shown.
    """
    theme = theme_of(ax)
    _lay_out(ax, steps, np.concatenate(list(columns.values())))
    for number, (name, values) in enumerate(columns.items()):
        colour = theme.series[number % len(theme.series)]
        known = np.isfinite(values)
        past = known & (np.arange(len(steps)) <= index)
        ax.plot(steps[known], values[known], color=colour, linewidth=1.0, alpha=TO_COME)
        ax.plot(steps[past], values[past], color=colour, linewidth=1.2, label=name)
        if known[index]:
            ax.plot(steps[index], values[index], "o", color=colour, markersize=3.5, clip_on=False)
    if len(columns) > 1:
        ax.legend(frameon=False, fontsize=TICK_SIZE, labelcolor=theme.ink, handlelength=1.2)
    else:
        ax.set_ylabel(next(iter(columns)), size=LABEL_SIZE, color=theme.ink)


def _lay_out(ax: Axes, steps: NDArray[np.int64], values: NDArray[np.float64]) -> None:
    """Choose the scales and style the axes."""
    known = values[np.isfinite(values)]
    if len(known) and 0 < known.min() * LOG_SPAN < known.max():
        ax.set_yscale("log")
    if steps[-1] > SPREAD_STEPS * np.median(steps):
        ax.set_xscale("symlog", linthresh=steps[steps > 0].min())
    ink = theme_of(ax).ink
    ax.set_facecolor("none")
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(color=ink, linewidth=0.5)
    ax.tick_params(which="both", labelsize=TICK_SIZE, color=ink, labelcolor=ink)
    ax.tick_params(which="major", width=0.5, length=2.5)
    ax.tick_params(which="minor", width=0.4, length=1.5)
