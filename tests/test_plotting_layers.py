"""Pictures of how layers subdivide, and of several partitions side by side."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
import torch
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import CenteredNorm, LogNorm, to_hex
from torch import nn

import splinecam as sc
from pictures import SQUARE, classifier, classifier_partition, draw, mlp
from splinecam.plotting import _style, plot_comparison, plot_layers
from splinecam.plotting._levels import level_polygons

p = pytest.fixture(scope="module")(classifier_partition)


def zero_bias() -> nn.Sequential:
    model = mlp(2, 7, 7, 7, 1)
    with torch.no_grad():
        for layer in model[::2]:
            layer.bias.zero_()
    return model


@pytest.mark.parametrize("model", [mlp(2, 12, 12, 12, 2, seed=3), zero_bias()])
@pytest.mark.parametrize("slice_", [SQUARE, SQUARE.with_regular_polygon(7, 1.3, center=(0.2, 0))])
def test_levels_are_the_partitions_by_the_first_layers(model, slice_):
    p = sc.compute_partition(model, slice_)
    for n_layers in (1, 2, 3):
        level = level_polygons(p, n_layers)
        alone = sc.compute_partition(model[: 2 * n_layers], slice_)
        loops = np.split(level.vertices, level.offsets[1:-1])
        polygons = [shapely.Polygon(loop) for loop in loops]
        assert len(polygons) == alone.n_regions
        assert np.allclose([polygon.area for polygon in polygons], level.areas, atol=1e-12)
        for polygon, member, area in zip(polygons, level.members, level.areas, strict=True):
            inside = p.centroids[member]
            assert polygon.distance(shapely.Point(inside)) < 1e-12
            assert np.isclose(area, alone.areas[alone.locate([inside])[0]], rtol=1e-9)


def test_each_layer_has_a_panel_as_if_it_were_the_last(p):
    figure = plot_layers(p)
    assert figure.get_size_inches()[0] == 7.2
    titles = [ax.get_title(loc="left") for ax in figure.axes]
    counts = sc.layer_statistics(p)["n_regions"]
    assert titles == [f"layer 0: {counts[0]} regions", f"layers 0–1: {counts[1]} regions"]
    alone = sc.compute_partition(classifier()[:2], SQUARE)
    regions, folds = figure.axes[0].collections
    assert isinstance(regions, PolyCollection)
    assert isinstance(folds, LineCollection)
    found = [shapely.Polygon(path.vertices).point_on_surface() for path in regions.get_paths()]
    places = alone.locate(shapely.get_coordinates(found))
    assert sorted(places) == list(range(alone.n_regions))
    from splinecam.plotting._patterns import pattern_colours

    assert np.array_equal(regions.get_facecolor(), pattern_colours(alone)[places])


def test_last_panel_is_the_partition_with_the_last_folds(p):
    regions, folds = plot_layers(p, width="column").axes[-1].collections
    assert len(regions.get_paths()) == p.n_regions
    assert len(folds.get_segments()) == (p.edge_layers == 1).sum()
    assert {to_hex(colour) for colour in folds.get_color()} == {_style.LIGHT.accent}


def test_many_layers_take_several_rows():
    p = sc.compute_partition(mlp(2, *[3] * 6, 1), SQUARE)
    for width, columns in (("page", 4), ("column", 2)):
        figure = plot_layers(p, width=width, dark=True)
        assert len(figure.axes) == 6
        boxes = [ax.get_subplotspec() for ax in figure.axes]
        assert boxes[0].get_gridspec().ncols == columns
        assert to_hex(figure.get_facecolor()) == _style.DARK.paper
        draw(figure.axes[0])
        # Narrow panels have titles of two lines.
        titles = [ax.get_title(loc="left") for ax in figure.axes]
        assert titles[0].startswith("layer 0\n")
        assert titles[5] == f"layers 0–5\n{p.n_regions:,} regions"


def test_partitions_without_layers_are_refused():
    with pytest.raises(sc.InvalidArgumentError, match="p has no layers; accepted: a partition"):
        plot_layers(sc.compute_partition(nn.Linear(2, 1), SQUARE))
    with pytest.raises(sc.InvalidArgumentError, match="width is 'wide'; accepted: 'column' or"):
        plot_layers(classifier_partition(), width="wide")


# plot_comparison


@pytest.fixture(scope="module")
def several() -> list[sc.Partition]:
    return [sc.compute_partition(mlp(2, n, n, 2, seed=n), SQUARE) for n in (4, 9, 14)]


@pytest.mark.parametrize("color", ["area", "slope", "output", "depth"])
def test_numbers_share_a_scale_and_a_bar(several, color):
    figure = plot_comparison(several, color=color, titles=["a", "b", "c"])
    *panels, bar = figure.axes
    drawn = [ax.collections[0] for ax in panels]
    assert len(drawn) == 3
    assert [ax.get_title(loc="left") for ax in panels] == ["a", "b", "c"]
    assert len({regions.norm for regions in drawn}) == len({r.cmap.name for r in drawn}) == 1
    assert len({regions.get_linewidth()[0] for regions in drawn}) == 1
    values = np.concatenate([regions.get_array() for regions in drawn])
    draw(panels[0])
    assert drawn[0].norm.vmax >= values.max()
    if isinstance(drawn[0].norm, CenteredNorm):
        assert drawn[0].norm.vmin == -drawn[0].norm.vmax
    elif not isinstance(drawn[0].norm, LogNorm):
        assert drawn[0].norm.vmin <= values.min()
    box = bar.get_window_extent()
    assert box.x0 > panels[-1].get_window_extent().x1
    assert bar.get_tightbbox().x1 <= figure.bbox.x1


def test_bars_span_all_rows(several):
    figure = plot_comparison(several, color="slope", columns=2, width="column")
    draw(figure.axes[0])
    *panels, bar = [ax.get_window_extent() for ax in figure.axes]
    assert bar.y1 == pytest.approx(panels[0].y1)
    assert bar.y0 == pytest.approx(panels[2].y0)
    assert panels[1].y0 > panels[2].y1
    # Rows are no further apart than they must be.
    assert panels[1].y0 - panels[2].y1 < 0.15 * panels[0].height


def test_patterns_and_plain_colours_need_no_bar(several):
    for color in ("pattern", "tab:blue", (0.1, 0.2, 0.3)):
        assert len(plot_comparison(several, color=color).axes) == 3


def test_own_numbers_come_as_one_array_each(several):
    values = [np.arange(p.n_regions) + 10.0 * i for i, p in enumerate(several)]
    figure = plot_comparison(several, color=values, dark=True)
    for ax, expected in zip(figure.axes, values, strict=False):
        assert np.array_equal(ax.collections[0].get_array(), expected)
        assert ax.collections[0].get_clim() == (0, max(map(np.max, values)))


def test_panels_have_the_limits_of_their_slices():
    wide = sc.Slice.box((3, 7), (0, 2))
    partitions = [sc.compute_partition(mlp(2, 4, 1), slice_) for slice_ in (SQUARE, wide)]
    figure = plot_comparison(partitions)
    draw(figure.axes[0])
    assert [ax.get_xlim() for ax in figure.axes] == [(-1, 1), (3, 7)]
    assert [ax.get_ylim() for ax in figure.axes] == [(-1, 1), (0, 2)]


def test_wrong_comparisons_are_refused(several):
    for wrong in ([], several[0], [several[0], None]):
        with pytest.raises(sc.InvalidArgumentError, match=r"partitions is .* a list of one"):
            plot_comparison(wrong)
    with pytest.raises(sc.InvalidArgumentError, match="titles are 2; accepted: one for each of"):
        plot_comparison(several, titles=["a", "b"])
    with pytest.raises(sc.InvalidArgumentError, match="columns is 0; accepted: an integer >= 1"):
        plot_comparison(several, columns=0)
    with pytest.raises(sc.InvalidArgumentError, match="color is a ndarray; accepted: a name"):
        plot_comparison(several, color=np.zeros(3))
    with pytest.raises(sc.InvalidArgumentError, match="color is 'aera'; accepted"):
        plot_comparison(several, color="aera")
