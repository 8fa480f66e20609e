"""Pictures of measures: complexity maps, statistics, power diagrams, the dual graph."""

from __future__ import annotations

import networkx as nx
import numpy as np
import pytest
import shapely
import torch
from matplotlib.colors import to_hex
from torch import nn

import splinecam as sc
from pictures import SQUARE, blank_axes, classifier_partition, draw, mlp
from splinecam.plotting import (
    _style,
    graph,
    new_figure,
    plot_complexity,
    plot_graph,
    plot_power_diagram,
    plot_statistics,
)

p = pytest.fixture(scope="module")(classifier_partition)
ax = pytest.fixture(blank_axes)


@pytest.fixture(scope="module")
def map_(p: sc.Partition) -> sc.ComplexityMap:
    return sc.complexity_map(p, radius=0.2, resolution=(40, 30))


# plot_complexity


def test_maps_are_images_in_plane_coordinates(map_, ax):
    image = plot_complexity(map_, ax=ax)
    assert np.array_equal(image.get_array(), map_.values)
    assert tuple(image.get_extent()) == map_.extent
    assert image.origin == "lower"
    assert (ax.get_xlim(), ax.get_ylim(), ax.get_aspect()) == ((-1, 1), (-1, 1), 1)
    assert image.colorbar.ax.get_ylabel() == "regions within 0.2"
    ticks = image.colorbar.get_ticks()
    assert np.array_equal(ticks, np.round(ticks))


@pytest.mark.parametrize("quantity", ["length", "density"])
def test_bars_name_the_quantity(p, ax, quantity):
    map_ = sc.complexity_map(p, radius=0.2, resolution=9, quantity=quantity)
    assert "edge length" in plot_complexity(map_, ax=ax).colorbar.ax.get_ylabel()


def test_contours_lie_where_the_map_has_their_value(map_, ax):
    plot_complexity(map_, ax=ax, contours=[5.0, 9.5])
    (contours,) = ax.collections
    assert contours.levels.tolist() == [5.0, 9.5]
    low, high = map_.values.min(), map_.values.max()
    assert low < 5.0 < 9.5 < high
    automatic = blank_axes()
    plot_complexity(map_, ax=automatic, contours=4)
    levels = automatic.collections[0].levels
    assert 1 <= len(levels) <= 6
    assert ((levels > low) & (levels < high)).all()


@pytest.mark.parametrize("contours", [0, []])
def test_contours_can_be_left_out(map_, ax, contours):
    plot_complexity(map_, ax=ax, contours=contours)
    assert not ax.collections


def test_maps_of_one_value_or_row_can_be_drawn(ax):
    p = sc.compute_partition(nn.Linear(2, 1), SQUARE)
    for resolution in (5, (4, 1)):
        plot_complexity(sc.complexity_map(p, radius=0.1, resolution=resolution), ax=ax)
    draw(ax)


def test_where_no_region_is_the_picture_is_free(ax):
    triangle = sc.Slice(np.zeros(2), np.eye(2), [(-1, -1), (1, -1), (-1, 1)])
    p = sc.compute_partition(mlp(2, 9, 1), triangle)
    for quantity in ("regions", "density"):
        map_ = sc.complexity_map(p, radius=0.1, resolution=20, quantity=quantity)
        values = plot_complexity(map_, ax=ax).get_array()
        assert values.mask[-1, -1]
        assert not values.mask[0, 0]
    draw(ax)


def test_wrong_contours_are_refused(map_, ax):
    with pytest.raises(sc.InvalidArgumentError, match="contours is -1; accepted: an integer >= 0"):
        plot_complexity(map_, ax=ax, contours=-1)
    with pytest.raises(sc.InvalidArgumentError, match=r"contours is \[2, 1\]; accepted: ascending"):
        plot_complexity(map_, ax=ax, contours=[2, 1])
    assert not ax.has_data()


# plot_statistics


def test_charts_show_the_measures(p):
    other = sc.compute_partition(mlp(2, 9, 9, 9, 2), SQUARE)
    figure = plot_statistics([p, other], labels=["a", "b"])
    counts, lengths, sizes, eccentricities = figure.axes
    for i, partition in enumerate((p, other)):
        layers = sc.layer_statistics(partition)
        assert np.array_equal(counts.lines[i].get_ydata(), layers["n_regions"])
        assert np.allclose(lengths.lines[i].get_ydata(), layers["length"] / 4)
        shares, limits, _ = sizes.patches[i].get_data()
        inside = (partition.areas / 4 >= limits[0]) & (partition.areas / 4 <= limits[-1])
        assert shares.sum() == pytest.approx(inside.mean())
        assert inside.mean() > 0.97
        shares, limits, _ = eccentricities.patches[i].get_data()
        values = sc.region_statistics(partition)["ellipse_eccentricity"]
        assert np.allclose(shares, np.histogram(values, limits)[0] / partition.n_regions)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["a", "b"]


def test_one_partition_needs_no_list_and_no_label(p):
    figure = plot_statistics(p, width="column", dark=True)
    assert not figure.legends
    assert figure.get_size_inches()[0] == 3.5
    assert to_hex(figure.axes[0].lines[0].get_color()) == _style.DARK.series[0]
    draw(figure.axes[0])


def test_curves_stay_told_apart(p):
    lines = plot_statistics([p] * 14).axes[0].lines
    assert len({(line.get_color(), line.get_linestyle()) for line in lines}) == 14


def test_points_lie_within_their_charts(p):
    figure = plot_statistics(p)
    draw(figure.axes[0])
    for ax in figure.axes[:2]:
        low, high = ax.get_ylim()
        values = ax.lines[0].get_ydata()
        assert low <= values.min()
        assert values.max() < high
    labels = [tick.get_text() for tick in figure.axes[3].get_yticklabels()]
    assert labels[0] == "0%"
    assert not any(label.endswith(".0%") for label in labels)


def test_small_partitions_have_charts():
    for model in (mlp(2, 1, 1), nn.Sequential(nn.Linear(2, 1), nn.ReLU())):
        draw(plot_statistics(sc.compute_partition(model, SQUARE)).axes[0])
    draw(plot_statistics(sc.compute_partition(nn.Linear(2, 1), SQUARE)).axes[0])


def test_wrong_statistics_are_refused(p):
    with pytest.raises(sc.InvalidArgumentError, match=r"partitions is .* accepted: a Partition"):
        plot_statistics([])
    with pytest.raises(sc.InvalidArgumentError, match="labels are 1; accepted: one for each of"):
        plot_statistics([p, p], labels=["a"])


# plot_power_diagram


@pytest.mark.parametrize("layer", [0, 1])
def test_power_diagrams_as_drawn_are_those_of_the_cells(p, ax, layer):
    """Moved and scaled centroids, with their radii, still have the cells where they were."""
    centroids, links = plot_power_diagram(p, layer=layer, ax=ax)
    diagram = sc.power_diagram(p, layer)
    places = centroids.get_offsets().data
    assert len(places) == len(links.get_segments()) == len(diagram.radii)
    for parent in np.unique(diagram.parents):
        cells = np.flatnonzero(diagram.parents == parent)
        spread = diagram.centroids[cells] - diagram.centroids[cells].mean(axis=0)
        shown = places[cells] - places[cells].mean(axis=0)
        factor = (spread * shown).sum() / max((spread**2).sum(), 1e-300)
        assert factor >= 0
        assert np.allclose(shown, factor * spread, atol=1e-9)
    cells = diagram.cells
    for cell, (middle, place) in enumerate(links.get_segments()):
        members = np.flatnonzero(cells == cell)
        union = shapely.union_all(p.polygons[members])
        assert np.allclose(middle, union.centroid.coords[0], atol=1e-9)
        assert np.array_equal(place, places[cell])


def test_power_diagrams_lie_on_the_pale_partition(p, ax):
    centroids, links = plot_power_diagram(p, ax=ax, linewidth=0.7)
    assert len(ax.collections) == 3
    assert links.get_linewidth() == [0.7]
    assert centroids.get_linewidth() == [0.0]


def test_power_diagrams_of_too_many_regions_are_refused(p, ax, monkeypatch):
    monkeypatch.setattr("splinecam.plotting.power.MOST_REGIONS", p.n_regions - 1)
    message = rf"p has {p.n_regions} regions; accepted: up to {p.n_regions - 1}, for instance"
    with pytest.raises(sc.InvalidArgumentError, match=message):
        plot_power_diagram(p, ax=ax)


def test_one_cell_has_a_power_diagram(ax):
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
    with torch.no_grad():
        model[0].bias.fill_(99.0)
    centroids, _ = plot_power_diagram(sc.compute_partition(model, SQUARE), ax=ax)
    assert np.allclose(centroids.get_offsets(), 0, atol=1e-12)


# plot_graph


def test_links_join_neighbours_inside_their_regions(p, ax):
    nodes, links = plot_graph(p, ax=ax)
    assert np.array_equal(nodes.get_offsets(), p.centroids)
    expected = {frozenset(pair) for pair in sc.adjacency_graph(p).edges}
    found = set()
    for line in links.get_segments():
        left, right = p.locate(line[[0, 2]])
        found.add(frozenset((int(left), int(right))))
        both = shapely.union_all(p.polygons[[left, right]]).buffer(1e-9)
        assert both.covers(shapely.LineString(line))
    assert found == expected
    assert nx.is_connected(nx.Graph([tuple(pair) for pair in found]))


def test_nodes_are_larger_in_larger_regions_unless_they_are_many(p, ax, monkeypatch):
    nodes, links = plot_graph(p, ax=ax, color="green", linewidth=0.2)
    order = np.argsort(p.areas)
    assert (np.diff(nodes.get_sizes()[order]) >= 0).all()
    assert links.get_linewidth() == [0.2]
    assert to_hex(nodes.get_facecolor()[0]) == to_hex(links.get_color()[0]) == to_hex("green")
    monkeypatch.setattr(graph, "RASTERISE_ABOVE", 10)
    nodes, _ = plot_graph(p, ax=ax)
    assert len(nodes.get_sizes()) == 1
    assert nodes.get_rasterized()


def test_one_region_is_a_graph(ax):
    p = sc.compute_partition(nn.Linear(2, 1), SQUARE)
    nodes, links = plot_graph(p, ax=ax)
    assert (len(nodes.get_offsets()), len(links.get_segments())) == (1, 0)
    draw(ax)


@pytest.mark.parametrize("plot", [plot_graph, plot_power_diagram])
def test_ground_is_dark_on_dark_pages(p, plot):
    _, (dark,) = new_figure(dark=True)
    points, _ = plot(p, ax=dark)
    assert to_hex(dark.collections[0].get_facecolor()[0]) == _style.DARK.ground
    assert to_hex(points.get_facecolor()[0]) == _style.DARK.accent
