"""Pictures of the linear regions."""

from __future__ import annotations

from typing import Any

from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import is_color_like

from splinecam.common.arguments import as_float64
from splinecam.errors import InvalidArgumentError
from splinecam.partition.partition import Partition
from splinecam.plotting._axes import add_colour_bar, chosen_axes, lay_out
from splinecam.plotting._patterns import pattern_colours
from splinecam.plotting._polygons import add_polygons
from splinecam.plotting._scalars import SCALARS, Scalar
from splinecam.plotting._style import Theme, on_page, theme_of


def plot_partition(
    p: Partition, *, ax: Axes | None = None, color: Any = "pattern", **collection_kw: Any
) -> PolyCollection:
    """Draw the regions of a partition.

    The axes get equal aspect and the limits of the slice, without ticks. Edges are
    thinner the more regions there are; with more than 20,000 of them the collection is an image
    inside vector files, in the resolution that ``savefig(..., dpi=...)`` asks for.

    Parameters
    ----------
    p : Partition
        The regions.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: the current axes of pyplot.
    color : str, tuple or array_like, optional
        What the colours mean:

        - ``"pattern"`` (default): the activation pattern. A pattern has the same colour in all
          pictures, and regions that differ in one unit have different ones.
        - ``"area"``: the area, on a logarithmic scale that does not resolve the smallest regions
          (those that together cover a hundredth of the slice).
        - ``"slope"``: the Frobenius norm of A, where the output is A u + b in plane coordinates.
        - ``"output"``: the output at the centroid, the first one if there are several.
        - ``"depth"``: the last of the layers, numbered as in `Partition.edge_layers`, whose folds
          bound the region; -1 if there is none.
        - an array of shape (R,): a number for each region.
        - a colour of matplotlib, as a string or a tuple: the same for all.

        Numbers come with a colour bar (``artist.colorbar``) right of the axes.
    **collection_kw
        Properties of the collection, such as `cmap`, `norm`, `linewidth` or `rasterized`.

    Returns
    -------
    matplotlib.collections.PolyCollection
        One path for each region, in the regions' order.

    Raises
    ------
    InvalidArgumentError
        If `color` is none of these, or `ax` is no axes.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> from matplotlib.figure import Figure
    >>> from splinecam.plotting import plot_partition
    >>> _ = torch.manual_seed(0)
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(2, 16), torch.nn.ReLU(), torch.nn.Linear(16, 1)
    ... )
    >>> p = sc.compute_partition(model, sc.Slice.box((-1, 1), (-1, 1)))
    >>> left, right = Figure().subplots(ncols=2)
    >>> len(plot_partition(p, ax=left).get_paths()) == p.n_regions
    True
    >>> plot_partition(p, ax=right, color="area").colorbar.ax.get_ylabel()
    'area'
    """
    axes = chosen_axes(ax)
    look, scalar = resolve_colour(p, color, theme_of(axes))
    regions = draw_regions(p, axes, look, collection_kw)
    if scalar is not None:
        add_colour_bar(regions, [axes], scalar.label, scalar.ticks)
    return regions


def draw_regions(
    p: Partition, ax: Axes, look: dict[str, Any], collection_kw: dict[str, Any]
) -> PolyCollection:
    """Lay axes out and draw the regions, as `add_polygons` does."""
    lay_out(ax, p.slice)
    corners = p.vertices[p.region_vertices]
    return add_polygons(ax, p.slice, corners, p.region_offsets, p.areas, look, collection_kw)


def resolve_colour(p: Partition, color: Any, theme: Theme) -> tuple[dict[str, Any], Scalar | None]:
    """Properties of the collection, and the scalar if the colours show one."""
    if isinstance(color, str) and color == "pattern":
        return {"facecolor": pattern_colours(p, palette=theme.regions)}, None
    if isinstance(color, str) and color in SCALARS:
        scalar = SCALARS[color](p)
    elif isinstance(color, str | tuple) and is_color_like(color):
        return {"facecolor": color}, None
    elif isinstance(color, str):
        names = ", ".join(repr(name) for name in ("pattern", *SCALARS))
        raise InvalidArgumentError(
            f"color is {color!r}; accepted: {names}, a colour of matplotlib, "
            "or an array of one number for each region"
        )
    else:
        scalar = Scalar(as_float64("color", color, (p.n_regions,), InvalidArgumentError))
    return {
        "array": scalar.values,
        "cmap": on_page(scalar.cmap, theme),
        "norm": scalar.norm,
    }, scalar
