"""The folded surface as an interactive page, by way of the optional package plotly."""

# The library of the extra may be missing where types are checked.
# pyright: reportMissingImports=false

from __future__ import annotations

from itertools import pairwise
from os import PathLike
from typing import Any, NamedTuple

import numpy as np
from matplotlib.colors import to_hex, to_rgba_array
from numpy.typing import NDArray

from splinecam.common.types import Floats, Ints
from splinecam.errors import InvalidArgumentError, SplineCamError
from splinecam.partition.partition import Partition
from splinecam.plotting._folds import (
    GLOW,
    RELIEF,
    SHADE,
    brightness,
    levels_of,
    range_of,
    sheet_heights,
)
from splinecam.plotting._pages import Page
from splinecam.plotting._palettes import as_palette
from splinecam.plotting._patterns import pattern_colours
from splinecam.plotting._style import INK

MOST_REGIONS = 50_000

BETWEEN_BYTES = 2**23
"""How much the frames between one fold and the next may take, about."""

MOST_BETWEEN = 8
"""Frames between one fold and the next."""

SIZE = 1.5
"""Of the sheet's longer side: with it the sheet fills most of the page."""

N_SHADES = 12
"""Of each colour."""

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
        "hoverinfo": "skip",
        # The shades are in the colours.
        "lighting": {"ambient": 1.0, "diffuse": 0.0, "specular": 0.0, "fresnel": 0.0},
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
    shades = np.linspace(SHADE, SHADE + GLOW, N_SHADES)
    look = {"colorscale": _stepped(palette, shades), "cmin": -0.5}
    look["cmax"] = look["cmin"] + len(palette) * N_SHADES
    n_between = _frames_between(p, len(folds))

    def frame(name: str, number: int, levels: Floats, heights: Floats) -> dict[str, Any]:
        lit = brightness(p, levels, p.region_offsets, p.region_vertices)
        lit = np.searchsorted(shades[:-1] + np.diff(shades) / 2, lit)
        mixed = (places[number] * N_SHADES + lit).astype(np.uint8)
        mesh = {"z": heights, "intensity": mixed[regions], **look}
        lines = {"z": _line_heights(p, folds[number].n_layers, heights)}
        layout = {"scene": {"zaxis": {"range": range_of(folds[number].heights)}}}
        return {"name": name, "data": (mesh, lines), "layout": layout}

    frames = [frame("0", 0, levels_of(folds[0].heights), folds[0].heights)]
    for number, (before, after) in enumerate(pairwise(folds), start=1):
        low, high = range_of(after.heights)
        for step in range(1, n_between + 1):
            share = step / (n_between + 1)
            levels = (1 - share) * levels_of(before.heights) + share * levels_of(after.heights)
            name = f"{number - 1 + share:.2f}"
            frames.append(frame(name, number, levels, low + (high - low) * levels))
        frames.append(frame(str(number), number, levels_of(after.heights), after.heights))
    return frames


def _frames_between(p: Partition, n_folds: int) -> int:
    size = 8 * p.n_vertices + 12 * p.n_edges + 2 * p.n_regions
    return min(MOST_BETWEEN, BETWEEN_BYTES // (size * (n_folds - 1)))


def _line_heights(p: Partition, n_layers: int, heights: Floats) -> NDArray[np.float32]:
    """Heights (3 E,) of both ends of each edge, and a gap; edges of later layers have none."""
    lines = np.full((p.n_edges, 3), np.nan, np.float32)
    shown = p.edge_layers < n_layers
    lines[shown, :2] = heights[p.edges[shown]]
    return lines.ravel()


def _stepped(palette: list[str], shades: Floats) -> list[list[Any]]:
    """A colour scale in equal steps: the first colour in all shades, then the second, and so on."""
    rgb = to_rgba_array(palette)[:, None, :3] * shades[:, None]
    steps = [to_hex((r, g, b)) for r, g, b in rgb.reshape(-1, 3).tolist()]
    return [[end / len(steps), c] for i, c in enumerate(steps) for end in (i, i + 1)]


def _layout(p: Partition, folds: list[Fold], names: list[str]) -> dict[str, Any]:
    sides = np.ptp(p.slice.polygon, axis=0) / np.ptp(p.slice.polygon, axis=0).max()
    hidden = {"visible": False, "showspikes": False}
    still = {"frame": {"duration": 0, "redraw": True}, "mode": "immediate"}
    moving = {
        "frame": {"duration": MILLISECONDS, "redraw": True},
        "transition": {"duration": 0},
        "fromcurrent": True,
    }
    low, high = range_of(folds[0].heights)
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
            "aspectratio": {"x": SIZE * sides[0], "y": SIZE * sides[1], "z": SIZE * RELIEF},
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
