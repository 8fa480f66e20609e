"""Pictures of partitions: what the artists are, and a few facts about the pixels."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import product

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import LogNorm, Normalize, same_color, to_hex, to_rgba
from matplotlib.figure import Figure
from torch import nn

import splinecam as sc
from pictures import (
    SQUARE,
    blank_axes,
    classifier,
    classifier_partition,
    draw,
    mlp,
)
from splinecam.measures.boundary import decision_boundary
from splinecam.plotting import (
    _patterns,
    _polygons,
    _style,
    boundary,
    new_figure,
    plot_classes,
    plot_decision_boundary,
    plot_partition,
    plot_thumbnails,
)

model = pytest.fixture(scope="module")(classifier)
p = pytest.fixture(scope="module")(classifier_partition)
ax = pytest.fixture(blank_axes)


@pytest.fixture
def current_axes() -> Iterator[Axes]:
    with mpl.rc_context({"backend": "Agg"}):
        figure, axes = plt.subplots()
        yield axes
        plt.close(figure)


def test_draws_each_region_as_one_path_in_order(p, ax):
    regions = plot_partition(p, ax=ax)
    assert isinstance(regions, PolyCollection)
    assert regions.axes is ax
    assert ax.collections[:] == [regions]
    paths = regions.get_paths()
    assert len(paths) == p.n_regions
    for path, polygon in zip(paths, p.polygons, strict=True):
        assert np.array_equal(path.vertices, polygon.exterior.coords)


def test_axes_have_the_slice_s_limits_and_equal_aspect(ax):
    hexagon = SQUARE.with_regular_polygon(6, 2.0, center=(5.0, 0.0))
    plot_partition(sc.compute_partition(mlp(2, 4, 1), hexagon), ax=ax)
    assert ax.get_aspect() == 1
    assert np.allclose([ax.get_xlim(), ax.get_ylim()], [(3, 7), (-(3**0.5), 3**0.5)])
    assert list(ax.get_xticks()) == list(ax.get_yticks()) == []
    assert not any(spine.get_visible() for spine in ax.spines.values())


def test_boxes_are_framed(p, ax):
    plot_partition(p, ax=ax)
    assert all(spine.get_visible() for spine in ax.spines.values())


def test_current_axes_are_the_default(p, current_axes):
    assert plot_partition(p).axes is current_axes
    assert plot_decision_boundary(p).axes is current_axes
    assert plot_classes(decision_boundary(p)).axes is current_axes


def test_global_state_stays_as_it_was(p, ax):
    settings, figures = mpl.rcParams.copy(), plt.get_fignums()
    state, torch_state = np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    plot_partition(p, ax=ax, color="area")
    plot_decision_boundary(p, ax=ax)
    plot_thumbnails(np.zeros((1, 8, 8)), [(0, 0)], ax=ax)
    draw(ax)
    assert mpl.rcParams == settings
    assert plt.get_fignums() == figures
    assert str(np.random.get_state()) == str(state)  # noqa: NPY002
    assert torch.equal(torch.get_rng_state(), torch_state)


def test_neighbours_have_different_colours(p, ax):
    colours = plot_partition(p, ax=ax).get_facecolor()
    left, right = p.edge_regions[p.edge_regions[:, 1] >= 0].T
    assert len(left) > 100
    assert (colours[left] != colours[right]).any(axis=1).all()
    used = {to_hex(colour) for colour in colours}
    assert used == set(_style.LIGHT.regions)


def test_neighbours_that_differ_in_several_units_have_different_colours(ax):
    """Of many sets of coinciding units some leave the sum of their steps at a multiple of 8."""
    alike = 0
    for seed, copies in product(range(3), (2, 3, 4)):
        model = mlp(2, 10 * copies, 2, seed=seed)
        with torch.no_grad():
            for values in (model[0].weight, model[0].bias):
                values[10:] = values[:10].repeat(copies - 1, *[1] * (values.ndim - 1))
        p = sc.compute_partition(model, SQUARE)
        colours = plot_partition(p, ax=ax).get_facecolor()
        left, right = p.edge_regions[p.edge_regions[:, 1] >= 0].T
        assert (colours[left] != colours[right]).any(axis=1).all()
        steps = _patterns._unit_steps(p.layer_sizes, 8)
        sums = p.patterns().astype(int) @ steps % 8
        alike += (sums[left] == sums[right]).sum()
    assert alike > 0


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Hardtanh])
def test_pattern_colours_are_those_of_the_patterns_written_down(activation):
    p = sc.compute_partition(mlp(2, 12, 12, 2, activation=activation), SQUARE)
    steps = _patterns._unit_steps(p.layer_sizes, 8)
    places = p.patterns().astype(int) @ steps % len(_style.LIGHT.regions)
    expected = [to_rgba(_style.LIGHT.regions[place]) for place in places]
    assert np.array_equal(_patterns.pattern_colours(p), expected)


def test_a_pattern_has_the_same_colour_on_other_slices(model, p):
    other = sc.compute_partition(model, sc.Slice.box((0.1, 0.8), (-0.7, 0.3)))
    colours = {}
    for partition in (p, other):
        found = map(to_hex, _patterns.pattern_colours(partition))
        for pattern, colour in zip(partition.patterns(), found, strict=True):
            colours.setdefault(pattern.tobytes(), []).append(colour)
    common = [pair for pair in colours.values() if len(pair) == 2]
    assert len(common) > 20
    assert all(first == second for first, second in common)


def test_unit_steps_stay_the_same_for_ever():
    assert _patterns._unit_steps((4, 0, 3), 8).tolist() == [3, 2, 2, 2, 5, 3, 7]


def test_areas_come_on_a_log_scale_that_leaves_slivers_unresolved(p, ax):
    regions = plot_partition(p, ax=ax, color="area")
    assert np.array_equal(regions.get_array(), p.areas)
    assert isinstance(regions.norm, LogNorm)
    assert regions.norm.vmax == p.areas.max()
    assert 0.5 < 100 * p.areas[p.areas < regions.norm.vmin].sum() / p.areas.sum() <= 1
    assert regions.colorbar.extend == "min"


def test_slopes_and_outputs_are_the_model_s(model, p, ax):
    points = torch.tensor(p.centroids, dtype=torch.float32).requires_grad_()
    outputs = model(points)
    gradients = [torch.autograd.grad(y.sum(), points, retain_graph=True)[0] for y in outputs.T]
    norms = torch.stack(gradients).square().sum(dim=(0, 2)).sqrt()
    slope = plot_partition(p, ax=ax, color="slope").get_array()
    assert np.allclose(slope, norms, rtol=1e-4)
    output = plot_partition(p, ax=ax, color="output").get_array()
    assert np.allclose(output, outputs[:, 0].detach(), atol=1e-5)


def test_outputs_of_both_signs_are_white_at_zero(ax):
    model = mlp(2, 8, 1)
    for shift, cmap in ((0.0, _style.DIVERGING), (10.0, _style.SEQUENTIAL)):
        with torch.no_grad():
            model[-1].bias += shift - model(torch.zeros(2))
        p = sc.compute_partition(model, SQUARE)
        values = plot_partition(p, ax=ax, color="output")
        assert values.cmap.name == cmap.name
        assert values.colorbar.ax.get_ylabel() == "output"
        low, high = values.get_clim()
        assert (low == -high) == (cmap is _style.DIVERGING)


def test_depth_is_the_last_layer_around_each_region(p, ax):
    regions = plot_partition(p, ax=ax, color="depth")
    for region, depth in enumerate(regions.get_array()):
        edges = (p.edge_regions == region).any(axis=1)
        assert depth == p.edge_layers[edges].max()
    ticks = regions.colorbar.get_ticks()
    assert np.array_equal(ticks, np.round(ticks))


def test_any_scalar_is_drawn_as_it_came(p, ax):
    values = np.arange(p.n_regions)
    regions = plot_partition(p, ax=ax, color=values, cmap="magma", norm=Normalize(10, 20))
    assert np.array_equal(regions.get_array(), values)
    assert regions.cmap.name == "magma"
    assert regions.get_clim() == (10, 20)
    assert regions.colorbar.extend == "both"
    assert regions.colorbar.ax.get_ylabel() == ""
    assert plot_partition(p, ax=ax, color=torch.from_numpy(values)).get_clim()[1] == values[-1]


@pytest.mark.parametrize(
    ("color", "label"),
    [
        ("area", "area"),
        ("slope", "slope norm"),
        ("output", "output 0"),
        ("depth", "deepest layer"),
    ],
)
@pytest.mark.parametrize("layout", [None, "constrained"])
def test_colour_bars_are_as_high_as_the_axes(p, color, label, layout):
    _, ax = Figure(layout=layout).subplots(1, 2)
    bar = plot_partition(p, ax=ax, color=color).colorbar
    assert bar.ax.get_ylabel() == label
    draw(ax)
    axes_box, bar_box = ax.get_window_extent(), bar.ax.get_window_extent()
    pointed = 0.05 * bar_box.height if bar.extend == "min" else 0.0
    assert bar_box.y1 == pytest.approx(axes_box.y1)
    assert bar_box.y0 - pointed == pytest.approx(axes_box.y0)
    assert 0 < bar_box.x0 - axes_box.x1 < 10
    assert bar.ax.get_tightbbox().x1 <= ax.figure.bbox.x1


def test_patterns_and_plain_colours_have_no_bar(p, ax):
    assert plot_partition(p, ax=ax).colorbar is None
    for color in ("tab:blue", (0.1, 0.2, 0.3), ("red", 0.5)):
        regions = plot_partition(p, ax=ax, color=color)
        assert regions.colorbar is None
        assert same_color(regions.get_facecolor()[0], color)
    assert ax.figure.axes == [ax]


def test_one_region_can_be_drawn_in_all_colours():
    p = sc.compute_partition(nn.Linear(2, 1), SQUARE)
    for color in ("pattern", "area", "slope", "output", "depth"):
        ax = Figure().subplots()
        assert len(plot_partition(p, ax=ax, color=color).get_paths()) == 1
        draw(ax)


def test_unknown_colours_are_refused(p, ax):
    accepted = "accepted: 'pattern', 'area', 'depth', 'output', 'slope', a colour of matplotlib"
    with pytest.raises(sc.InvalidArgumentError, match=f"color is 'aera'; {accepted}"):
        plot_partition(p, ax=ax, color="aera")
    for wrong in (np.zeros(7), np.zeros((p.n_regions, 2))):
        with pytest.raises(sc.InvalidArgumentError) as caught:
            plot_partition(p, ax=ax, color=wrong)
        assert str(caught.value) == f"color has shape {wrong.shape}; accepted: ({p.n_regions},)"
    with pytest.raises(sc.InvalidArgumentError, match="color holds nan"):
        plot_partition(p, ax=ax, color=np.full(p.n_regions, np.nan))
    with pytest.raises(sc.InvalidArgumentError, match="color is not an array of numbers"):
        plot_partition(p, ax=ax, color=[[1], [2, 3]])
    assert not ax.has_data()


def test_other_than_axes_are_refused(p):
    with pytest.raises(sc.InvalidArgumentError, match="ax is a Figure; accepted: matplotlib Axes"):
        plot_partition(p, ax=Figure())


@pytest.mark.parametrize("names", [("lw", "ec"), ("linewidth", "edgecolors")])
def test_options_of_the_collection_go_before_the_look(p, ax, names):
    options = dict(zip(names, (3.0, "red"), strict=True))
    regions = plot_partition(p, ax=ax, **options, rasterized=True, zorder=0.5, alpha=0.5)
    assert regions.get_linewidth() == [3.0]
    assert same_color(regions.get_edgecolor()[0], ("red", 0.5))
    assert regions.get_rasterized() is True
    assert regions.get_zorder() == 0.5


def test_edges_thin_out(ax):
    widths = []
    for units in (3, 30, 90, 200):
        p = sc.compute_partition(mlp(2, units, 1), SQUARE)
        widths.append(plot_partition(p, ax=ax).get_linewidth()[0])
    assert widths[0] == 0.7
    assert np.all(np.diff(widths) < 0)
    assert 0 < widths[-1] < 0.1


def test_edges_are_wider_on_larger_axes(p):
    widths = [
        plot_partition(p, ax=Figure(figsize=(size, size)).subplots()).get_linewidth()[0]
        for size in (1, 2)
    ]
    assert widths[1] == pytest.approx(2 * widths[0])


def test_large_collections_are_images_in_vector_files(p, ax, monkeypatch):
    assert not plot_partition(p, ax=ax).get_rasterized()
    assert not plot_decision_boundary(p, ax=ax).get_rasterized()
    for module in (_polygons, boundary):
        monkeypatch.setattr(module, "RASTERISE_ABOVE", 10)
    assert plot_partition(p, ax=ax).get_rasterized()
    assert plot_decision_boundary(p, ax=ax).get_rasterized()


def test_no_background_shows_through_the_seams(ax):
    p = sc.compute_partition(mlp(2, 64, 64, 1), SQUARE)
    plot_partition(p, ax=ax, color="#404040")
    assert p.n_regions > 2000
    assert draw(ax)[2:-2, 2:-2].max() <= 0x41


def test_the_page_shows_through_transparent_regions(p, ax):
    plot_partition(p, ax=ax, color="#404040", alpha=0.5, edgecolor="none")
    assert draw(ax)[2:-2, 2:-2].mean() > 0x9F


def test_regions_without_filling_show_the_page(p, ax):
    plot_partition(p, ax=ax, facecolor="none")
    assert np.median(draw(ax)) == 0xFF


@pytest.mark.parametrize("file_format", ["png", "pdf", "svg"])
def test_pictures_can_be_saved(p, file_format):
    figure, (left, right) = new_figure(panels=2, width="page")
    plot_partition(p, ax=left)
    plot_classes(decision_boundary(p), ax=right)
    for ax in (left, right):
        plot_decision_boundary(p, ax=ax)
    buffer = io.BytesIO()
    figure.savefig(buffer, format=file_format)
    assert len(buffer.getvalue()) > 5_000
