"""The pictures that the command line makes, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from splinecam.engine import compute_partition
from splinecam.errors import InvalidArgumentError
from splinecam.measures.boundary import DecisionBoundary, decision_boundary
from splinecam.measures.windows import complexity_map
from splinecam.partition.partition import Partition
from splinecam.plotting._pages import Page
from splinecam.plotting._scalars import SCALARS
from splinecam.plotting.anchors import mark_anchors, plot_thumbnails
from splinecam.plotting.boundary import plot_classes, plot_decision_boundary
from splinecam.plotting.complexity import plot_complexity
from splinecam.plotting.edges import plot_edges, plot_slope_changes
from splinecam.plotting.explorer import explore
from splinecam.plotting.figure import WIDTHS, new_figure
from splinecam.plotting.graph import plot_graph
from splinecam.plotting.key import mark_classes
from splinecam.plotting.layers import plot_layers
from splinecam.plotting.origami import box_aspect, plot_origami
from splinecam.plotting.partition import plot_partition
from splinecam.plotting.power import plot_power_diagram
from splinecam.plotting.statistics import plot_statistics
from splinecam.slices import Slice

DPI = 300

MARGIN = 0.02
"""Inches, around pictures."""

RADIUS = 0.02
"""Of the discs in which local complexity is counted, relative to the slice's shorter side."""

MAGNIFICATION = 5
"""Of the picture round the decision boundary."""


@dataclass(frozen=True, eq=False)
class Subject:
    """What the pictures show: a model on a slice.

    Parameters
    ----------
    model : model
        What `compute_partition` takes.
    boundary : DecisionBoundary
        It carries the partition.
    images : array_like, optional
        (k, height, width) or (k, height, width, 3): pictures of the slice's k anchors.
    device : torch device, optional
        Where pre-activations are computed.
    """

    model: Any
    boundary: DecisionBoundary
    images: ArrayLike | None = None
    device: Any = None

    @cached_property
    def close(self) -> DecisionBoundary:
        """A small square round the point of the boundary that is nearest to the middle."""
        slice_ = _around_boundary(self.boundary)
        return decision_boundary(compute_partition(self.model, slice_, device=self.device))


def _around_boundary(boundary: DecisionBoundary) -> Slice:
    slice_ = boundary.partition.slice
    middle = (slice_.anchors if len(slice_.anchors) else slice_.polygon).mean(axis=0)
    candidates = boundary.segments.mean(axis=1)
    if len(candidates):
        middle = candidates[np.linalg.norm(candidates - middle, axis=1).argmin()]
    half = np.ptp(slice_.polygon, axis=0).max() / (2 * MAGNIFICATION)
    x, y = middle.tolist()
    return slice_.with_box((x - half, x + half), (y - half, y + half))


def _show_anchors(subject: Subject, ax: Axes) -> None:
    """Mark the slice's anchors, if it has any, and show their images."""
    slice_ = subject.boundary.partition.slice
    if len(slice_.anchors):
        mark_anchors(slice_, ax=ax)
        if subject.images is not None:
            plot_thumbnails(subject.images, slice_.anchors, ax=ax, cmap="gray_r")


def _draw_partition(subject: Subject) -> Figure:
    figure, (ax,) = new_figure()
    plot_partition(subject.boundary.partition, ax=ax)
    plot_decision_boundary(subject.boundary, ax=ax)
    _show_anchors(subject, ax)
    return figure


def _draw_boundary(subject: Subject) -> Figure:
    figure, (ax,) = new_figure()
    plot_partition(subject.close.partition, ax=ax)
    plot_decision_boundary(subject.close, ax=ax)
    return figure


def _draw_classes(subject: Subject) -> Figure:
    figure, (ax,) = new_figure()
    mark_classes(plot_classes(subject.boundary, ax=ax))
    plot_decision_boundary(subject.boundary, ax=ax)
    _show_anchors(subject, ax)
    return figure


def _draw_whole(plot: Callable[..., Any]) -> Callable[[Subject], Figure]:
    """The whole slice, by a function that takes a partition and axes."""
    return lambda subject: _draw_on_axes(plot, subject.boundary.partition)


def _draw_close(plot: Callable[..., Any]) -> Callable[[Subject], Figure]:
    """Likewise what is round the boundary, where regions are large enough for details."""
    return lambda subject: _draw_on_axes(plot, subject.close.partition)


def _draw_on_axes(plot: Callable[..., Any], p: Partition) -> Figure:
    figure, (ax,) = new_figure()
    plot(p, ax=ax)
    return figure


def _draw_complexity(subject: Subject) -> Figure:
    p = subject.boundary.partition
    figure, (ax,) = new_figure()
    width, height = np.ptp(p.slice.polygon, axis=0)
    plot_complexity(complexity_map(p, radius=RADIUS * min(width, height)), ax=ax)
    _show_anchors(subject, ax)
    return figure


def _draw_origami(subject: Subject) -> Figure:
    p, width = subject.boundary.partition, WIDTHS["column"]
    figure = Figure(figsize=(width, box_aspect(p.slice) * width))
    plot_origami(p, ax=figure.add_axes((0.0, 0.0, 1.0, 1.0), projection="3d"))
    return figure


FIGURES: dict[str, Callable[[Subject], Figure]] = {
    "partition": _draw_partition,
    "boundary": _draw_boundary,
    "classes": _draw_classes,
    "edges": _draw_whole(plot_edges),
    "layers": lambda subject: plot_layers(subject.boundary.partition),
    "statistics": lambda subject: plot_statistics(subject.boundary.partition),
    "complexity": _draw_complexity,
    "bends": _draw_whole(plot_slope_changes),
    "graph": _draw_close(plot_graph),
    "power": _draw_close(plot_power_diagram),
    "origami": _draw_origami,
    **{name: _draw_whole(partial(plot_partition, color=name)) for name in SCALARS},
}
"""Static pictures, written as PNG and PDF."""


PAGES: dict[str, Callable[[Subject], Page]] = {
    "explorer": lambda subject: explore(subject.boundary.partition),
}
"""Pictures for browsers, written as HTML."""

NAMES = (*FIGURES, *PAGES)


def check_names(names: Sequence[str]) -> None:
    """Refuse names of pictures that there are not."""
    for name in names:
        if name not in NAMES:
            raise InvalidArgumentError(
                f"--figure has {name!r}; accepted: {', '.join(NAMES)}, with commas between them"
            )


def write(name: str, subject: Subject, folder: Path) -> list[Path]:
    """Draw a picture and write it; return the files."""
    if name in PAGES:
        paths = [folder / f"{name}.html"]
        PAGES[name](subject).save(paths[0])
    else:
        figure = FIGURES[name](subject)
        paths = [folder / f"{name}{suffix}" for suffix in (".png", ".pdf")]
        for path in paths:
            # Without dates, so that equal pictures make equal files.
            metadata = {"CreationDate": None} if path.suffix == ".pdf" else None
            # Axes that are laid out leave room where their aspect does not let them fill it.
            extent = "tight" if figure.get_layout_engine() else None
            options = {"bbox_inches": extent, "pad_inches": MARGIN, "metadata": metadata}
            figure.savefig(path, dpi=DPI, **options)
    return paths
