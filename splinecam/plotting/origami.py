"""Pictures of the slice as the surface that the network folds it into."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cbook import normalize_kwargs
from mpl_toolkits.mplot3d import Axes3D, proj3d
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from splinecam.common.arguments import check_integer
from splinecam.common.types import Floats
from splinecam.errors import InvalidArgumentError
from splinecam.partition.partition import Partition
from splinecam.plotting._folds import (
    RELIEF,
    brightness,
    facets_of,
    levels_of,
    range_of,
    sheet_heights,
)
from splinecam.plotting._patterns import pattern_colours
from splinecam.plotting._style import RASTERISE_ABOVE, theme_of
from splinecam.slices import Slice

ELEVATION, AZIMUTH = 34.0, -62.0
"""Of the camera, in degrees."""

THICKEST_EDGE = 0.6
"""Points."""

EDGE_PER_SIZE = 0.035
"""Width of the edges relative to the size of a typical facet."""


def plot_origami(
    p: Partition, *, ax: Axes | None = None, layer: int | None = None, **collection_kw: Any
) -> Poly3DCollection:
    """Draw the slice as the surface that the network folds it into.

    On each region the network is affine: the height over the slice is a flat facet there, and the
    surface is folded along the edges, continuously. The height is the output or, of several, their
    first principal component over the slice; for a layer, the first principal component of those
    of its units that change somewhere on the slice. Facets have the colours of `plot_partition`,
    lit from above.

    Axes get the slice's proportions, with heights stretched to 0.45 times its longer side, and no
    frame; the surface is as large as they have room for.

    Parameters
    ----------
    p : Partition
        The regions.
    ax : mpl_toolkits.mplot3d.Axes3D, optional
        Where to draw. Default: the current axes of pyplot, new ones if it has none.
    layer : int, optional
        Fold by the layers up to this one, an index into ``p.layer_names``, and show its
        activations. Default: all layers, and the output.
    **collection_kw
        Properties of the collection, such as `edgecolor` or `linewidth`.

    Returns
    -------
    mpl_toolkits.mplot3d.art3d.Poly3DCollection
        One polygon for each region of the partition by these layers; an image inside vector files
        if there are more than 20,000.

    Raises
    ------
    InvalidArgumentError
        If `ax` is not three-dimensional, or `layer` is none of the layers or picks maxima
        (max-pooling, maxout): their values are not in a partition.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from matplotlib.figure import Figure
    >>> from splinecam.plotting import plot_origami
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)
    ... )
    >>> p = sc.compute_partition(model, sc.Slice.box((-1, 1), (-1, 1)))
    >>> ax = Figure().add_subplot(projection="3d")
    >>> plot_origami(p, ax=ax).axes is ax
    True
    """
    axes = _solid_axes(ax)
    n_layers = len(p.layer_names)
    if layer is not None:
        n_layers = check_layer(p, layer) + 1
    facets = facets_of(p, n_layers)
    heights = sheet_heights(p, layer)
    corners = np.column_stack([p.vertices, heights])[facets.vertices]
    _lay_out(axes, p, heights)
    theme = theme_of(axes)
    colours = pattern_colours(p, palette=theme.regions, n_layers=n_layers)[facets.members]
    colours[:, :3] *= brightness(p, levels_of(heights), facets.offsets, facets.vertices)[:, None]
    # Closed loops of one length, their first corners repeated: matplotlib fills up shorter ones
    # with whatever is in memory, and leaves their last sides out.
    sizes = np.diff(facets.offsets)[:, None]
    steps = np.minimum(np.arange(sizes.max() + 1), sizes) % sizes
    polygons = corners[facets.offsets[:-1, None] + steps]
    properties = {
        "facecolor": colours,
        "edgecolor": theme.edge,
        "linewidth": _edge_width(axes, len(polygons)),
        "joinstyle": "round",
        "rasterized": len(polygons) > RASTERISE_ABOVE,
        "clip_on": False,
        **normalize_kwargs(collection_kw, Poly3DCollection),
    }
    surface = Poly3DCollection(polygons, **properties)
    axes.add_collection3d(surface, autolim=False)
    return surface


def check_layer(p: Partition, layer: int) -> int:
    """Return a layer whose activations are known; refuse others."""
    number = check_integer("layer", layer, 0, len(p.layer_names) - 1)
    if p.network.units.are_groups[number]:
        raise InvalidArgumentError(
            f"layer is {layer} ({p.layer_names[number]!r}), which picks maxima; accepted: a layer "
            "whose units are functions of one value each, such as ReLU"
        )
    return number


def _solid_axes(ax: Axes | None) -> Axes3D:
    if ax is None:
        # Imported late, because pyplot chooses a backend for the whole process.
        from matplotlib import pyplot as plt

        figure = plt.gcf()
        ax = figure.gca() if figure.axes else figure.add_subplot(projection="3d")
    if not isinstance(ax, Axes3D):
        raise InvalidArgumentError(
            f"ax is a {type(ax).__name__}; accepted: three-dimensional axes, as made by "
            "figure.add_subplot(projection='3d')"
        )
    return ax


def _lay_out(ax: Axes3D, p: Partition, heights: Floats) -> None:
    low, high = p.slice.polygon.min(axis=0), p.slice.polygon.max(axis=0)
    ax.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), zlim=range_of(heights))
    sides = high - low
    box = (*sides, RELIEF * sides.max())
    ax.set_proj_type("ortho")
    ax.view_init(ELEVATION, AZIMUTH)
    ax.set_axis_off()
    ax.set_facecolor("none")
    ax.set_box_aspect(box)
    # The stub takes the zoom for an integer.
    ax.set_box_aspect(box, zoom=_room(ax))  # pyright: ignore[reportArgumentType]


def _room(ax: Axes3D) -> float:
    """How many times larger the box round the surface may be drawn."""
    x, y, z = np.array([*product(ax.get_xlim(), ax.get_ylim(), ax.get_zlim())]).T
    x, y, _ = proj3d.proj_transform(x, y, z, ax.get_proj())
    position = ax.get_position(original=True)
    room = np.array([position.p0, position.p1]) * ax.figure.bbox.size
    ax.apply_aspect()
    # The origin of the picture stays where it is.
    origin, *shown = ax.transData.transform(np.array([(0.0, 0.0), *zip(x, y, strict=True)]))
    reach = np.array([np.min(shown, axis=0), np.max(shown, axis=0)]) - origin
    return float(((room - origin) / reach).min())


def box_aspect(slice_: Slice) -> float:
    """Height of the box round the surface relative to its width, as it is seen."""
    width, depth = np.ptp(slice_.polygon, axis=0)
    turn, tilt = np.radians([AZIMUTH, ELEVATION])
    seen = np.abs([[np.sin(turn), np.cos(turn)], [np.cos(turn), np.sin(turn)]]) @ (width, depth)
    height = np.sin(tilt) * seen[1] + np.cos(tilt) * RELIEF * max(width, depth)
    return float(height / seen[0])


def _edge_width(ax: Axes3D, n_facets: int) -> float:
    """Width in points of the edges, thinner the more facets there are on the page."""
    box = ax.get_window_extent()
    inches = min(box.width, box.height) / ax.figure.dpi
    return min(THICKEST_EDGE, EDGE_PER_SIZE * 72 * inches / np.sqrt(n_facets))
