"""Pictures: what the artists are, and a few facts about the pixels."""

from __future__ import annotations

import io
from collections.abc import Iterator
from itertools import pairwise

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection, PolyCollection
from matplotlib.colors import LogNorm, Normalize, same_color, to_hex, to_rgba
from matplotlib.figure import Figure
from torch import nn

import splinecam as sc
from splinecam.measures.boundary import decision_boundary, level_set
from splinecam.plotting import (
    _patterns,
    _polygons,
    _style,
    boundary,
    mark_anchors,
    new_figure,
    plot_classes,
    plot_decision_boundary,
    plot_partition,
    plot_thumbnails,
)

SQUARE = sc.Slice.box((-1, 1), (-1, 1))


def mlp(*widths: int, activation: type[nn.Module] = nn.ReLU, seed: int = 0) -> nn.Sequential:
    layers: list[nn.Module] = []
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        for n_in, n_out in pairwise(widths):
            layers += [nn.Linear(n_in, n_out), activation()]
    return nn.Sequential(*layers[:-1])


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    """A classifier whose three classes meet at the origin."""
    model = mlp(2, 16, 16, 3)
    with torch.no_grad():
        model[-1].bias -= model(torch.zeros(2))
    return model


@pytest.fixture(scope="module")
def p(model: nn.Sequential) -> sc.Partition:
    return sc.compute_partition(model, SQUARE)


@pytest.fixture
def ax() -> Axes:
    return Figure(figsize=(3, 3)).subplots()


@pytest.fixture
def current_axes() -> Iterator[Axes]:
    with mpl.rc_context({"backend": "Agg"}):
        figure, axes = plt.subplots()
        yield axes
        plt.close(figure)


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


# The look


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


# plot_partition


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


# plot_decision_boundary and plot_classes


def test_draws_each_segment_of_the_boundary(p, ax):
    found = decision_boundary(p)
    line = plot_decision_boundary(found, ax=ax)
    assert isinstance(line, LineCollection)
    assert len(found.segments) > 10
    assert line.axes is ax
    assert np.array_equal(line.get_segments(), found.segments)
    assert (line.get_capstyle(), line.get_joinstyle()) == ("round", "round")
    assert line.get_path_effects()[0]._gc["linewidth"] > line.get_linewidth()[0]
    assert len(plot_decision_boundary(p, ax=ax).get_segments()) == len(found.segments)


def test_draws_level_sets_too(p, ax):
    found = level_set(p, 1, float(np.median(p.network(p.centroids)[:, 1])))
    assert len(plot_decision_boundary(found, ax=ax).get_segments()) == len(found.segments) > 0


def test_halo_is_wider_than_any_line(p, ax):
    for name in ("linewidth", "lw", "linewidths"):
        line = plot_decision_boundary(p, ax=ax, **{name: 5.0}, color="red")
        assert line.get_linewidth() == [5.0]
        assert line.get_path_effects()[0]._gc["linewidth"] > 7
        assert same_color(line.get_color()[0], "red")


def test_a_boundary_of_no_segments_is_drawn_as_nothing(ax):
    constant = nn.Linear(2, 2)
    with torch.no_grad():
        constant.weight.zero_()
    line = plot_decision_boundary(sc.compute_partition(constant, SQUARE), ax=ax)
    assert len(line.get_segments()) == 0
    draw(ax)


def test_overlays_lay_out_empty_axes_only(p, ax):
    line = plot_decision_boundary(p, ax=ax)
    assert ax.get_xlim() == (-1, 1)
    assert ax.get_aspect() == 1
    ax.set(xlim=(-0.1, 0.2), ylim=(0, 0.3))
    for again in (plot_decision_boundary(p, ax=ax), plot_decision_boundary(p, ax=ax)):
        assert again.axes is line.axes
    assert ax.get_xlim() == (-0.1, 0.2)
    plot_partition(p, ax=ax)
    assert ax.get_xlim() == (-1, 1)


def test_long_boundaries_are_thinner(ax):
    winding = sc.compute_partition(mlp(2, 30, 30, 9), SQUARE.with_box((-9, 9), (-9, 9)))
    small = Figure(figsize=(0.5, 0.5)).subplots()
    width = plot_decision_boundary(winding, ax=small).get_linewidth()[0]
    assert 0 < width < plot_decision_boundary(winding, ax=ax).get_linewidth()[0] <= 1.4


def test_classes_have_their_colours(p, ax):
    found = decision_boundary(p)
    pieces = plot_classes(found, ax=ax)
    assert isinstance(pieces, PolyCollection)
    assert len(pieces.get_paths()) == len(found.piece_classes)
    draw(ax)
    for colour, k in zip(pieces.get_facecolor(), found.piece_classes, strict=True):
        assert to_hex(colour) == _style.LIGHT.classes[k]
    corners = np.concatenate([path.vertices[:-1] for path in pieces.get_paths()])
    assert np.array_equal(corners, found.piece_vertices)


def test_the_eleventh_class_has_the_first_one_s_colour(ax):
    found = decision_boundary(sc.compute_partition(nn.Linear(2, 23), SQUARE))
    pieces = plot_classes(found, ax=ax)
    draw(ax)
    assert len(np.unique(found.piece_classes)) > 2
    for colour, k in zip(pieces.get_facecolor(), found.piece_classes, strict=True):
        assert to_hex(colour) == _style.LIGHT.classes[k % 10]


# mark_anchors and plot_thumbnails


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).random((3, 8, 6))


@pytest.fixture(scope="module")
def through(images: np.ndarray) -> sc.Slice:
    return sc.Slice.through(images)


def test_anchors_are_points(through, ax):
    points = mark_anchors(through, ax=ax)
    assert isinstance(points, PathCollection)
    assert np.array_equal(points.get_offsets(), through.anchors)
    assert ax.get_xlim() == (through.polygon[0, 0], through.polygon[1, 0])
    assert not ax.texts


def test_anchors_of_a_partition_are_its_slice_s(through, images, ax):
    p = sc.compute_partition(nn.Sequential(nn.Flatten(), mlp(48, 4, 2)), through)
    plot_partition(p, ax=ax)
    ax.set_xlim(-0.5, 0.5)
    points = mark_anchors(p, ax=ax, s=99, color="red")
    assert np.array_equal(points.get_offsets(), through.anchors)
    assert points.get_sizes() == [99]
    assert same_color(points.get_facecolor()[0], "red")
    assert ax.get_xlim() == (-0.5, 0.5)


def test_labels_stand_beside_anchors(through, ax):
    mark_anchors(through, ax=ax, labels=["a", "b", "c"])
    draw(ax)
    assert [text.get_text() for text in ax.texts] == ["a", "b", "c"]
    for text, place in zip(ax.texts, ax.transData.transform(through.anchors), strict=True):
        box = text.get_window_extent()
        assert box.y0 < place[1] < box.y1
        assert not box.x0 <= place[0] <= box.x1
        assert ax.bbox.x0 < box.x0
        assert box.x1 < ax.bbox.x1


def test_wrong_anchors_and_labels_are_refused(through, ax):
    with pytest.raises(sc.InvalidArgumentError, match="slice_ has no anchors; accepted: a slice"):
        mark_anchors(SQUARE, ax=ax)
    message = "labels are 2; accepted: one for each of the 3 anchors"
    with pytest.raises(sc.InvalidArgumentError, match=message):
        mark_anchors(through, ax=ax, labels=["a", "b"])


@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_thumbnails_fit_and_leave_their_points_free(through, ax, channels):
    images = np.random.default_rng(1).random((3, 8, 6, *channels))
    mark_anchors(through, ax=ax)
    thumbnails = plot_thumbnails(images, through.anchors, ax=ax)
    draw(ax)
    assert len(thumbnails) == 3
    places = ax.transData.transform(through.anchors)
    for thumbnail, image, place in zip(thumbnails, images, places, strict=True):
        assert np.array_equal(thumbnail.offsetbox.get_data(), image)
        box = thumbnail.get_window_extent()
        assert ax.bbox.x0 <= box.x0 < box.x1 <= ax.bbox.x1
        assert ax.bbox.y0 <= box.y0 < box.y1 <= ax.bbox.y1
        assert not any(box.contains(*other) for other in places)
        middle = (box.min + box.max) / 2
        assert np.linalg.norm(middle - place) < box.height


def test_grey_thumbnails_share_a_scale(ax):
    images = np.stack([np.zeros((4, 4)), np.full((4, 4), 2.0), np.eye(4)])
    mark_anchors(sc.Slice.through(images), ax=ax)
    thumbnails = plot_thumbnails(images, np.zeros((3, 2)), ax=ax, cmap="gray_r", zoom=7)
    for thumbnail in thumbnails:
        assert thumbnail.offsetbox.image.get_clim() == (0, 2)
        assert thumbnail.offsetbox.image.cmap.name == "gray_r"
        assert thumbnail.offsetbox.get_zoom() == 7


@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8, 2), (3, 0, 8), (0, 8, 8)])
def test_other_than_images_are_refused(ax, shape):
    accepted = r"accepted: \(k, height, width\), \(k, height, width, 3\) or"
    with pytest.raises(sc.InvalidArgumentError, match=f"images has shape .*; {accepted}"):
        plot_thumbnails(np.zeros(shape), np.zeros((3, 2)), ax=ax)


def test_thumbnails_need_a_place_each(ax):
    with pytest.raises(sc.InvalidArgumentError, match=r"uv has shape \(2, 2\); accepted: \(3, 2\)"):
        plot_thumbnails(np.zeros((3, 8, 8)), np.zeros((2, 2)), ax=ax)
    with pytest.raises(sc.InvalidArgumentError, match="images holds nan"):
        plot_thumbnails(np.full((1, 8, 8), np.nan), np.zeros((1, 2)), ax=ax)


# new_figure


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
