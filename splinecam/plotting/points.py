"""Pictures of data: inputs at their places in a slice's plane."""

from __future__ import annotations

from itertools import cycle, islice
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import BoundaryNorm, ListedColormap
from numpy.typing import ArrayLike

from splinecam.errors import InvalidArgumentError
from splinecam.partition.partition import Partition
from splinecam.plotting._axes import overlay_axes
from splinecam.plotting._style import POINT_LAYER, RASTERISE_ABOVE, theme_of
from splinecam.slices import Slice

LARGEST_POINT = 12.0
"""Points squared."""


def plot_points(
    slice_: Slice | Partition,
    points: ArrayLike,
    *,
    ax: Axes | None = None,
    labels: ArrayLike | None = None,
    **scatter_kw: Any,
) -> PathCollection:
    """Draw inputs at the plane coordinates of their orthogonal projections onto a slice's plane.

    Axes that are empty are laid out as by `plot_partition`; others stay as they are.

    Parameters
    ----------
    slice_ : Slice or Partition
        The slice, or a partition for its slice.
    points : array_like
        (n, *input_shape), inputs on the plane or not.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes of pyplot.
    labels : array_like of int, optional
        (n,), the inputs' classes, >= 0. There are ten colours, with the hues of `plot_classes`; the
        eleventh class gets the first one again. `mark_classes` adds a key.
    **scatter_kw
        Options of ``Axes.scatter``, such as `s`, `color` or `marker`.

    Returns
    -------
    matplotlib.collections.PathCollection
        The points, smaller the more there are.

    Raises
    ------
    InvalidArgumentError
        If `points` or `labels` are not of these kinds, or `ax` is no axes.

    Examples
    --------
    >>> import splinecam as sc
    >>> from matplotlib.figure import Figure
    >>> from splinecam.plotting import plot_points
    >>> sl = sc.Slice.box((-1, 1), (-1, 1))
    >>> dots = plot_points(sl, [(0.0, 0.5), (0.5, 0.0)], labels=[1, 0], ax=Figure().subplots())
    >>> dots.get_offsets().tolist(), dots.get_array().tolist()
    ([[0.0, 0.5], [0.5, 0.0]], [1.0, 0.0])
    """
    if isinstance(slice_, Partition):
        slice_ = slice_.slice
    places = slice_.project(points)
    classes = None if labels is None else _checked_labels(labels, len(places))
    axes = overlay_axes(ax, slice_)
    theme = theme_of(axes)
    look: dict[str, Any] = {
        "s": min(LARGEST_POINT, 3000.0 / max(len(places), 1)),
        "edgecolor": theme.paper,
        "linewidth": 0.5 if len(places) < 1000 else 0.2,
        "zorder": POINT_LAYER,
        "rasterized": len(places) > RASTERISE_ABOVE,
    }
    if classes is None:
        look["color"] = theme.ink
    else:
        count = int(classes.max(initial=0)) + 1
        look["c"] = classes
        look["cmap"] = ListedColormap(list(islice(cycle(theme.series), count)))
        look["norm"] = BoundaryNorm(np.arange(count + 1) - 0.5, count)
    return axes.scatter(*places.T, **look | scatter_kw)


def _checked_labels(labels: ArrayLike, count: int) -> np.ndarray:
    classes = np.asarray(labels)
    if classes.shape != (count,) or classes.dtype.kind not in "iu" or (classes < 0).any():
        raise InvalidArgumentError(
            f"labels has shape {classes.shape} and dtype {classes.dtype}; accepted: "
            f"({count},) integers >= 0"
        )
    return classes
