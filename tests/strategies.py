"""Hypothesis strategies: polygons, networks in general position, and small degenerate ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from families import ACTIVATIONS, SQUARE, build, gaussian, linear


@st.composite
def polygons(draw: st.DrawFn, max_corners: int = 8) -> np.ndarray:
    """Draw (n, 2) corners, none of them nearly flat, of a convex polygon, counter-clockwise.

    They lie on an ellipse of axes within a factor of four, a quarter of their mean distance or
    less away from where a regular polygon would have them.
    """
    n = draw(st.integers(3, max_corners))
    shift = draw(arrays(np.float64, n, elements=st.floats(-0.25, 0.25)))
    long_axis, short_axis = draw(st.floats(0.5, 2)), draw(st.floats(0.5, 2))
    turn = draw(st.floats(0, np.pi))
    centre = draw(arrays(np.float64, 2, elements=st.floats(-2, 2)))
    angles = (np.arange(n) + shift) * (2 * np.pi / n)
    corners = np.stack([long_axis * np.cos(angles), short_axis * np.sin(angles)], axis=1)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return corners @ rotation + centre


@st.composite
def networks(
    draw: st.DrawFn,
    polygon: np.ndarray = SQUARE,
    *,
    max_depth: int = 3,
    max_width: int = 7,
    activations: Sequence[str] = tuple(ACTIVATIONS),
) -> nn.Sequential:
    """Draw a network of two inputs and outputs whose units vanish somewhere in the polygon."""
    widths = draw(st.lists(st.integers(1, max_width), min_size=1, max_size=max_depth))
    chosen = [draw(st.sampled_from(activations)) for _ in widths]
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    return build(rng, polygon, [gaussian] * len(widths), widths, chosen)


@st.composite
def sliced_networks(draw: st.DrawFn) -> tuple[nn.Sequential, np.ndarray]:
    """Draw a polygon and a network in general position on it."""
    polygon = draw(polygons())
    return draw(networks(polygon)), polygon


@st.composite
def integer_networks(
    draw: st.DrawFn,
    *,
    max_depth: int = 3,
    max_width: int = 4,
    largest: int = 2,
    activations: Sequence[str] = ("relu", "abs", "hardtanh"),
) -> nn.Sequential:
    """Draw a network of two inputs and one output with small integer weights and biases.

    Its lines coincide, meet in one point and pass through the corners of integer polygons more
    often than not.
    """
    widths = draw(st.lists(st.integers(1, max_width), min_size=1, max_size=max_depth))
    modules: list[nn.Module] = []
    for fan_in, width in zip([2, *widths], [*widths, 1], strict=True):
        numbers = draw(
            arrays(np.int64, (width, fan_in + 1), elements=st.integers(-largest, largest))
        )
        modules.append(linear(numbers[:, 1:], numbers[:, 0], torch.float64))
        name = draw(st.sampled_from(activations))
        modules.append(ACTIVATIONS[name](np.random.default_rng(0), width))
    return nn.Sequential(*modules[:-1])
