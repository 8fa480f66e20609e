"""Pictures of complexity maps."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from splinecam.common.arguments import as_float64, check_integer
from splinecam.errors import InvalidArgumentError
from splinecam.measures.windows import ComplexityMap
from splinecam.plotting._axes import add_colour_bar, chosen_axes, frame
from splinecam.plotting._style import LINE_LAYER, SEQUENTIAL, on_page, theme_of

CONTOUR_WIDTH = 0.5
"""Points."""

LABELS = {
    "regions": "regions within {radius:.2g}",
    "length": "edge length within {radius:.2g}",
    "density": "edge length per area within {radius:.2g}",
}
"""What a colour bar says of each quantity."""


def plot_complexity(
    map_: ComplexityMap, *, ax: Axes | None = None, contours: int | ArrayLike = 5, **image_kw: Any
) -> AxesImage:
    """Draw a complexity map as an image with contours.

    The axes get equal aspect and the limits of the map, without ticks, and a colour bar
    (``artist.colorbar``). Where the map has no regions, it is left free.

    Parameters
    ----------
    map_ : ComplexityMap
        What `complexity_map` returned.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes of pyplot.
    contours : int or array_like, optional
        About how many lines of equal value to draw, at round values, or the values, ascending; 0
        or an empty list for none.
    **image_kw
        Options of ``Axes.imshow``, such as `cmap`, `norm` or `interpolation`.

    Returns
    -------
    matplotlib.image.AxesImage
        One pixel for each point of the grid.

    Raises
    ------
    InvalidArgumentError
        If `contours` are no such numbers, or `ax` is no axes.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from matplotlib.figure import Figure
    >>> from splinecam.plotting import plot_complexity
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.ReLU())
    >>> p = sc.compute_partition(fold, sc.Slice.box((-1, 1), (-1, 1)))
    >>> image = plot_complexity(sc.complexity_map(p, radius=0.2), ax=Figure().subplots())
    >>> image.colorbar.ax.get_ylabel()
    'regions within 0.2'
    """
    values = np.ma.masked_invalid(map_.values)
    if map_.quantity == "regions":
        values = np.ma.masked_equal(values, 0)
    levels = _levels(values, contours)
    axes = chosen_axes(ax)
    theme = theme_of(axes)
    left, right, bottom, top = map_.extent
    frame(axes, (left, right), (bottom, top), visible=True)
    look = {
        "cmap": on_page(SEQUENTIAL, theme),
        "interpolation": "nearest",
        "aspect": "equal",
        "zorder": 1.0,
    }
    image = axes.imshow(values, origin="lower", extent=map_.extent, **look | image_kw)
    if len(levels):
        axes.contour(
            *(map_.x, map_.y, values, levels),
            colors=[theme.paper],
            linewidths=CONTOUR_WIDTH,
            alpha=0.8,
            zorder=LINE_LAYER,
        )
    label = LABELS[map_.quantity].format(radius=map_.radius)
    ticks = MaxNLocator(integer=True) if map_.quantity == "regions" else None
    add_colour_bar(image, [axes], label, ticks)
    return image


def _levels(values: np.ma.MaskedArray, contours: int | ArrayLike) -> np.ndarray:
    """The values at which contours lie."""
    if np.ndim(contours) == 0:
        count = check_integer("contours", contours, 0)
        if not count or min(values.shape) < 2 or not values.count():
            return np.empty(0)
        # Robust limits: a few extremes shall not leave the rest without lines.
        low, high = np.percentile(values.compressed(), (2, 98))
        ticks = MaxNLocator(count + 1, min_n_ticks=1).tick_values(low, high)
        return ticks[(ticks > low) & (ticks < high)]
    levels = as_float64("contours", contours, ("n",), InvalidArgumentError)
    if (np.diff(levels) <= 0).any():
        raise InvalidArgumentError(f"contours is {contours!r}; accepted: ascending values")
    return levels
