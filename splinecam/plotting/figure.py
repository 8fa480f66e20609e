"""Figures of the widths that papers have."""

from __future__ import annotations

from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from splinecam.errors import InvalidArgumentError

WIDTHS = {"column": 3.5, "page": 7.2}
"""Inches."""


def new_figure(
    *, panels: int = 1, width: Literal["column", "page"] = "column"
) -> tuple[Figure, NDArray[np.object_]]:
    """Make a figure with a row of square panels, without touching pyplot.

    Parameters
    ----------
    panels : int, optional
        How many, >= 1.
    width : str, optional
        ``"column"`` (3.5 inches) or ``"page"`` (7.2 inches).

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
    if width not in WIDTHS:
        raise InvalidArgumentError(f"width is {width!r}; accepted: 'column' or 'page'")
    if panels < 1:
        raise InvalidArgumentError(f"panels is {panels!r}; accepted: an integer >= 1")
    inches = WIDTHS[width]
    figure = Figure(figsize=(inches, inches / panels), layout="constrained")
    return figure, figure.subplots(1, panels, squeeze=False)[0]
