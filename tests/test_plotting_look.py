"""The look of pictures: palettes, colour maps, themes, figures."""

from __future__ import annotations

import io

import numpy as np
import pytest
from matplotlib.colors import same_color, to_hex, to_rgba
from matplotlib.figure import Figure
from torch import nn

import splinecam as sc
from pictures import (
    DEUTERANOPIA,
    PROTANOPIA,
    TRITANOPIA,
    classifier_partition,
    draw,
    oklab,
)
from splinecam.measures.boundary import decision_boundary
from splinecam.plotting import (
    _style,
    mark_coordinates,
    mark_scale,
    new_figure,
    plot_classes,
    plot_decision_boundary,
    plot_edges,
    plot_graph,
    plot_partition,
)

p = pytest.fixture(scope="module")(classifier_partition)


@pytest.mark.parametrize("kind", ["regions", "classes", "series"])
@pytest.mark.parametrize("vision", [np.eye(3), DEUTERANOPIA, PROTANOPIA, TRITANOPIA])
@pytest.mark.parametrize("theme", [_style.LIGHT, _style.DARK])
def test_palettes_are_told_apart(theme, kind, vision):
    colours = np.array([to_rgba(colour)[:3] for colour in getattr(theme, kind)])
    linear = np.where(colours <= 0.04045, colours / 12.92, ((colours + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ np.transpose(vision), 0, 1)
    seen = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    distances = np.linalg.norm(oklab(seen)[:, None] - oklab(seen), axis=2)
    assert distances[np.triu_indices(len(colours), 1)].min() > 0.05


@pytest.mark.parametrize("theme", [_style.LIGHT, _style.DARK])
def test_palettes_stand_off_from_what_lies_on_them(theme):
    def lightness(colours):
        return oklab(np.array([to_rgba(colour)[:3] for colour in colours]))[:, 0]

    (ink,), (paper,) = lightness([theme.ink]), lightness([theme.paper])
    assert abs(ink - paper) > 0.7
    for palette in (theme.regions, theme.classes):
        assert np.abs(lightness(palette) - ink).min() > 0.3
    assert np.abs(lightness(theme.series) - paper).min() > 0.25
    lines = oklab(theme.lines(np.arange(256))[:, :3])[:, 0]
    assert np.abs(lines - paper).min() > 0.2


def test_colour_maps_are_perceptually_uniform():
    lines = [(theme.lines, 1) for theme in (_style.LIGHT, _style.DARK)]
    for cmap, halves in ((_style.SEQUENTIAL, 1), (_style.DIVERGING, 2), *lines):
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


def test_figures_can_be_dark():
    figure, (ax,) = new_figure(dark=True)
    assert to_hex(figure.get_facecolor()) == _style.DARK.paper
    assert _style.theme_of(ax) is _style.DARK
    assert to_hex(new_figure()[0].get_facecolor()) == _style.LIGHT.paper


@pytest.mark.parametrize(
    ("background", "theme"),
    [
        ("black", _style.DARK),
        ("#303030", _style.DARK),
        ("white", _style.LIGHT),
        ("0.9", _style.LIGHT),
        ((0, 0, 0, 0), _style.LIGHT),
    ],
)
def test_inks_suit_the_figure_s_background(p, background, theme):
    ax = Figure(facecolor=background).subplots()
    regions = plot_partition(p, ax=ax)
    colours = {to_hex(colour) for colour in regions.get_facecolor()}
    assert colours == set(theme.regions)
    assert same_color(regions.get_edgecolor()[0], theme.edge)
    assert same_color(ax.spines["left"].get_edgecolor(), theme.ink)
    assert same_color(plot_decision_boundary(p, ax=ax).get_color()[0], theme.ink)


def test_sequential_maps_turn_round_on_dark_pages(p):
    for color, turns in (("slope", True), ("area", True), ("output", False)):
        maps = [
            plot_partition(p, ax=new_figure(dark=dark)[1][0], color=color).cmap
            for dark in (False, True)
        ]
        assert np.allclose(maps[0](range(256)), maps[1](range(256))[:: -1 if turns else 1])


@pytest.mark.parametrize("dark", [False, True])
def test_the_same_partition_is_the_same_picture(dark):
    pictures = []
    for _ in range(2):
        p = classifier_partition()
        figure, axes = new_figure(panels=4, width="page", dark=dark)
        plot_partition(p, ax=axes[0])
        plot_edges(p, ax=axes[1])
        plot_graph(p, ax=axes[2])
        plot_classes(decision_boundary(p), ax=axes[3])
        plot_decision_boundary(p, ax=axes[3])
        mark_scale(ax=axes[3])
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=100)
        pictures.append(buffer.getvalue())
    assert pictures[0] == pictures[1]


# Hints at the scale


@pytest.mark.parametrize("side", [0.007, 1.0, 3.0, 45.0, 2e6])
def test_bars_have_a_round_length(side):
    slice_ = sc.Slice.box((0, side), (0, side))
    _, (ax,) = new_figure()
    plot_partition(sc.compute_partition(nn.Linear(2, 1), slice_), ax=ax)
    bar = mark_scale(ax=ax)
    length = float(bar.txt_label.get_text())
    assert 0.1 * side <= length <= 0.3 * side
    digits = f"{length:.0e}"[0]
    assert digits in "125"
    draw(ax)
    frame, box = ax.get_window_extent(), bar.get_window_extent()
    assert box.y1 <= frame.y0
    (rectangle,) = bar.size_bar.get_children()
    shown = rectangle.get_window_extent().width / frame.width
    assert shown == pytest.approx(length / side, rel=1e-2)


def test_coordinates_are_those_of_the_plane():
    _, (ax,) = new_figure(dark=True)
    plot_partition(sc.compute_partition(nn.Linear(2, 1), sc.Slice.box((0, 2), (5, 7))), ax=ax)
    assert mark_coordinates(ax=ax) is ax
    ticks = ax.get_yticks()
    assert len(ticks[(ticks >= 5) & (ticks <= 7)]) >= 3
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("u", "v")
    assert same_color(ax.get_xticklabels()[0].get_color(), _style.DARK.ink)


@pytest.mark.parametrize("mark", [mark_scale, mark_coordinates])
def test_empty_axes_have_no_scale(mark):
    with pytest.raises(sc.InvalidArgumentError, match="ax is empty; accepted: axes with a picture"):
        mark(ax=Figure().subplots())
