"""Keys that say which colour is which class."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import Collection, PathCollection
from matplotlib.colors import BoundaryNorm
from matplotlib.legend import Legend
from matplotlib.lines import Line2D

from splinecam.errors import InvalidArgumentError
from splinecam.plotting._axes import BAR_GAP, chosen_axes, points_per_unit
from splinecam.plotting._style import LABEL_SIZE, TICK_SIZE, theme_of

SWATCH = 6.0
"""Side of a swatch, or diameter of a dot, in points."""

ROW = 11.0
"""Height of a class in the key, in points."""


def mark_classes(classes: Collection, *, names: Sequence[str] | None = None) -> Legend:
    """Put a key right of a picture: the classes that it shows, with their colours.

    Parameters
    ----------
    classes : matplotlib.collections.Collection
        What `plot_classes` returned, or `plot_points` with labels.
    names : sequence of str, optional
        What the classes are called, from class 0 on. Default: their numbers.

    Returns
    -------
    matplotlib.legend.Legend
        In columns that are as high as the axes at most. It replaces another legend of the axes.

    Raises
    ------
    InvalidArgumentError
        If `classes` shows none, or `names` are fewer than them.

    Examples
    --------
    >>> import splinecam as sc
    >>> from splinecam.plotting import mark_classes, new_figure, plot_points
    >>> figure, (ax,) = new_figure()
    >>> square = sc.Slice.box((-1, 1), (-1, 1))
    >>> dots = plot_points(square, [(0.0, 0.5), (0.5, 0.0)], labels=[7, 3], ax=ax)
    >>> [text.get_text() for text in mark_classes(dots).get_texts()]
    ['3', '7']
    """
    axes, shown = _shown_classes(classes)
    if names is not None and len(names) <= shown[-1]:
        raise InvalidArgumentError(
            f"names are {len(names)}; accepted: one for each class from 0 to {shown[-1]}"
        )
    theme = theme_of(axes)
    is_dots = isinstance(classes, PathCollection)
    look = {"marker": "o" if is_dots else "s", "markersize": SWATCH, "linestyle": "none"}
    edge = {"markeredgecolor": theme.paper if is_dots else theme.ink, "markeredgewidth": 0.5}
    height = points_per_unit(axes) * float(np.ptp(axes.get_ylim()))
    colours = classes.to_rgba(np.array(shown)).tolist()
    rows = max(1, int(height / ROW) - 1)
    key = axes.legend(
        [Line2D([], [], color=tuple(colour), **look, **edge) for colour in colours],
        [str(k) if names is None else names[k] for k in shown],
        title="class" if names is None else None,
        title_fontproperties={"size": LABEL_SIZE},
        fontsize=TICK_SIZE,
        labelcolor=theme.ink,
        ncols=ceil(len(shown) / rows),
        loc="upper left",
        bbox_to_anchor=(1.0, 1.0),
        frameon=False,
        borderpad=0.0,
        borderaxespad=BAR_GAP / TICK_SIZE,
        handlelength=SWATCH / TICK_SIZE,
        handletextpad=0.5,
        columnspacing=0.8,
        labelspacing=ROW / TICK_SIZE - 1,
        alignment="left",
    )
    key.get_title().set_color(theme.ink)
    return key


def _shown_classes(artist: Collection) -> tuple[Axes, list[int]]:
    """The axes of a picture and the classes that it shows, ascending."""
    axes = getattr(artist, "axes", None)
    values = artist.get_array() if isinstance(artist, Collection) else None
    if axes is None or values is None or not isinstance(artist.norm, BoundaryNorm):
        raise InvalidArgumentError(
            f"classes is a {type(artist).__name__} that shows no classes; accepted: what "
            "plot_classes returned, or plot_points with labels"
        )
    shown = np.unique(np.ma.asarray(values).compressed()).astype(np.int64)
    if not len(shown):
        raise InvalidArgumentError("classes is empty; accepted: a picture of one class or more")
    return chosen_axes(axes), shown.tolist()
