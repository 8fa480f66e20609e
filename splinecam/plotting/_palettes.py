"""Colours of many things as a short list, and which of them each has."""

from __future__ import annotations

import numpy as np
from matplotlib.colors import to_hex
from numpy.typing import NDArray


def as_palette(colours: NDArray[np.float64]) -> tuple[list[str], NDArray[np.uint8]]:
    """Split colours (n, 4), at most 256 different ones, into these and the places of each.

    Examples
    --------
    >>> palette, places = as_palette(np.array([[1, 0, 0, 1], [0, 0, 1, 1], [1, 0, 0, 1.0]]))
    >>> [palette[place] for place in places]
    ['#ff0000', '#0000ff', '#ff0000']
    """
    packed = np.ascontiguousarray(np.round(255 * colours).astype(np.uint8)).view(np.uint32)
    _, first, places = np.unique(packed.ravel(), return_index=True, return_inverse=True)
    return [to_hex(tuple(colours[i].tolist())) for i in first], places.astype(np.uint8)
