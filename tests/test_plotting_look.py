"""The look of pictures: palettes, colour maps, themes, figures."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgba

import splinecam as sc
from pictures import (
    DEUTERANOPIA,
    PROTANOPIA,
    TRITANOPIA,
    blank_axes,
    classifier_partition,
    oklab,
)
from splinecam.plotting import (
    _style,
    new_figure,
)

p = pytest.fixture(scope="module")(classifier_partition)
ax = pytest.fixture(blank_axes)


@pytest.mark.parametrize("palette", [_style.LIGHT.regions, _style.LIGHT.classes])
@pytest.mark.parametrize("vision", [np.eye(3), DEUTERANOPIA, PROTANOPIA, TRITANOPIA])
def test_palettes_are_light_and_told_apart(palette, vision):
    colours = np.array([to_rgba(colour)[:3] for colour in palette])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(vision), 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    distances = np.linalg.norm(oklab(seen)[:, None] - oklab(seen), axis=2)
    assert distances[np.triu_indices(len(palette), 1)].min() > 0.05
    assert oklab(colours)[:, 0].min() > 0.7


def test_colour_maps_are_perceptually_uniform():
    for cmap, halves in ((_style.SEQUENTIAL, 1), (_style.DIVERGING, 2)):
        path = oklab(cmap(np.arange(256))[:, :3])
        for half in np.split(path, halves):
            steps = np.linalg.norm(np.diff(half, axis=0), axis=1)
            assert steps.max() < 1.15 * steps.min()
            lightness = np.diff(half[:, 0])
            assert (lightness < 0).all() or (lightness > 0).all()


def test_figures_have_the_widths_of_papers():
    figure, axes = new_figure()
    assert figure.get_size_inches().tolist() == [3.5, 3.5]
    assert axes.shape == (1,)
    figure, axes = new_figure(panels=3, width="page")
    assert figure.get_size_inches().tolist() == pytest.approx([7.2, 2.4])
    assert [ax.figure for ax in axes] == [figure] * 3


def test_wrong_figures_are_refused():
    with pytest.raises(sc.InvalidArgumentError, match="width is 'wide'; accepted: 'column' or"):
        new_figure(width="wide")
    with pytest.raises(sc.InvalidArgumentError, match="panels is 0; accepted: an integer >= 1"):
        new_figure(panels=0)
