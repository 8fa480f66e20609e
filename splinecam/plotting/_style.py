"""The look that all pictures share: inks, palettes, line widths and type sizes.

Handed to each artist, never to rcParams.
"""

from __future__ import annotations

INK = "#20252e"
"""Lines and text."""

HALO = "white"
"""Around lines and points that lie on a picture."""

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
"""Of activation patterns: muted, and told apart with any kind of colour vision."""

CLASS_COLOURS = (
    "#b999b1",
    "#d19660",
    "#6fabe0",
    "#89c39a",
    "#bfb9fe",
    "#fdadc9",
    "#d9cc7e",
    "#cae2ff",
    "#a5ffdb",
    "#fdf1a2",
)
"""Of classes, likewise; used again from the start if there are more classes."""

SEQUENTIAL = "viridis"
DIVERGING = "RdBu_r"

LABEL_SIZE = 8.0
"""Points."""

TICK_SIZE = 7.0
"""Points."""

RASTERISE_ABOVE = 20_000
"""With more paths than this, a collection is an image inside vector files."""
