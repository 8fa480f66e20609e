"""The folded surface as an interactive page, by way of the optional package plotly."""

# The library of the extra may be missing where types are checked.
# pyright: reportMissingImports=false

from __future__ import annotations

from os import PathLike
from typing import Any, NamedTuple

import numpy as np

from splinecam.common.types import Floats, Ints
from splinecam.errors import InvalidArgumentError, SplineCamError
from splinecam.partition.partition import Partition
from splinecam.plotting._folds import sheet_heights
from splinecam.plotting._pages import Page
from splinecam.plotting._palettes import as_palette
from splinecam.plotting._patterns import pattern_colours
from splinecam.plotting._style import INK
from splinecam.plotting.origami import RELIEF

MOST_REGIONS = 50_000

BETWEEN_BYTES = 2**23
"""How much the frames between one fold and the next may take, about."""

MOST_BETWEEN = 8
"""Frames between one fold and the next."""

MILLISECONDS = 60
"""Of a frame while the sheet folds."""


class Fold(NamedTuple):
    """The sheet after some layers."""

    name: str
    heights: Floats  # (V,)
    n_layers: int  # whose edges are folds


def origami_page(p: Partition, path: str | PathLike[str] | None = None) -> Page:
    """Make a page on which the slice folds into the network's surface, layer by layer.

    It starts as a flat sheet; the slider and the button fold it into the surfaces that
    `plot_origami` draws: one for each layer but those that pick maxima, whose folds come with the
    next one, and the output's. Heights are scaled to the same range each time. Drag to turn the
    sheet, use the wheel to come nearer.

    Parameters
    ----------
    p : Partition
        At most 50,000 regions.
    path : str or path-like, optional
        Where to write the page. Default: nowhere.

    Returns
    -------
    Page
        With plotly.js inside (about 5 MB), so that nothing is fetched.

    Raises
    ------
    SplineCamError
        If plotly, the extra ``interactive``, is not installed.
    InvalidArgumentError
        If `p` has too many regions.

    Examples
    --------
    >>> import pytest
    >>> _ = pytest.importorskip("plotly")
    >>> import torch, splinecam as sc
    >>> from splinecam.plotting import origami_page
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(2, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)
    ... )
    >>> page = origami_page(sc.compute_partition(model, sc.Slice.box((-1, 1), (-1, 1))))
    >>> "plotly.js v" in page.html
    True
    """
    if p.n_regions > MOST_REGIONS:
        raise InvalidArgumentError(
            f"p has {p.n_regions:,} regions; accepted: up to {MOST_REGIONS:,}; plot_origami draws "
            "more, explore shows them flat"
        )
    page = Page(
        origami_figure(p).to_html(
            include_plotlyjs=True,
            config={"displaylogo": False, "responsive": True},
            auto_play=False,
            default_height="100%",
        )
    )
    if path is not None:
        page.save(path)
    return page


def origami_figure(p: Partition) -> Any:
    """The plotly figure that the page shows, with a frame for each fold."""
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise SplineCamError(
            "origami pages need plotly: pip install 'splinecam[interactive]'"
        ) from error
    folds = folds_of(p)
    mesh, lines = _traces(p)
    frames = _frames(p, folds)
    first = frames[0]["data"]
    figure = go.Figure(
        [go.Mesh3d(**{**mesh, **first[0]}), go.Scatter3d(**{**lines, **first[1]})],
        layout=_layout(p, folds, [frame["name"] for frame in frames]),
    )
    figure.frames = [
        go.Frame(
            name=frame["name"],
            data=[go.Mesh3d(**frame["data"][0]), go.Scatter3d(**frame["data"][1])],
            traces=[0, 1],
            layout=frame["layout"],
        )
        for frame in frames
    ]
    return figure


def folds_of(p: Partition) -> list[Fold]:
    """The flat sheet, the sheet after each layer whose activations are known, and the output."""
    flat = Fold("flat", np.zeros(p.n_vertices), 0)
    are_groups = p.network.units.are_groups
    hidden = [
        Fold(f"layer {name}", sheet_heights(p, layer), layer + 1)
        for layer, name in enumerate(p.layer_names)
        if not are_groups[layer]
    ]
    return [flat, *hidden, Fold("output", sheet_heights(p, None), len(p.layer_names))]


def _traces(p: Partition) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is the same for all folds: the triangles, and the places of the lines."""
    triangles = fan_triangles(p)
    corners = p.vertices[p.edges]
    places = np.full((p.n_edges, 3, 2), np.nan, np.float32)
    places[:, :2] = corners
    mesh = {
        "x": p.vertices[:, 0],
        "y": p.vertices[:, 1],
        **dict(zip("ijk", triangles.corners.T.astype(np.int32), strict=True)),
        "intensitymode": "cell",
        "showscale": False,
        "flatshading": True,
        "hoverinfo": "skip",
        "lighting": {"ambient": 0.72, "diffuse": 0.5, "specular": 0.03, "fresnel": 0.02},
        "lightposition": {"x": -4000, "y": -3000, "z": 9000},
    }
    lines = {
        "x": places[..., 0].ravel(),
        "y": places[..., 1].ravel(),
        "mode": "lines",
        "line": {"color": INK, "width": float(np.clip(60 / np.sqrt(p.n_regions), 0.6, 3.0))},
        "hoverinfo": "skip",
    }
    return mesh, lines


class Triangles(NamedTuple):
    """The regions as triangles around their first corners."""

    corners: Ints  # (T, 3): vertices
    regions: Ints  # (T,)


def fan_triangles(p: Partition) -> Triangles:
    """Cut the regions into triangles."""
    counts = np.diff(p.region_offsets) - 2
    regions = np.repeat(np.arange(p.n_regions), counts)
    first = p.region_offsets[:-1][regions]
    within = np.arange(len(regions)) - np.repeat(np.cumsum(counts) - counts, counts)
    loops = np.column_stack([first, first + within + 1, first + within + 2])
    return Triangles(p.region_vertices[loops], regions)


def _frames(p: Partition, folds: list[Fold]) -> list[dict[str, Any]]:
    """The folds, with frames between them as far as there is room."""
    regions = fan_triangles(p).regions
    colours = [pattern_colours(p, n_layers=fold.n_layers) for fold in folds]
    palette, flat_places = as_palette(np.concatenate(colours))
    places = flat_places.reshape(len(folds), p.n_regions)
    n_between = _frames_between(p, len(folds))
    frames = []
    for number, fold in enumerate(folds):
        look = {
            "intensity": places[number][regions],
            "colorscale": _stepped(palette),
            "cmin": -0.5,
            "cmax": len(palette) - 0.5,
        }
        low, high = _range_of(fold)
        layout = {"scene": {"zaxis": {"range": [low, high]}}}
        for step in range(1, n_between + 1) if number else ():
            share = step / (n_between + 1)
            before, after = folds[number - 1], fold
            level = (1 - share) * _level(before) + share * _level(after)
            heights = low + (high - low) * level
            frames.append(_frame(f"{number - 1 + share:.2f}", p, fold, heights, look, layout))
        frames.append(_frame(str(number), p, fold, fold.heights, look, layout))
    return frames


def _frames_between(p: Partition, n_folds: int) -> int:
    size = 8 * p.n_vertices + 12 * p.n_edges + 2 * p.n_regions
    return min(MOST_BETWEEN, BETWEEN_BYTES // (size * (n_folds - 1)))


def _frame(
    name: str, p: Partition, fold: Fold, heights: Floats, look: dict[str, Any], layout: Any
) -> dict[str, Any]:
    """The facets and the lines at some heights; edges that are no folds yet have none."""
    lines = np.full((p.n_edges, 3), np.nan, np.float32)
    shown = p.edge_layers < fold.n_layers
    lines[shown, :2] = heights[p.edges[shown]]
    return {"name": name, "data": ({"z": heights, **look}, {"z": lines.ravel()}), "layout": layout}


def _range_of(fold: Fold) -> tuple[float, float]:
    low, high = float(fold.heights.min()), float(fold.heights.max())
    return (low, high) if low < high else (low - 1.0, high + 1.0)


def _level(fold: Fold) -> Floats:
    """Heights from 0 to 1."""
    low, high = _range_of(fold)
    return (fold.heights - low) / (high - low)


def _stepped(palette: list[str]) -> list[list[Any]]:
    """A colour scale that shows colour i from i - 0.5 to i + 0.5."""
    n = len(palette)
    return [[end / n, colour] for i, colour in enumerate(palette) for end in (i, i + 1)]


def _layout(p: Partition, folds: list[Fold], names: list[str]) -> dict[str, Any]:
    sides = np.ptp(p.slice.polygon, axis=0) / np.ptp(p.slice.polygon, axis=0).max()
    hidden = {"visible": False, "showspikes": False}
    still = {"frame": {"duration": 0, "redraw": True}, "mode": "immediate"}
    moving = {
        "frame": {"duration": MILLISECONDS, "redraw": True},
        "transition": {"duration": 0},
        "fromcurrent": True,
    }
    low, high = _range_of(folds[0])
    steps = [
        {"label": fold.name, "method": "animate", "args": [[str(number)], still]}
        for number, fold in enumerate(folds)
    ]
    font = {"family": "system-ui, Helvetica, Arial, sans-serif", "size": 13, "color": INK}
    return {
        "template": None,
        "font": font,
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "showlegend": False,
        "scene": {
            "xaxis": hidden,
            "yaxis": hidden,
            "zaxis": {**hidden, "range": [low, high]},
            "aspectmode": "manual",
            "aspectratio": {"x": sides[0], "y": sides[1], "z": RELIEF},
            "camera": {
                "eye": {"x": -0.65, "y": -1.2, "z": 0.95},
                "projection": {"type": "orthographic"},
            },
        },
        "sliders": [
            {"steps": steps, "x": 0.14, "len": 0.8, "y": 0.1, "currentvalue": {"visible": False}}
        ],
        "updatemenus": [
            {
                "type": "buttons",
                "x": 0.04,
                "y": 0.1,
                "xanchor": "left",
                "yanchor": "top",
                "showactive": False,
                "buttons": [{"label": "Fold", "method": "animate", "args": [names, moving]}],
            }
        ],
    }
