"""The folded surface: heights and facets against the model, and what the pictures are."""

from __future__ import annotations

import builtins
from importlib import import_module

import matplotlib as mpl
import numpy as np
import pytest
import shapely
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import same_color, to_rgba_array
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d import proj3d
from mpl_toolkits.mplot3d.art3d import Poly3DCollection
from torch import nn

import splinecam as sc
from splinecam.plotting import _style, origami_page, plot_origami
from splinecam.plotting._folds import RELIEF, brightness, facets_of, sheet_heights
from splinecam.plotting._palettes import as_palette
from splinecam.plotting._patterns import pattern_colours
from splinecam.plotting.origami import box_aspect
from test_explorer import SQUARE, convolutional, image_slice, mlp

page_module = import_module("splinecam.plotting.origami_page")


@pytest.fixture(scope="module")
def model() -> nn.Sequential:
    return mlp(2, 10, 10, 3)


@pytest.fixture(scope="module")
def p(model) -> sc.Partition:
    return sc.compute_partition(model, SQUARE)


@pytest.fixture
def ax():
    return Figure(figsize=(3, 3)).add_subplot(projection="3d")


def activations(model: nn.Sequential, p: sc.Partition, n_modules: int) -> np.ndarray:
    """Values (V, k) after some modules, at the vertices, by the model itself."""
    inputs = torch.from_numpy(p.slice.embed(p.vertices))
    with torch.no_grad():
        values = nn.Sequential(*model[:n_modules]).double()(inputs).flatten(1).numpy()
    model.float()
    return values


# Heights


def test_one_output_is_the_height():
    model = mlp(2, 9, 1)
    p = sc.compute_partition(model, SQUARE)
    expected = activations(model, p, 3)[:, 0]
    assert np.allclose(sheet_heights(p, None), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize(("layer", "n_modules"), [(0, 2), (1, 4), (None, 5)])
def test_heights_are_first_principal_components(model, p, layer, n_modules):
    values = activations(model, p, n_modules)
    heights = sheet_heights(p, layer)
    weights = np.zeros(p.n_vertices)
    for region, polygon in enumerate(p.polygons):
        start, stop = p.region_offsets[region : region + 2]
        weights[p.region_vertices[start:stop]] += polygon.area / (stop - start)
    weights /= weights.sum()
    # Units that do not change on the slice have no part in it.
    if layer is not None:
        own = p.patterns()[:, 10 * layer : 10 * layer + 10]
        values = values[:, (own != own[0]).any(axis=0)]
    centred = values - weights @ values
    _, sizes, directions = np.linalg.svd(np.sqrt(weights)[:, None] * centred)
    assert sizes[0] > 1.01 * sizes[1]
    assert np.allclose(np.abs(heights), np.abs(centred @ directions[0]), rtol=0, atol=1e-12)
    loadings = np.linalg.lstsq(centred, heights, rcond=None)[0]
    assert loadings[np.abs(loadings).argmax()] > 0


def test_layers_without_folds_are_flat():
    model = mlp(2, 4, 1)
    with torch.no_grad():
        model[0].bias.fill_(50.0)
    p = sc.compute_partition(model, SQUARE)
    assert not sheet_heights(p, 0).any()
    assert np.ptp(sheet_heights(p, None)) > 0


def test_convolutional_networks_fold_too():
    p = sc.compute_partition(convolutional(), image_slice())
    assert np.ptp(sheet_heights(p, 0)) > 0


# Facets


@pytest.mark.parametrize("n_layers", [0, 1, 2])
def test_facets_are_the_regions_of_the_first_layers(model, p, n_layers):
    facets = facets_of(p, n_layers)
    loops = np.split(p.vertices[facets.vertices], facets.offsets[1:-1])
    found = [shapely.Polygon(loop) for loop in loops]
    if n_layers:
        head = nn.Sequential(*model[: 2 * n_layers])
        expected = sc.compute_partition(head, SQUARE).polygons
    else:
        expected = [shapely.box(-1, -1, 1, 1)]
    assert len(found) == len(expected)
    assert all(polygon.is_valid and polygon.exterior.is_ccw for polygon in found)
    pairs = shapely.STRtree(found).query(shapely.centroid(expected), predicate="within")
    assert np.array_equal(np.sort(pairs[1]), np.arange(len(found)))
    for place, facet in pairs.T:
        assert found[facet].symmetric_difference(expected[place]).area < 1e-9
    centroids = shapely.points(p.centroids[facets.members])
    assert all(shapely.contains(found, centroids))


@pytest.mark.parametrize("n_layers", [0, 1, 2, 3])
def test_facets_of_convolutional_networks_fill_the_slice(n_layers):
    p = sc.compute_partition(convolutional(), image_slice())
    facets = facets_of(p, n_layers)
    loops = np.split(p.vertices[facets.vertices], facets.offsets[1:-1])
    found = [shapely.Polygon(loop) for loop in loops]
    assert all(polygon.is_valid and polygon.exterior.is_ccw for polygon in found)
    assert sum(polygon.area for polygon in found) == pytest.approx(p.slice.area, rel=1e-9)


def test_facets_are_flat(p):
    """The height is affine on each facet: continuous, as vertices are shared, and flat."""
    for layer in (0, 1, None):
        heights = sheet_heights(p, layer)
        facets = facets_of(p, 2 if layer is None else layer + 1)
        for loop in np.split(facets.vertices, facets.offsets[1:-1]):
            corners = np.column_stack([p.vertices[loop], np.ones(len(loop))])
            plane = np.linalg.lstsq(corners, heights[loop], rcond=None)[0]
            assert np.allclose(corners @ plane, heights[loop], rtol=0, atol=1e-10)


def test_level_sheets_are_lit_evenly_and_slopes_by_their_angle(p):
    flat = brightness(p, np.full(p.n_vertices, 0.5), p.region_offsets, p.region_vertices)
    light = np.array([-0.44, -0.34, 0.83])
    light /= np.linalg.norm(light)
    assert np.allclose(flat, 0.6 + 0.4 * light[2])
    tilted = (p.vertices[:, 0] + 1) / 2
    normal = np.array([-RELIEF, 0, 1]) / np.hypot(RELIEF, 1)
    expected = 0.6 + 0.4 * normal @ light
    lit = brightness(p, tilted, p.region_offsets, p.region_vertices)
    assert np.allclose(lit, expected)


# plot_origami


@pytest.mark.parametrize("layer", [None, 0])
def test_draws_each_facet_where_it_is(p, ax, layer):
    surface = plot_origami(p, ax=ax, layer=layer, linewidth=2)
    assert isinstance(surface, Poly3DCollection)
    assert surface.axes is ax
    assert surface.get_linewidth() == 2
    facets = facets_of(p, 2 if layer is None else 1)
    heights = sheet_heights(p, layer)
    colours = pattern_colours(p, n_layers=2 if layer is None else 1)[facets.members, :3]
    levels = (heights - heights.min()) / np.ptp(heights)
    lit = brightness(p, levels, facets.offsets, facets.vertices)
    assert np.ptp(lit) > 0.05
    # matplotlib draws, and returns, them in the order of their distance.
    shown = surface.get_facecolor()[:, :3]
    expected = lit[:, None] * colours
    assert np.allclose(shown[np.lexsort(shown.T)], expected[np.lexsort(expected.T)])
    assert ax.get_zlim() == (heights.min(), heights.max())
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 1), (-1, 1))
    ax.figure.canvas.draw()


def test_proportions_are_the_slice_s(ax):
    p = sc.compute_partition(mlp(2, 5, 1), sc.Slice.box((0, 4), (0, 1)))
    plot_origami(p, ax=ax)
    sides = ax._box_aspect
    assert np.allclose(sides / sides[0], [1, 0.25, RELIEF])


@pytest.mark.parametrize("slice_", [SQUARE, sc.Slice.box((0, 4), (0, 1))])
def test_surfaces_fill_their_axes(slice_):
    p = sc.compute_partition(mlp(2, 20, 1), slice_)
    aspect = box_aspect(slice_)
    figure = Figure(figsize=(4, 4 * aspect), dpi=100)
    ax = figure.add_axes((0, 0, 1, 1), projection="3d")
    plot_origami(p, ax=ax)
    figure.canvas.draw()
    corners = np.column_stack([p.vertices, sheet_heights(p, None)])
    x, y, _ = proj3d.proj_transform(*corners.T, ax.get_proj())
    shown = ax.transData.transform(np.column_stack([x, y]))
    assert shown.min() > -1
    assert (shown < figure.bbox.size + 1).all()
    assert np.ptp(shown[:, 0]) > 0.9 * figure.bbox.width


def test_surfaces_suit_dark_pages(p):
    figure = Figure(facecolor=_style.DARK.paper)
    surface = plot_origami(p, ax=figure.add_subplot(projection="3d"))
    assert same_color(surface.get_edgecolor()[0], _style.DARK.edge)
    palette = to_rgba_array(_style.DARK.regions)[:, :3]
    assert surface.get_facecolor()[:, :3].max() <= palette.max()
    assert surface.axes.get_facecolor()[3] == 0


def test_flat_sheets_are_drawn(ax):
    model = mlp(2, 3, 1)
    with torch.no_grad():
        model[2].weight.zero_()
    p = sc.compute_partition(model, SQUARE)
    plot_origami(p, ax=ax)
    low, high = ax.get_zlim()
    assert low < p.network.bias[0] < high


def test_many_facets_are_an_image_in_vector_files(p, ax, monkeypatch):
    assert not plot_origami(p, ax=ax).get_rasterized()
    monkeypatch.setattr("splinecam.plotting.origami.RASTERISE_ABOVE", 10)
    assert plot_origami(p, ax=ax).get_rasterized()


def test_current_axes_are_the_default(p):
    with mpl.rc_context({"backend": "Agg"}):
        figure = plt.figure()
        made = plot_origami(p).axes
        assert plot_origami(p).axes is made
        assert figure.axes == [made]
        plt.close(figure)


def test_flat_axes_are_refused(p):
    with pytest.raises(sc.InvalidArgumentError, match="ax is a Axes; accepted: three-dimensional"):
        plot_origami(p, ax=Figure().subplots())


@pytest.mark.parametrize("layer", [-1, 2, 0.5, "relu"])
def test_unknown_layers_are_refused(p, ax, layer):
    with pytest.raises(sc.InvalidArgumentError, match=r"layer is .*: an integer from 0 to 1"):
        plot_origami(p, ax=ax, layer=layer)


def test_layers_that_pick_maxima_are_refused(ax):
    p = sc.compute_partition(convolutional(), image_slice())
    with pytest.raises(sc.InvalidArgumentError, match=r"layer is 1 \('2'\), which picks maxima"):
        plot_origami(p, ax=ax, layer=1)


def test_same_picture_twice(p):
    first, second = (plot_origami(p, ax=Figure().add_subplot(projection="3d")) for _ in range(2))
    assert np.array_equal(first.get_facecolor(), second.get_facecolor())


# origami_page


@pytest.fixture
def plotly():
    return pytest.importorskip("plotly", reason="plotly, extra interactive, is missing")


def test_palettes_hold_the_colours():
    colours = to_rgba_array([_style.INK, "red", _style.INK, "white", "red"])
    palette, places = as_palette(colours)
    assert np.array_equal(to_rgba_array([palette[place] for place in places]), colours)


def test_triangles_fill_the_regions(p):
    triangles = page_module.fan_triangles(p)
    a, b, c = np.moveaxis(p.vertices[triangles.corners], 1, 0)
    areas = np.linalg.det(np.stack([b - a, c - a], axis=1)) / 2
    assert (areas > 0).all()
    assert np.allclose(np.bincount(triangles.regions, areas), p.areas)


def test_frames_hold_the_exact_heights(plotly, p):
    figure = page_module.origami_figure(p)
    folds = page_module.folds_of(p)
    assert [fold.name for fold in folds] == ["flat", "layer 1", "layer 3", "output"]
    steps = figure.layout.sliders[0].steps
    assert [step.label for step in steps] == [fold.name for fold in folds]
    frames = {frame.name: frame for frame in figure.frames}
    for step, fold in zip(steps, folds, strict=True):
        mesh, lines = frames[step.args[0][0]].data
        assert np.array_equal(mesh.z, fold.heights)
        shown = ~np.isnan(np.reshape(lines.z, (-1, 3))[:, 0])
        assert np.array_equal(shown, p.edge_layers < fold.n_layers)
    assert np.array_equal(folds[1].heights, sheet_heights(p, 0))
    assert np.array_equal(folds[3].heights, sheet_heights(p, None))
    assert list(figure.layout.updatemenus[0].buttons[0].args[0]) == list(frames)


def test_colours_of_facets_are_shades_of_their_patterns(plotly, p):
    figure = page_module.origami_figure(p)
    mesh = figure.frames[-1].data[0]
    scale = [colour for _, colour in mesh.colorscale][::2]
    shown = to_rgba_array([scale[int(place)] for place in mesh.intensity])[:, :3]
    regions = page_module.fan_triangles(p).regions
    shares = shown / pattern_colours(p)[regions, :3]
    assert np.allclose(shares, shares[:, :1], atol=0.01)
    lit = brightness(
        p,
        (mesh.z - mesh.z.min()) / np.ptp(mesh.z),
        p.region_offsets,
        p.region_vertices,
    )
    assert np.abs(shares[:, 0] - lit[regions]).max() < 0.4 / 11 / 2 + 0.01


def test_max_groups_fold_with_the_next_layer():
    p = sc.compute_partition(convolutional(), image_slice())
    folds = page_module.folds_of(p)
    assert [fold.name for fold in folds] == ["flat", "layer 1", "layer 5", "output"]
    assert [fold.n_layers for fold in folds] == [0, 1, 3, 3]


def test_page_holds_plotly(plotly, p, tmp_path):
    page = origami_page(p, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text("utf-8") == page.html
    assert "<script src=" not in page.html
    assert len(page.html) > 1e6


def test_too_many_regions_are_refused(p, monkeypatch):
    monkeypatch.setattr(page_module, "MOST_REGIONS", 10)
    with pytest.raises(sc.InvalidArgumentError, match="accepted: up to 10; plot_origami draws"):
        origami_page(p)


def test_missing_plotly_is_named(p, monkeypatch):
    real = builtins.__import__

    def without_plotly(name, *args, **kwargs):
        if name.startswith("plotly"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_plotly)
    with pytest.raises(sc.SplineCamError, match=r"pip install 'splinecam\[interactive\]'"):
        origami_page(p)
