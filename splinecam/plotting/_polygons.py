"""Many polygons that fill a slice, as one collection."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.artist import allow_rasterization
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.cbook import normalize_kwargs
from matplotlib.collections import PolyCollection
from matplotlib.path import Path
from numpy.typing import NDArray

from splinecam.plotting._axes import points_per_unit
from splinecam.plotting._bulk import Polygons
from splinecam.plotting._style import RASTERISE_ABOVE, theme_of
from splinecam.slices import Slice

THICKEST_EDGE = 0.7
"""Points."""

EDGE_PER_SIZE = 0.06
"""Width of the edges relative to the size of a typical polygon: at any density about a tenth of
the page is ink."""


class Tiling(Polygons):
    """Polygons that fill an outline, without background between them.

    Renderers blend the margin of a polygon with what lies beneath, also where two polygons meet.
    So that the page does not shine through there, the outline is first filled in the polygons'
    mean colour; if they are transparent, the page is meant to.
    """

    def __init__(
        self,
        vertices: NDArray[np.float64],
        offsets: NDArray[np.integer],
        outline: NDArray[np.float64],
        **properties: Any,
    ):
        super().__init__(vertices, offsets, **properties)
        self._outline = Path(outline)

    @allow_rasterization
    def draw(self, renderer: RendererBase) -> None:
        """Draw the ground and the polygons."""
        self.update_scalarmappable()
        colours = np.asarray(self.get_facecolor())
        if self.get_visible() and len(colours) and (colours[:, 3] == 1).all():
            gc = renderer.new_gc()
            gc.set_linewidth(0)
            gc.set_clip_rectangle(self.get_clip_box())
            # The stub lists what may be set, not what is got.
            gc.set_clip_path(self.get_clip_path())  # pyright: ignore[reportArgumentType]
            renderer.draw_path(gc, self._outline, self.get_transform(), colours.mean(axis=0))
            gc.restore()
        super().draw(renderer)


def add_polygons(
    ax: Axes,
    slice_: Slice,
    vertices: NDArray[np.float64],
    offsets: NDArray[np.integer],
    areas: NDArray[np.float64],
    look: dict[str, Any],
    collection_kw: dict[str, Any],
) -> PolyCollection:
    """Draw polygons with thin edges.

    Parameters
    ----------
    ax : Axes
        Where to draw.
    slice_ : Slice
        What the polygons fill.
    vertices, offsets : ndarray
        (N, 2) and (P + 1,): polygon ``i`` is ``vertices[offsets[i]:offsets[i + 1]]``.
    areas : ndarray
        (P,), of the polygons, in plane coordinates.
    look : dict
        Properties of the collection, under matplotlib's full names.
    collection_kw : dict
        Properties that the caller's user asked for, under any names; they go before all others.
    """
    properties = {
        "edgecolor": theme_of(ax).edge,
        "linewidth": edge_width(ax, areas),
        "joinstyle": "round",
        "rasterized": len(areas) > RASTERISE_ABOVE,
        **look,
        **normalize_kwargs(collection_kw, PolyCollection),
    }
    collection = Tiling(vertices, offsets, slice_.polygon, **properties)
    # The limits are set already: matplotlib need not look at each polygon for them.
    ax.add_collection(collection, autolim=False)
    return collection


def edge_width(ax: Axes, areas: NDArray[np.float64]) -> float:
    """Width in points of the edges of polygons, thinner the smaller these are on the page."""
    typical_size = points_per_unit(ax) * float(np.sqrt(np.median(areas)))
    return min(THICKEST_EDGE, EDGE_PER_SIZE * typical_size)
