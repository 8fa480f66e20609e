"""What the tests of pictures share: models, axes, pixels, colours as they are seen."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from torch import nn

import splinecam as sc

SQUARE = sc.Slice.box((-1, 1), (-1, 1))


def mlp(*widths: int, activation: type[nn.Module] = nn.ReLU, seed: int = 0) -> nn.Sequential:
    layers: list[nn.Module] = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out), activation()]
    return nn.Sequential(*layers[:-1])


def classifier() -> nn.Sequential:
    """A classifier whose three classes meet at the origin."""
    model = mlp(2, 16, 16, 3)
    with torch.no_grad():
        model[-1].bias -= model(torch.zeros(2))
    return model


def classifier_partition() -> sc.Partition:
    return sc.compute_partition(classifier(), SQUARE)


def blank_axes() -> Axes:
    return Figure(figsize=(3, 3)).subplots()


def draw(axes: Axes, dpi: float = 100) -> np.ndarray:
    """Draw the figure; return the pixels inside the axes."""
    axes.figure.set_dpi(dpi)
    canvas = FigureCanvasAgg(axes.figure)
    canvas.draw()
    box = axes.get_window_extent()
    pixels = np.asarray(canvas.buffer_rgba())[::-1]
    return pixels[round(box.y0) : round(box.y1), round(box.x0) : round(box.x1), :3]


def oklab(colours: np.ndarray) -> np.ndarray:
    """Coordinates in OKLab (B. Ottosson, 2020) of sRGB colours."""
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    cones = linear @ np.array(
        [
            [0.4122214708, 0.2119034982, 0.0883024619],
            [0.5363325363, 0.6806995451, 0.2817188376],
            [0.0514459929, 0.1073969566, 0.6299787005],
        ]
    )
    return np.cbrt(np.maximum(cones, 0)) @ np.array(
        [
            [0.2104542553, 1.9779984951, 0.0259040371],
            [0.7936177850, -2.4285922050, 0.7827717662],
            [-0.0040720468, 0.4505937099, -0.8086757660],
        ]
    )


# Colour vision without one kind of cones (Machado, Oliveira & Fernandes, IEEE TVCG 2009, severity
# 1), for linear RGB.
DEUTERANOPIA = [[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]
PROTANOPIA = [[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]
TRITANOPIA = [[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]
