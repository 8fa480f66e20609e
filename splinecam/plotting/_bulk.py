"""Collections of up to millions of paths, kept as arrays and drawn colour by colour."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.artist import allow_rasterization
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import Collection, LineCollection, PathCollection, PolyCollection
from matplotlib.path import Path
from numpy.typing import NDArray

from splinecam.plotting._style import RASTERISE_ABOVE

Floats = NDArray[np.float64]
Integers = NDArray[np.integer]

JOINED_PATHS = 1024
"""At most so many paths of one colour are drawn as one."""


class _Bulk(Collection):
    """A collection that makes a `Path` of each of its parts only when somebody asks for them.

    Millions of them take matplotlib half a minute to make and draw. If there are more than
    `RASTERISE_ABOVE`, those of one colour are joined for drawing: first all fillings, then all
    lines. They are clipped to the axes, so that a layout need not ask how far they reach.
    """

    _closed: bool
    _paths: Any
    _parts: tuple[Floats, Integers] | None = None

    def get_paths(self) -> Any:
        """Return the paths, one for each part."""
        if self._parts is not None and not self._paths:
            vertices, offsets = self._parts
            self._make_paths([vertices[start:stop] for start, stop in pairwise(offsets.tolist())])
        return super().get_paths()

    def _make_paths(self, parts: list[Floats]) -> None:
        raise NotImplementedError

    @allow_rasterization
    def draw(self, renderer: RendererBase) -> None:
        """Draw all parts."""
        per_part = (self.get_linewidth(), self.get_linestyle(), self.get_urls())
        is_plain = all(len(values) <= 1 for values in per_part)
        if self._parts is None or len(self._parts[1]) - 1 <= RASTERISE_ABOVE or not is_plain:
            super().draw(renderer)
        elif self.get_visible():
            self.update_scalarmappable()
            self._draw_joined(renderer, "facecolor", self.get_facecolor())
            self._draw_joined(renderer, "edgecolor", self.get_edgecolor())
            self.stale = False

    def _draw_joined(self, renderer: RendererBase, name: str, colours: Any) -> None:
        if self._parts is None or not len(colours):
            return
        paths, colours = joined_paths(*self._parts, np.asarray(colours), closed=self._closed)
        joined = PathCollection(paths)
        joined.update_from(self)
        joined.set_figure(self.get_figure())
        joined.set_array(None)
        joined.set(**{"facecolor": "none", "edgecolor": "none", name: colours})
        styles = {"capstyle": self.get_capstyle(), "joinstyle": self.get_joinstyle()}
        joined.set(**{name: style for name, style in styles.items() if style is not None})
        joined.draw(renderer)


class Polygons(_Bulk, PolyCollection):
    """Polygons ``vertices[offsets[i]:offsets[i + 1]]``."""

    _closed = True

    def __init__(self, vertices: Floats, offsets: Integers, **properties: Any):
        super().__init__([], **{"in_layout": False, **properties})
        self._parts = (vertices, offsets)

    def _make_paths(self, parts: list[Floats]) -> None:
        super().set_verts(parts)

    def set_verts(self, verts: Any, closed: bool = True) -> None:
        """Replace the polygons."""
        self._parts = None
        super().set_verts(verts, closed)

    set_paths = set_verts


class Lines(_Bulk, LineCollection):
    """Polylines (n, k, 2), all of k points."""

    _closed = False

    def __init__(self, lines: Floats, **properties: Any):
        super().__init__([], **{"in_layout": False, **properties})
        count, length = lines.shape[:2]
        self._parts = (lines.reshape(-1, 2), np.arange(count + 1) * length)

    def _make_paths(self, parts: list[Floats]) -> None:
        super().set_segments(parts)

    def set_segments(self, segments: Any) -> None:
        """Replace the lines."""
        self._parts = None
        super().set_segments(segments)

    set_verts = set_paths = set_segments

    def get_segments(self) -> list[Floats]:
        """Return the lines."""
        self.get_paths()
        return super().get_segments()


def joined_paths(
    vertices: Floats, offsets: Integers, colours: Floats, *, closed: bool
) -> tuple[list[Path], Floats]:
    """Join parts of one colour.

    Parameters
    ----------
    vertices, offsets : ndarray
        Part i is ``vertices[offsets[i]:offsets[i + 1]]``.
    colours : ndarray
        (n, 4), of all parts, or (1, 4), the same for all.
    closed : bool
        Whether the last vertex of a part is joined to its first one.

    Returns
    -------
    paths : list of Path
        Colours come in the order of their first parts.
    colours : ndarray
        (paths, 4).
    """
    count = len(offsets) - 1
    words = np.ascontiguousarray((255 * colours).round().astype(np.uint8)).view(np.uint32)[:, 0]
    _, firsts, group = np.unique(
        np.broadcast_to(words, count), return_index=True, return_inverse=True
    )
    group = np.argsort(np.argsort(firsts))[group]
    order = np.argsort(group, kind="stable")
    n_corners = np.diff(offsets)[order]
    sizes = n_corners + closed + 1
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    places = np.arange(bounds[-1]) + np.repeat(offsets[:-1][order] - bounds[:-1], sizes)
    last = bounds[1:] - 1
    if closed:
        places[last - 1] -= n_corners
    # Renderers lift the pen at NaN; telling them by codes makes Agg five times slower.
    places[last] = 0
    corners = vertices[places]
    corners[last] = np.nan
    changes = np.flatnonzero(np.diff(group[order])) + 1
    cuts = np.unique(np.concatenate([np.arange(0, count, JOINED_PATHS), changes, [count]]))
    paths = [Path(corners[a:b]) for a, b in pairwise(bounds[cuts].tolist())]
    for path in paths:
        path.should_simplify = False
    return paths, np.broadcast_to(colours, (count, 4))[order[cuts[:-1]]]
