"""Several partitions side by side, on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from splinecam.common.arguments import check_integer
from splinecam.errors import InvalidArgumentError
from splinecam.partition.partition import Partition
from splinecam.plotting._axes import add_colour_bar, write_title
from splinecam.plotting._scalars import SCALARS
from splinecam.plotting._shared import shared_look
from splinecam.plotting._style import on_page, theme_of
from splinecam.plotting.figure import BAR_ROOM, TITLE_ROOM, Width, panel_grid, slice_aspect
from splinecam.plotting.partition import draw_regions, resolve_colour

MOST_COLUMNS = {"column": 2, "page": 4}


def plot_comparison(
    partitions: Sequence[Partition],
    *,
    titles: Sequence[str] | None = None,
    columns: int | None = None,
    color: Any = "pattern",
    width: Width = "page",
    dark: bool = False,
) -> Figure:
    """Draw partitions side by side: several models, checkpoints or slices.

    Each panel has the limits of its own slice. Numbers have one scale, and one colour bar right of
    all panels; edges have one width, so that denser partitions look denser.

    Parameters
    ----------
    partitions : sequence of Partition
        One panel for each.
    titles : sequence of str, optional
        What to write over the panels.
    columns : int, optional
        How many panels are in a row. Default: up to four, or two if `width` is ``"column"``.
    color : str, tuple or sequence of array_like, optional
        As for `plot_partition`; numbers of your own as one array for each partition.
    width : {"page", "column"}, optional
        7.2 inches or 3.5 inches.
    dark : bool, optional
        Whether the background is dark.

    Returns
    -------
    matplotlib.figure.Figure
        With axes for each partition, in their order.

    Raises
    ------
    InvalidArgumentError
        If an argument is not of this kind.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.plotting import plot_comparison
    >>> square = sc.Slice.box((-1, 1), (-1, 1))
    >>> models = [torch.nn.Sequential(torch.nn.Linear(2, n), torch.nn.ReLU()) for n in (3, 9)]
    >>> partitions = [sc.compute_partition(model, square) for model in models]
    >>> figure = plot_comparison(partitions, titles=["3 units", "9 units"], color="area")
    >>> [ax.get_title(loc="left") for ax in figure.axes[:2]]
    ['3 units', '9 units']
    """
    chosen = _checked_partitions(partitions)
    count = len(chosen)
    if titles is not None and len(titles) != count:
        raise InvalidArgumentError(
            f"titles are {len(titles)}; accepted: one for each of the {count} partitions"
        )
    if columns is None:
        columns = min(count, MOST_COLUMNS.get(width, 1))
    check_integer("columns", columns, 1)
    colours, has_bar = _each(color, count), _shows_numbers(color)
    figure, axes = panel_grid(
        *(count, columns, width),
        dark=dark,
        aspect=max(slice_aspect(p.slice) for p in chosen),
        title_room=TITLE_ROOM * (titles is not None),
        bar_room=BAR_ROOM * has_bar,
    )
    theme = theme_of(axes[0])
    resolved = [resolve_colour(p, c, theme) for p, c in zip(chosen, colours, strict=True)]
    looks, scalars = zip(*resolved, strict=True)
    scale = shared_look(scalars) if has_bar else {}
    if has_bar:
        scale["cmap"] = on_page(scale["cmap"], theme)
    drawn = [
        draw_regions(p, ax, look | scale, {})
        for p, ax, look in zip(chosen, axes, looks, strict=True)
    ]
    thinnest = float(np.min([regions.get_linewidth() for regions in drawn]))
    for regions in drawn:
        regions.set_linewidth(thinnest)
    for ax, title in zip(axes, titles or (), strict=titles is not None):
        write_title(ax, title)
    if has_bar:
        add_colour_bar(drawn[0], list(axes), scalars[0].label, scalars[0].ticks)
    return figure


def _shows_numbers(color: Any) -> bool:
    return not isinstance(color, str | tuple) or (isinstance(color, str) and color in SCALARS)


def _each(color: Any, count: int) -> Sequence[Any]:
    """The colours of each partition."""
    if isinstance(color, str | tuple):
        return [color] * count
    if not isinstance(color, Sequence) or len(color) != count:
        raise InvalidArgumentError(
            f"color is a {type(color).__name__}; accepted: a name, a colour of matplotlib, or a "
            f"list of arrays, one for each of the {count} partitions"
        )
    return color


def _checked_partitions(partitions: Any) -> Sequence[Partition]:
    is_sequence = isinstance(partitions, Sequence) and len(partitions) > 0
    if not is_sequence or not all(isinstance(p, Partition) for p in partitions):
        raise InvalidArgumentError(
            f"partitions is {partitions!r}; accepted: a list of one or more Partitions"
        )
    return partitions
