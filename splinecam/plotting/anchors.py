"""Marks on a slice: its anchors, and images at their places."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import patheffects
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection
from matplotlib.colors import Normalize
from matplotlib.offsetbox import AnnotationBbox, OffsetImage
from numpy.typing import ArrayLike, NDArray

from splinecam.common.arguments import as_float64
from splinecam.errors import InvalidArgumentError
from splinecam.partition.partition import Partition
from splinecam.plotting._axes import chosen_axes, finish_layout, overlay_axes, points_per_unit
from splinecam.plotting._style import LABEL_SIZE, POINT_LAYER, THUMBNAIL_LAYER, theme_of
from splinecam.slices import Slice

LABEL_GAP = 5.0
"""Points from an anchor to its label."""

THUMBNAIL_SIZE = 0.15
"""Longer side of a thumbnail relative to the shorter side of the axes."""

THUMBNAIL_GAP = 5.0
"""Points from a point to its thumbnail."""

SIDES = np.array([(0, 1), (1, 0), (-1, 0), (0, -1), (1, 1), (-1, 1), (1, -1), (-1, -1)])
"""Where a thumbnail may lie, seen from its point; the first of equals is taken."""


def mark_anchors(
    slice_: Slice | Partition,
    *,
    ax: Axes | None = None,
    labels: Sequence[str] | None = None,
    **scatter_kw: Any,
) -> PathCollection:
    """Mark the anchors of a slice, such as the points that `Slice.through` went through.

    Axes that are empty are laid out as by `plot_partition`; others stay as they are.

    Parameters
    ----------
    slice_ : Slice or Partition
        The slice, or a partition for its slice.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes of pyplot.
    labels : sequence of str, optional
        What to write beside the anchors, one for each.
    **scatter_kw
        Options of ``Axes.scatter``, such as `s`, `color` or `marker`.

    Returns
    -------
    matplotlib.collections.PathCollection
        The points.

    Raises
    ------
    InvalidArgumentError
        If the slice has no anchors, `labels` are not as many as them, or `ax` is no axes.

    Examples
    --------
    >>> import numpy as np, splinecam as sc
    >>> from matplotlib.figure import Figure
    >>> from splinecam.plotting import mark_anchors
    >>> sl = sc.Slice.through(np.eye(3))
    >>> points = mark_anchors(sl, ax=Figure().subplots(), labels=["x", "y", "z"])
    >>> np.array_equal(points.get_offsets(), sl.anchors)
    True
    """
    if isinstance(slice_, Partition):
        slice_ = slice_.slice
    anchors = slice_.anchors
    if not len(anchors):
        raise InvalidArgumentError(
            "slice_ has no anchors; accepted: a slice by Slice.through or Slice(..., anchors=...)"
        )
    if labels is not None and len(labels) != len(anchors):
        raise InvalidArgumentError(
            f"labels are {len(labels)}; accepted: one for each of the {len(anchors)} anchors"
        )
    axes = overlay_axes(ax, slice_)
    theme = theme_of(axes)
    look = {"s": 18, "color": theme.ink, "edgecolor": theme.paper}
    look |= {"linewidth": 0.8, "zorder": POINT_LAYER}
    points = axes.scatter(*anchors.T, **look | scatter_kw)
    for place, label in zip(anchors, labels or (), strict=bool(labels)):
        _write_beside(axes, place, label)
    return points


def _write_beside(ax: Axes, place: NDArray[np.float64], label: str) -> None:
    """Write a label beside a point, towards the middle of the axes."""
    is_left = place[0] <= np.mean(ax.get_xlim())
    ax.annotate(
        label,
        (place[0], place[1]),
        (LABEL_GAP if is_left else -LABEL_GAP, 0),
        textcoords="offset points",
        ha="left" if is_left else "right",
        va="center",
        size=LABEL_SIZE,
        color=theme_of(ax).ink,
        path_effects=[patheffects.withStroke(linewidth=2, foreground=theme_of(ax).paper)],
        zorder=POINT_LAYER,
    )


def plot_thumbnails(
    images: ArrayLike, uv: ArrayLike, *, ax: Axes | None = None, **image_kw: Any
) -> list[AnnotationBbox]:
    """Show images beside their points in the plane, each on a side where it fits into the axes.

    Parameters
    ----------
    images : array_like
        (k, height, width) for grey images, all on one scale from the least to the greatest
        value; (k, height, width, 3) or (k, height, width, 4) for colours in [0, 1].
    uv : array_like
        (k, 2), the points in plane coordinates. What lies outside the axes is not shown.
    ax : matplotlib.axes.Axes, optional
        Where to draw, with the limits of the picture. Default: the current axes of pyplot.
    **image_kw
        Options of ``matplotlib.offsetbox.OffsetImage``, such as `cmap` or `zoom`.

    Returns
    -------
    list of matplotlib.offsetbox.AnnotationBbox
        One for each image.

    Raises
    ------
    InvalidArgumentError
        If `images` or `uv` are not finite numbers of these shapes, or `ax` is no axes.

    Examples
    --------
    >>> import numpy as np, splinecam as sc
    >>> from matplotlib.figure import Figure
    >>> from splinecam.plotting import mark_anchors, plot_thumbnails
    >>> images = np.random.default_rng(0).random((3, 8, 8))
    >>> sl = sc.Slice.through(images)
    >>> ax = Figure().subplots()
    >>> points = mark_anchors(sl, ax=ax)
    >>> len(plot_thumbnails(images, sl.anchors, ax=ax))
    3
    """
    axes = chosen_axes(ax)
    finish_layout(axes)
    pictures = _checked_images(images)
    places = as_float64("uv", uv, (len(pictures), 2), InvalidArgumentError)
    scale = points_per_unit(axes)
    lower, upper = np.sort([axes.get_xlim(), axes.get_ylim()], axis=1).T
    longest = THUMBNAIL_SIZE * scale * (upper - lower).min()
    height, width = pictures.shape[1:3]
    zoom = longest / max(height, width)
    offsets = _place_beside(
        scale * (places - lower), scale * (upper - lower), zoom * np.array([width, height])
    )
    look = {"cmap": "gray", "norm": Normalize(pictures.min(), pictures.max()), "zoom": zoom}
    return [
        _add_thumbnail(axes, picture, place, offset, {**look, **image_kw})
        for picture, place, offset in zip(pictures, places, offsets, strict=True)
    ]


def _checked_images(images: ArrayLike) -> NDArray[np.float64]:
    pictures = np.asarray(images)
    grey = pictures.ndim == 3
    coloured = pictures.ndim == 4 and pictures.shape[3] in (3, 4)
    if not (grey or coloured) or 0 in pictures.shape:
        raise InvalidArgumentError(
            f"images has shape {pictures.shape}; accepted: (k, height, width), "
            "(k, height, width, 3) or (k, height, width, 4)"
        )
    return as_float64("images", pictures, pictures.shape, InvalidArgumentError)


def _place_beside(
    points: NDArray[np.float64], page: NDArray[np.float64], size: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Offsets (k, 2) from points to the middles of their thumbnails, all in points of length.

    A thumbnail goes to the side that is most outward, seen from the middle of all points, among
    those where it fits on the page; if it fits nowhere, to the one where it sticks out least.
    """
    offsets = SIDES * (size / 2 + THUMBNAIL_GAP)
    middles = points[:, None] + offsets
    beyond = np.maximum(size / 2 - middles, middles + size / 2 - page).max(axis=2).clip(0)
    outward = (points - points.mean(axis=0)) @ (SIDES / np.linalg.norm(SIDES, axis=1)[:, None]).T
    # Rounded, so that equals are equal whatever the rounding.
    best = [
        np.lexsort((-np.round(away, 6), np.round(over, 6)))[0]
        for away, over in zip(outward, beyond, strict=True)
    ]
    return offsets[best]


def _add_thumbnail(
    ax: Axes,
    image: NDArray[np.float64],
    place: NDArray[np.float64],
    offset: NDArray[np.float64],
    look: dict[str, Any],
) -> AnnotationBbox:
    theme = theme_of(ax)
    thumbnail = AnnotationBbox(
        OffsetImage(image, interpolation="nearest", **look),
        (place[0], place[1]),
        (offset[0], offset[1]),
        boxcoords="offset points",
        pad=0.0,
        bboxprops={"edgecolor": theme.ink, "linewidth": 0.6, "facecolor": theme.paper},
        zorder=THUMBNAIL_LAYER,
    )
    ax.add_artist(thumbnail)
    return thumbnail
