"""Charts of what the regions of one or several partitions are like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from splinecam.common.types import Floats
from splinecam.errors import InvalidArgumentError
from splinecam.measures.edges import layer_statistics
from splinecam.measures.statistics import checked_partitions, region_histogram
from splinecam.partition.partition import Partition
from splinecam.plotting._style import LABEL_SIZE, TICK_SIZE, Theme, theme_of
from splinecam.plotting.figure import Width, panel_grid

FEWEST_BINS, MOST_BINS = 12, 40

SLIVERS = 0.002
"""Share of the regions, the smallest ones, that the chart of areas leaves out."""

WIDE_RATIO = 50.0
"""Counts that differ by more than this are shown on a logarithmic scale."""

CURVE_WIDTH = 1.2
"""Points."""

MARGIN = 0.08
"""Above the curves, relative to their height."""

STYLES = ("-", "--", ":")
"""Line styles, changed when all colours have been used."""


def plot_statistics(
    partitions: Partition | Sequence[Partition],
    *,
    labels: Sequence[str] | None = None,
    width: Width = "page",
    dark: bool = False,
) -> Figure:
    """Draw charts of the regions of one or several partitions.

    The number of regions after each layer; the length, per area of the slice, of the edges that
    each layer made; and the distributions of the regions' areas, relative to the slice's, and of
    their eccentricities (``"ellipse_eccentricity"`` of `region_statistics`), as shares of the
    regions.

    Parameters
    ----------
    partitions : Partition or sequence of Partition
        One curve for each.
    labels : sequence of str, optional
        What the partitions are called in the legend. Default: no legend.
    width : {"page", "column"}, optional
        7.2 inches, with four charts in a row, or 3.5 inches with two.
    dark : bool, optional
        Whether the background is dark.

    Returns
    -------
    matplotlib.figure.Figure
        With four axes.

    Raises
    ------
    InvalidArgumentError
        If an argument is not of this kind.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from splinecam.plotting import plot_statistics
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(
    ...     *(torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 8), torch.nn.ReLU())
    ... )
    >>> p = sc.compute_partition(model, sc.Slice.box((-1, 1), (-1, 1)))
    >>> figure = plot_statistics([p], labels=["untrained"])
    >>> [ax.get_xlabel() for ax in figure.axes]
    ['layer', 'layer', 'area / slice', 'eccentricity']
    """
    chosen = checked_partitions(partitions)
    shapes = region_histogram(
        chosen, "ellipse_eccentricity", bins=_n_bins(chosen), limits=(0.0, 1.0)
    )
    if labels is not None and len(labels) != len(chosen):
        raise InvalidArgumentError(
            f"labels are {len(labels)}; accepted: one for each of the {len(chosen)} partitions"
        )
    in_a_row = {"page": 4, "column": 2}.get(width, 4)
    figure, axes = panel_grid(4, in_a_row, width, dark=dark, aspect=0.9)
    counts, lengths, sizes, eccentricities = axes
    limits, areas = _area_shares(chosen)
    looks = _looks(theme_of(counts), len(chosen), labels)
    for i, (p, look) in enumerate(zip(chosen, looks, strict=True)):
        layers = layer_statistics(p)
        dots = {"marker": "o", "markersize": 2.5, **look}
        counts.plot(layers["layer"], layers["n_regions"], **dots)
        lengths.plot(layers["layer"], layers["length"] / p.slice.area, **dots)
        sizes.stairs(areas[i], limits, **look)
        eccentricities.stairs(shapes.values[i], shapes.edges, **look)
    low, high = counts.dataLim.intervaly
    if high > WIDE_RATIO * low:
        counts.set_yscale("log")
    _style(counts, "layer", "regions so far")
    _style(lengths, "layer", "edge length / area")
    sizes.set_xscale("log")
    _style(sizes, "area / slice", "share of regions")
    _style(eccentricities, "eccentricity", "share of regions")
    if labels is not None:
        ink = theme_of(counts).ink
        look = {"frameon": False, "fontsize": TICK_SIZE, "labelcolor": ink, "handlelength": 1.6}
        handles = counts.get_lines()
        figure.legend(handles=handles, loc="outside upper left", ncols=in_a_row, **look)
    return figure


def _n_bins(partitions: Sequence[Partition]) -> int:
    """Fewer for few regions (the Rice rule)."""
    fewest = min(p.n_regions for p in partitions)
    return int(np.clip(2 * np.cbrt(fewest), FEWEST_BINS, MOST_BINS))


def _area_shares(partitions: Sequence[Partition]) -> tuple[Floats, list[Floats]]:
    """Bins of areas relative to the slice, and the share of each partition's regions in them."""
    shares = [p.areas / p.slice.area for p in partitions]
    ends = np.array([np.quantile(share, (SLIVERS, 1)) for share in shares])
    # Regions narrower than the rounding of their corners may have an area of 0.
    low, high = max(ends[:, 0].min(), np.finfo(float).tiny), ends[:, 1].max()
    if low == high:
        low /= 2
    limits = np.geomspace(low, high * (1 + 1e-9), _n_bins(partitions) + 1)
    return limits, [np.histogram(share, limits)[0] / len(share) for share in shares]


def _looks(theme: Theme, count: int, labels: Sequence[str] | None) -> list[dict[str, Any]]:
    """Properties of the curves of each partition."""
    colours = theme.series
    return [
        {
            "color": colours[i % len(colours)],
            "linestyle": STYLES[i // len(colours) % len(STYLES)],
            "linewidth": CURVE_WIDTH,
            "label": None if labels is None else labels[i],
        }
        for i in range(count)
    ]


def _style(ax: Axes, xlabel: str, ylabel: str) -> None:
    """Name the axes of a chart, and draw two of them thinly."""
    ink = theme_of(ax).ink
    ax.set_facecolor("none")
    ax.set_xlabel(xlabel, size=LABEL_SIZE, color=ink, labelpad=2.0)
    ax.set_ylabel(ylabel, size=LABEL_SIZE, color=ink, labelpad=2.0)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(color=ink, linewidth=0.5)
    ax.tick_params(which="both", labelsize=TICK_SIZE, color=ink, labelcolor=ink, pad=2.0)
    ax.tick_params(which="major", width=0.5, length=2.5)
    ax.tick_params(which="minor", width=0.4, length=1.5)
    if xlabel == "layer":
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True, min_n_ticks=1))
    if ax.get_yscale() == "log":
        ax.margins(y=MARGIN)
        return
    top = ax.dataLim.y1
    ax.set_ylim(0, (1 + MARGIN) * top if top > 0 else 1.0)
    ax.yaxis.set_major_locator(MaxNLocator(4))
    if ylabel == "share of regions":
        ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g}%")
    elif ylabel == "regions so far":
        ax.yaxis.set_major_formatter(EngFormatter(sep=""))
