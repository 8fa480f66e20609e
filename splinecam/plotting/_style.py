"""The look that all pictures share: inks, palettes, colour maps, widths and sizes of type.

It is handed to each artist; matplotlib's rcParams are neither read nor set. What depends on the
page is in a `Theme`; `theme_of` finds the one that suits the figure of some axes.
"""

from __future__ import annotations

from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.colors import Colormap, LinearSegmentedColormap, to_rgba

INK = "#20252e"
"""Colour of lines and text on a light page."""


class Theme(NamedTuple):
    """What pictures on a light page and on a dark one do not share."""

    paper: str
    """Colour of the page, and around lines and points that lie on a picture."""
    ink: str
    """Colour of text, frames and what lies on a picture."""
    edge: str
    """Colour of the edges between polygons."""
    ground: str
    """Colour of polygons that only are the ground for something else."""
    faint: str
    """Colour of the edges of that ground."""
    accent: str
    """Colour of what a picture is about."""
    regions: tuple[str, ...]
    """Colours of activation patterns: muted, told apart with any kind of colour vision."""
    classes: tuple[str, ...]
    """Colours of classes, told apart likewise."""
    series: tuple[str, ...]
    """Colours of curves and points, told apart likewise."""
    lines: Colormap
    """For lines on the page, in equal steps of OKLab (B. Ottosson, 2020)."""


SEQUENTIAL = LinearSegmentedColormap.from_list(
    "splinecam.sequential",
    [
        *("#fbf3dd", "#d6dfb8", "#a7cdad", "#7fb7af", "#5d9fb5"),
        *("#4485ad", "#3b699d", "#344e83", "#2c3666"),
    ],
)
"""From sand to navy, in equal steps of OKLab (B. Ottosson, 2020)."""

DIVERGING = LinearSegmentedColormap.from_list(
    "splinecam.diverging",
    [
        *("#23406e", "#345e90", "#4c7cb0", "#6f9bca", "#98badb", "#c4d8e8", "#f6f3ec"),
        *("#efd0b5", "#e1ac89", "#d08865", "#b46846", "#954b2f", "#75301f"),
    ],
)
"""From blue over white to rust, in equal steps of OKLab on either side."""


LIGHT = Theme(
    paper="#ffffff",
    ink=INK,
    edge=INK,
    ground="#f4f3ef",
    faint="#989da6",
    accent="#b3402a",
    regions=(
        *("#86a9d6", "#b9d6f2", "#e3f2fa", "#fbecc9"),
        *("#e3bd86", "#c0a792", "#93c2bb", "#d3d9bf"),
    ),
    classes=(
        *("#a4bed9", "#e9c7ad", "#9dded1", "#e2aab5", "#d6e8b5"),
        *("#d1c6f7", "#f9ffca", "#c1e5fe", "#bdc08c", "#ffe6df"),
    ),
    series=(
        *("#34558a", "#bc5b02", "#3c9e90", "#8d3a55", "#a1a61b"),
        *("#7a6cbe", "#6c5309", "#49b3dc", "#34330c", "#916a63"),
    ),
    lines=LinearSegmentedColormap.from_list(
        "splinecam.lines",
        [
            *("#21265f", "#392a6f", "#512d79", "#6a307f", "#83357f", "#9a3a7a", "#af4273"),
            *("#c24d68", "#d15b5d", "#dc6d52", "#e3814b", "#e5964c", "#e4ac59"),
        ],
    ),
)

DARK = Theme(
    paper="#11151c",
    ink="#e6e8ec",
    edge="#0b0e13",
    ground="#1b212b",
    faint="#5c6675",
    accent="#ffb454",
    regions=(
        *("#052448", "#3d566e", "#6a777e", "#7e7151"),
        *("#5c3c00", "#392514", "#0e3e39", "#555a43"),
    ),
    classes=(
        *("#1a2f45", "#5b4029", "#0a5349", "#4a1e29", "#556436"),
        *("#493e67", "#808554", "#416177", "#242900", "#7e6963"),
    ),
    series=(
        *("#659dd1", "#e5a272", "#6fd1c1", "#cd8397", "#d4d567"),
        *("#bba9f8", "#f3f08a", "#3a5fd0", "#978e1c", "#b8402f"),
    ),
    lines=LinearSegmentedColormap.from_list(
        "splinecam.lines_dark",
        [
            *("#f8e8ab", "#fdd593", "#ffc183", "#ffad7d", "#fc9b7f", "#f38b87", "#e67e91"),
            *("#d5739b", "#c16ba3", "#aa66a9", "#9161a9", "#775ea4", "#5e5a9a"),
        ],
    ),
)


def on_page(cmap: Colormap, theme: Theme) -> Colormap:
    """Turn a map for light pages round for a dark one, so that what stood out still does."""
    return cmap if theme is LIGHT or cmap.name == DIVERGING.name else cmap.reversed()


def theme_of(ax: Axes) -> Theme:
    """Return the theme for axes: the dark one where their figure's background is dark."""
    red, green, blue, alpha = to_rgba(ax.figure.get_facecolor())
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    return DARK if alpha > 0.5 and luma < 0.5 else LIGHT


LABEL_SIZE = 8.0
"""Size of names, in points."""

TICK_SIZE = 7.0
"""Size of numbers along scales, in points."""

RASTERISE_ABOVE = 20_000
"""With more paths than this a collection is an image inside vector files."""

LINE_LAYER, POINT_LAYER, THUMBNAIL_LAYER = 3.0, 4.0, 5.0
"""The zorder of what lies on the polygons, whose own is 1."""
