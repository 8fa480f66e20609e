"""The picture that the command line draws: a partition, its boundary and its anchors."""

from __future__ import annotations

from pathlib import Path

from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from splinecam.measures.boundary import DecisionBoundary
from splinecam.plotting.anchors import mark_anchors, plot_thumbnails
from splinecam.plotting.boundary import plot_decision_boundary
from splinecam.plotting.figure import new_figure
from splinecam.plotting.partition import plot_partition

DPI = 300


def draw_overview(boundary: DecisionBoundary, *, images: ArrayLike | None = None) -> Figure:
    """Draw a partition with its decision boundary and the slice's anchors, one column wide.

    Parameters
    ----------
    boundary : DecisionBoundary
        It carries its partition.
    images : array_like, optional
        (k, height, width) or (k, height, width, 3): pictures of the slice's k anchors, shown
        beside them.
    """
    slice_ = boundary.partition.slice
    figure, (ax,) = new_figure()
    plot_partition(boundary.partition, ax=ax)
    plot_decision_boundary(boundary, ax=ax)
    if len(slice_.anchors):
        mark_anchors(slice_, ax=ax)
        if images is not None:
            plot_thumbnails(images, slice_.anchors, ax=ax, cmap="gray_r")
    return figure


def save_figure(figure: Figure, folder: Path, name: str) -> list[Path]:
    """Write a figure as PNG and PDF, without dates, so that equal figures make equal files."""
    figure.savefig(folder / f"{name}.png", dpi=DPI)
    figure.savefig(folder / f"{name}.pdf", dpi=DPI, metadata={"CreationDate": None})
    return [folder / f"{name}.png", folder / f"{name}.pdf"]
