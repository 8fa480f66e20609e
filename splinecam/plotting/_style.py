"""The look that all pictures share: inks, palettes, colour maps, widths and sizes of type.

It is handed to each artist; matplotlib's rcParams are neither read nor set.
"""

from __future__ import annotations

from matplotlib.colors import LinearSegmentedColormap

INK = "#20252e"
"""Colour of lines and text."""

HALO = "white"
"""Colour around lines and points that lie on a picture."""

REGION_COLOURS = (
    "#86a9d6",
    "#b9d6f2",
    "#e3f2fa",
    "#fbecc9",
    "#e3bd86",
    "#c0a792",
    "#93c2bb",
    "#d3d9bf",
)
"""Colours of activation patterns: light, muted, told apart with any kind of colour vision."""

CLASS_COLOURS = (
    "#a4bed9",
    "#e9c7ad",
    "#9dded1",
    "#e2aab5",
    "#d6e8b5",
    "#d1c6f7",
    "#f9ffca",
    "#c1e5fe",
    "#bdc08c",
    "#ffe6df",
)
"""Colours of classes, light and told apart likewise."""

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

LABEL_SIZE = 8.0
"""Size of names, in points."""

TICK_SIZE = 7.0
"""Size of numbers along scales, in points."""

RASTERISE_ABOVE = 20_000
"""With more paths than this a collection is an image inside vector files."""

LINE_LAYER, POINT_LAYER, THUMBNAIL_LAYER = 3.0, 4.0, 5.0
"""The zorder of what lies on the polygons, whose own is 1."""
