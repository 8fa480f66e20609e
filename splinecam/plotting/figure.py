"""Figures of the widths that papers have."""

from __future__ import annotations

from math import ceil
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from splinecam.common.arguments import check_integer
from splinecam.errors import InvalidArgumentError
from splinecam.plotting._style import DARK, LIGHT
from splinecam.slices import Slice

WIDTHS = {"column": 3.5, "page": 7.2}
"""Inches."""

TITLE_ROOM = 0.2
"""Inches, for a line over each panel."""

BAR_ROOM = 0.6
"""Inches, for a colour bar beside several panels."""

Width = Literal["column", "page"]


def new_figure(
    *, panels: int = 1, width: Width = "column", dark: bool = False
) -> tuple[Figure, NDArray[np.object_]]:
    """Make a figure with a row of square panels, without touching pyplot.

    Parameters
    ----------
    panels : int, optional
        How many, >= 1.
    width : str, optional
        ``"column"`` (3.5 inches) or ``"page"`` (7.2 inches).
    dark : bool, optional
        Whether the background is dark. All functions that draw take inks and palettes that suit
        the background of the figure.

    Returns
    -------
    figure : matplotlib.figure.Figure
        With constrained layout.
    axes : ndarray of matplotlib.axes.Axes
        (panels,).

    Raises
    ------
    InvalidArgumentError
        If `panels` or `width` is not of these.

    Examples
    --------
    >>> from splinecam.plotting import new_figure
    >>> figure, (left, right) = new_figure(panels=2, width="page")
    >>> figure.get_size_inches().tolist()
    [7.2, 3.6]
    """
    check_integer("panels", panels, 1)
    return panel_grid(panels, panels, width, dark=dark)


def panel_grid(
    panels: int,
    columns: int,
    width: Width,
    *,
    dark: bool,
    aspect: float = 1.0,
    title_room: float = 0.0,
    bar_room: float = 0.0,
) -> tuple[Figure, NDArray[np.object_]]:
    """Make a figure with rows of panels; those that are too many in the last row are left out.

    Parameters
    ----------
    panels, columns : int
        How many, and how many in a row.
    width : str
        As for `new_figure`.
    dark : bool
        As for `new_figure`.
    aspect : float
        Height of a panel relative to its width.
    title_room, bar_room : float
        Inches more in the height of each row, and less in the width of all.
    """
    if width not in WIDTHS:
        raise InvalidArgumentError(f"width is {width!r}; accepted: 'column' or 'page'")
    inches, rows = WIDTHS[width], ceil(panels / columns)
    figure = Figure(
        figsize=(inches, rows * (aspect * (inches - bar_room) / columns + title_room)),
        facecolor=(DARK if dark else LIGHT).paper,
        layout="constrained",
    )
    axes = figure.subplots(rows, columns, squeeze=False).ravel()
    for ax in axes[panels:]:
        ax.remove()
    return figure, axes[:panels]


def slice_aspect(slice_: Slice) -> float:
    """Height of the box around a slice relative to its width, from a quarter to four."""
    width, height = np.ptp(slice_.polygon, axis=0)
    return float(np.clip(height / width, 0.25, 4.0))
