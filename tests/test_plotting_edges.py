"""Pictures of edges: by layer, by change of slope, one unit's zero set."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import LogNorm, Normalize, same_color
from matplotlib.figure import Figure
from torch import nn

import splinecam as sc
from pictures import SQUARE, blank_axes, classifier_partition, draw, mlp
from splinecam.plotting import (
    _lines,
    _style,
    plot_edges,
    plot_partition,
    plot_slope_changes,
    plot_unit,
)

p = pytest.fixture(scope="module")(classifier_partition)
ax = pytest.fixture(blank_axes)


def as_pairs(segments) -> set[tuple[float, ...]]:
    return {tuple(np.ravel(segment)) for segment in segments}


def test_edges_have_the_layers_that_made_them(p, ax):
    edges = plot_edges(p, ax=ax)
    assert isinstance(edges, LineCollection)
    inner = p.edge_layers >= 0
    assert as_pairs(edges.get_segments()) == as_pairs(p.vertices[p.edges[inner]])
    layers = edges.get_array()
    assert np.array_equal(np.bincount(layers), np.bincount(p.edge_layers[inner]))
    for segment, layer in zip(edges.get_segments(), layers, strict=True):
        match = np.flatnonzero((p.vertices[p.edges] == segment).all(axis=(1, 2)))
        assert p.edge_layers[match].tolist() == [layer]


def test_first_layers_lie_on_top(p, ax):
    assert (np.diff(plot_edges(p, ax=ax).get_array()) <= 0).all()


def test_layers_are_chosen_and_keep_their_colours(p, ax):
    everything, some = plot_edges(p, ax=ax), plot_edges(p, ax=blank_axes(), layers=[1])
    assert len(some.get_segments()) == (p.edge_layers == 1).sum()
    for edges in (everything, some):
        draw(edges.axes)
        which = edges.get_array() == 1
        assert same_color(edges.get_color()[which][0], edges.cmap(edges.norm(1)))
    assert everything.cmap(everything.norm(1)) == some.cmap(some.norm(1))
    assert everything.cmap(everything.norm(0)) != everything.cmap(everything.norm(1))
    ticks = everything.colorbar.get_ticks()
    assert ticks[(ticks > -0.5) & (ticks < 1.5)].tolist() == [0, 1]
    assert plot_edges(p, ax=blank_axes(), layers=[]).get_segments() == []


def test_wrong_layers_are_refused(p, ax):
    with pytest.raises(sc.InvalidArgumentError, match="layers is 2; accepted: an integer from 0"):
        plot_edges(p, ax=ax, layers=[2])
    affine = sc.compute_partition(nn.Linear(2, 1), SQUARE)
    with pytest.raises(sc.InvalidArgumentError, match="p has no layers; accepted: a partition"):
        plot_edges(affine, ax=ax)
    assert not ax.has_data()


def test_changes_of_slope_are_the_model_s(ax):
    model = mlp(2, 6, 6, 3)
    p = sc.compute_partition(model, SQUARE)
    edges = plot_slope_changes(p, ax=ax)
    changes = edges.get_array()
    assert (np.diff(changes) >= 0).all()
    assert isinstance(edges.norm, LogNorm)
    assert edges.colorbar.ax.get_ylabel() == "change of slope"

    def slope(uv):
        return torch.autograd.functional.jacobian(model, torch.tensor(uv, dtype=torch.float32))

    for segment, change in zip(edges.get_segments(), changes, strict=True):
        along = segment[1] - segment[0]
        if np.linalg.norm(along) > 0.02:
            aside = 1e-4 * np.array([-along[1], along[0]]) / np.linalg.norm(along)
            middle = segment.mean(axis=0)
            jump = torch.linalg.norm(slope(middle + aside) - slope(middle - aside))
            assert change == pytest.approx(float(jump), rel=1e-3, abs=1e-5)


@pytest.mark.parametrize("width", [0, 1])
def test_few_changes_of_slope_can_be_drawn(ax, width):
    layers = [nn.Linear(2, 1)] if not width else [nn.Linear(2, 1), nn.ReLU()]
    model = nn.Sequential(*layers)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.0]]))
        model[0].bias.zero_()
    edges = plot_slope_changes(sc.compute_partition(model, SQUARE), ax=ax)
    assert edges.get_array().tolist() == [1.0] * width
    draw(ax)


def test_folds_without_a_change_of_slope_have_a_plain_scale(ax):
    model = mlp(2, 4, 1)
    with torch.no_grad():
        model[-1].weight.zero_()
    edges = plot_slope_changes(sc.compute_partition(model, SQUARE), ax=ax)
    assert type(edges.norm) is Normalize
    assert not edges.get_array().any()
    draw(ax)


def test_a_unit_is_drawn_where_it_changes(p, ax):
    layer, unit = 1, int(p.edge_units[p.edge_layers == 1][0])
    zero_set = plot_unit(p, layer, unit, ax=ax)
    start = sum(p.layer_sizes[:layer])
    patterns = p.patterns()[:, start + unit].astype(int)
    left, right = p.edge_regions.T
    changes = np.flatnonzero((right >= 0) & (patterns[left] != patterns[right]))
    assert len(changes) > 3
    assert as_pairs(zero_set.get_segments()) == as_pairs(p.vertices[p.edges[changes]])
    assert same_color(zero_set.get_color()[0], _style.LIGHT.accent)


def test_units_lie_on_the_pale_partition_or_on_what_is_there(p, ax):
    plot_unit(p, 0, 0, ax=ax)
    ground, zero_set = ax.collections
    assert isinstance(ground, PolyCollection)
    assert len(ground.get_paths()) == p.n_regions
    assert same_color(ground.get_facecolor()[0], _style.LIGHT.ground)
    plot_unit(p, 0, 1, ax=ax, color="green", lw=3)
    assert len(ax.collections) == 3
    assert ax.collections[-1].get_linewidth() == [3]
    assert same_color(ax.collections[-1].get_color()[0], "green")
    assert ground.get_zorder() < zero_set.get_zorder()


def test_units_that_do_not_cut_are_drawn_as_nothing(ax):
    model = mlp(2, 3, 1)
    with torch.no_grad():
        model[0].bias[1] = 99.0
    assert plot_unit(sc.compute_partition(model, SQUARE), 0, 1, ax=ax).get_segments() == []
    draw(ax)


def test_duplicated_units_are_drawn_both(ax):
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.0], [2.0, 0.0]]))
        model[0].bias.zero_()
    p = sc.compute_partition(model, SQUARE)
    for unit in (0, 1):
        assert len(plot_unit(p, 0, unit, ax=ax).get_segments()) == 1


def test_wrong_units_are_refused(p, ax):
    with pytest.raises(sc.InvalidArgumentError, match="layer is 2; accepted: an integer from 0"):
        plot_unit(p, 2, 0, ax=ax)
    with pytest.raises(sc.InvalidArgumentError, match="unit is 16; accepted: an integer from 0"):
        plot_unit(p, 0, 16, ax=ax)
    with pytest.raises(sc.InvalidArgumentError, match=r"unit is 0\.5; accepted: an integer"):
        plot_unit(p, 0, 0.5, ax=ax)


@pytest.mark.parametrize("plot", [plot_edges, plot_slope_changes])
def test_edges_lay_axes_out_and_take_options(p, ax, plot):
    edges = plot(p, ax=ax, linewidths=0.3, cmap="viridis", alpha=0.5)
    assert edges.get_linewidth() == [0.3]
    assert edges.cmap.name == "viridis"
    assert (ax.get_xlim(), ax.get_aspect()) == ((-1, 1), 1)
    plot_partition(p, ax=ax)


def test_many_edges_are_thin_images(ax, monkeypatch):
    widths = []
    for units in (3, 60, 200):
        p = sc.compute_partition(mlp(2, units, 1), SQUARE)
        edges = plot_edges(p, ax=ax)
        assert not edges.get_rasterized()
        widths.append(edges.get_linewidth()[0])
    assert widths[0] == 0.8
    assert (np.diff(widths) < 0).all()
    assert widths[-1] >= _lines.THINNEST_LINE
    monkeypatch.setattr(_lines, "RASTERISE_ABOVE", 10)
    axes: Axes = Figure().subplots()
    assert plot_edges(p, ax=axes).get_rasterized()
