"""What is in discs on a slice: against closed forms, and against shapely on any partition."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from comparison import default_mlp, on
from splinecam import InvalidArgumentError, Partition, Slice, compute_partition
from splinecam.measures.windows import (
    QUANTITIES,
    complexity_map,
    edge_density,
    edge_length,
    region_count,
)
from strategies import integer_networks, sliced_networks

SQUARE = [(-1, -1), (1, -1), (1, 1), (-1, 1)]


def lines(*coefficients: tuple[float, float, float], polygon=SQUARE) -> Partition:
    """Return the partition by lines a u + b v + c = 0."""
    layer = nn.Linear(2, len(coefficients), dtype=torch.float64)
    with torch.no_grad():
        table = torch.tensor(coefficients, dtype=torch.float64)
        layer.weight.copy_(table[:, :2])
        layer.bias.copy_(table[:, 2])
    return on(nn.Sequential(layer, nn.ReLU()), polygon)


def slope(angle: float, offset: float = 0.0) -> tuple[float, float, float]:
    """Return the line at a distance from the origin, by the direction of its normal."""
    return (np.cos(angle), np.sin(angle), -offset)


# --- Closed forms ----------------------------------------------------------------------------


def test_one_line():
    p = lines(slope(0.7, 0.1))
    towards = np.array([np.cos(0.7), np.sin(0.7)])
    distances = np.array([-0.3, -0.15, 0.0, 0.1, 0.2, 0.29, 0.35, 0.5])
    h = np.abs(distances - 0.1)
    points, radius = distances[:, None] * towards, 0.2
    crossed = h < radius
    assert region_count(p, points, radius=radius).tolist() == (1 + crossed).tolist()
    chord = 2 * np.sqrt(np.maximum(radius**2 - h**2, 0))
    np.testing.assert_allclose(edge_length(p, points, radius=radius), chord, atol=1e-15)
    density = chord / (np.pi * radius**2)
    np.testing.assert_allclose(edge_density(p, points, radius=radius), density, atol=1e-14)


def test_slice_that_nothing_cuts_is_one_region_and_its_boundary_is_no_edge():
    p = lines((0, 0, 1))
    points = [(0, 0), (1, 0), (1, 1), (1.4, 0), (1.3, 1.3), (1.6, 0), (9, 9), (1.5, 0)]
    # A disc that only touches the slice has nothing of it inside.
    assert region_count(p, points, radius=0.5).tolist() == [1, 1, 1, 1, 1, 0, 0, 0]
    assert edge_length(p, points, radius=0.5).tolist() == [0] * 8
    density = edge_density(p, points, radius=0.5)
    np.testing.assert_array_equal(density, [0, 0, 0, 0, 0, np.nan, np.nan, np.nan])


def test_region_that_a_disc_only_touches_is_not_in_it():
    p = lines((1, 0, 0), (0, 1, 0))
    assert region_count(p, [(0.5, 0.25), (-0.5, 0.5), (0.5, 0.5)], radius=0.5).tolist() == [2, 1, 1]


@pytest.mark.parametrize("n_lines", [2, 3, 7])
def test_lines_through_one_point(n_lines):
    p = lines(*(slope(np.pi * k / n_lines + 0.1) for k in range(n_lines)))
    centre, beside = (1e-3, 2e-3), (0.5, 0.4)
    counts = region_count(p, [centre, beside], radius=0.01)
    assert counts.tolist() == [2 * n_lines, 1]
    np.testing.assert_allclose(
        edge_length(p, [(0, 0)], radius=0.25), 2 * 0.25 * n_lines, rtol=1e-14
    )


def test_lattice_of_lines():
    ticks = [-0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75]
    p = lines(*((1.0, 0.0, -t) for t in ticks), *((0.0, 1.0, -t) for t in ticks))
    counts = region_count(p, [(0.125, 0.125), (0, 0), (1, 1), (0.125, 0)], radius=0.2)
    # The disc around the middle of a cell meets the cells at its corners too.
    assert counts.tolist() == [9, 4, 1, 6]
    counts = region_count(p, [(0.125, 0.125), (1, 1)], radius=0.15)
    assert counts.tolist() == [5, 1]


def test_discs_larger_than_the_slice_hold_everything():
    p = on(default_mlp(2, 12, 12, 1), SQUARE)
    inner = p.edge_hinges >= 0
    ends = p.vertices[p.edges[inner]]
    length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1).sum()
    points = [(0, 0), (1, 1), (5, 0)]
    assert p.n_regions > 20
    assert region_count(p, points, radius=9).tolist() == [p.n_regions] * 3
    np.testing.assert_allclose(edge_length(p, points, radius=9), length)
    np.testing.assert_allclose(edge_density(p, points, radius=9), length / 4)


@pytest.mark.parametrize("size", [1e-100, 1e-9, 1e9, 1e100])
def test_scale_does_not_matter(size):
    polygon = [(size * u, size * v) for u, v in SQUARE]
    p = lines(slope(0.3, 0.2 * size), slope(1.3, 0.1 * size), polygon=polygon)
    expected = lines(slope(0.3, 0.2), slope(1.3, 0.1))
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (60, 2))
    for radius in (0.1, 0.5):
        options = {"radius": radius * size}
        counts = region_count(p, size * points, **options)
        np.testing.assert_array_equal(counts, region_count(expected, points, radius=radius))
        lengths = edge_length(p, size * points, **options) / size
        np.testing.assert_allclose(
            lengths, edge_length(expected, points, radius=radius), atol=1e-12
        )


# --- Any partition ---------------------------------------------------------------------------


def assert_agrees_with_shapely(p: Partition, points: np.ndarray, radius: float) -> None:
    centres = shapely.points(points)
    distances = shapely.distance(p.polygons[:, None], centres)
    counts = region_count(p, points, radius=radius)
    # Where a disc touches a region, rounding decides.
    assert ((distances < radius * (1 - 1e-9)).sum(axis=0) <= counts).all()
    assert ((distances < radius * (1 + 1e-9)).sum(axis=0) >= counts).all()
    # A regular polygon's sides between the disc's radius and a slightly larger one.
    inside = shapely.buffer(centres, radius, quad_segs=512)
    outside = shapely.buffer(centres, radius / np.cos(np.pi / 4 / 512), quad_segs=512)
    inner = p.edge_hinges >= 0
    edges = shapely.multilinestrings(shapely.linestrings(p.vertices[p.edges[inner]]))
    lengths = edge_length(p, points, radius=radius)
    rounding = 1e-9 * radius * (1 + np.count_nonzero(inner))
    assert (shapely.length(shapely.intersection(edges, inside)) <= lengths + rounding).all()
    assert (shapely.length(shapely.intersection(edges, outside)) >= lengths - rounding).all()
    meets = counts > 0
    densities = edge_density(p, points, radius=radius)
    assert np.isnan(densities).tolist() == (~meets).tolist()
    slice_polygon = shapely.Polygon(p.slice.polygon)
    most = shapely.area(shapely.intersection(slice_polygon, outside))[meets] + rounding * radius
    least = shapely.area(shapely.intersection(slice_polygon, inside))[meets] - rounding * radius
    assert (densities[meets] * least <= lengths[meets]).all()
    assert (densities[meets] * most >= lengths[meets]).all()


@settings(deadline=None, max_examples=20)
@given(sliced_networks(), st.integers(0, 1000), st.floats(0.01, 1.0))
def test_agrees_with_shapely_on_networks_in_general_position(example, seed, share):
    model, polygon = example
    p = on(model, polygon)
    low, high = polygon.min(axis=0), polygon.max(axis=0)
    points = np.random.default_rng(seed).uniform(low, high, (30, 2))
    points[:5] += 0.3 * (high - low)
    assert_agrees_with_shapely(p, points, share * float((high - low).max()))


@settings(deadline=None, max_examples=20)
@given(integer_networks(), st.integers(0, 1000))
def test_agrees_with_shapely_on_degenerate_networks(model, seed):
    p = compute_partition(model, Slice.box((-2, 2), (-2, 2)))
    points = np.random.default_rng(seed).uniform(-2.5, 2.5, (30, 2))
    # A vertex of the partition, a corner of the slice.
    points[:2] = p.vertices[-1], (2, 2)
    assert_agrees_with_shapely(p, points, 0.37)


def test_agrees_with_shapely_on_many_small_regions_far_from_the_origin():
    model = nn.Sequential(nn.Linear(2, 2, dtype=torch.float64), default_mlp(2, 30, 30, 1).double())
    with torch.no_grad():
        model[0].weight.copy_(4 * torch.eye(2))
        model[0].bias.copy_(torch.tensor([-4e6, 4e6]))
    p = compute_partition(model, Slice.box((1e6 - 1, 1e6 + 1), (-1e6 - 1, -1e6 + 1)))
    assert p.n_regions > 300
    points = np.random.default_rng(0).uniform(-1, 1, (50, 2)) + np.array([1e6, -1e6])
    for radius in (0.003, 0.1):
        distances = shapely.distance(p.polygons[:, None], shapely.points(points))
        counts = region_count(p, points, radius=radius)
        assert counts.tolist() == (distances < radius).sum(axis=0).tolist()


def test_result_at_a_point_depends_on_no_other_point():
    p = on(default_mlp(2, 25, 25, 1), SQUARE)
    rng = np.random.default_rng(1)
    points = rng.uniform(-1.2, 1.2, (400, 2))
    for quantity in QUANTITIES.values():
        together = quantity(p, points, radius=0.15)
        order = rng.permutation(400)
        np.testing.assert_array_equal(quantity(p, points[order], radius=0.15), together[order])
        for i in range(5):
            np.testing.assert_array_equal(
                quantity(p, points[i : i + 1], radius=0.15), together[i : i + 1]
            )


@pytest.mark.parametrize("name", QUANTITIES)
def test_no_points_have_no_values(name):
    values = QUANTITIES[name](lines((1, 0, 0)), np.empty((0, 2)), radius=1)
    assert values.shape == (0,)
    assert values.dtype == (np.int64 if name == "regions" else np.float64)


@pytest.mark.parametrize("coordinates", [[(0.5, 0.25)] * 9, [(x, 0.25) for x in (0, 0.5, -1, 0)]])
def test_points_at_one_height(coordinates):
    p = lines((1, 0, -0.4))
    counts = region_count(p, coordinates, radius=0.2)
    assert counts.tolist() == [2 if abs(x - 0.4) < 0.2 else 1 for x, _ in coordinates]


# --- Maps ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", QUANTITIES)
def test_map_has_the_values_of_the_points_of_its_grid(name):
    p = on(default_mlp(2, 20, 20, 1), [(-1, 0), (2, -0.5), (1, 1)])
    found = complexity_map(p, radius=0.1, resolution=(12, 7), quantity=name)
    assert (found.quantity, found.radius) == (name, 0.1)
    assert found.extent == (-1, 2, -0.5, 1)
    np.testing.assert_allclose(found.x, -1 + 3 * (np.arange(12) + 0.5) / 12)
    np.testing.assert_allclose(found.y, -0.5 + 1.5 * (np.arange(7) + 0.5) / 7)
    assert found.values.dtype == np.float64
    for j, y in enumerate(found.y):
        row = [(x, y) for x in found.x]
        np.testing.assert_array_equal(QUANTITIES[name](p, row, radius=0.1), found.values[j])
    assert len(np.unique(found.values)) > 3


def test_number_of_grid_points_stands_for_both_directions():
    p = lines((1, 0, 0))
    assert complexity_map(p, radius=0.1, resolution=5).values.shape == (5, 5)
    assert complexity_map(p, radius=0.1, resolution=np.int64(1)).values.tolist() == [[2]]
    assert complexity_map(p, radius=0.1).values.shape == (256, 256)


def test_map_cannot_be_changed_and_says_what_it_is():
    found = complexity_map(lines((1, 0, 0)), radius=0.25, resolution=(3, 2), quantity="length")
    assert repr(found) == "<ComplexityMap: length in discs of radius 0.25, 3 × 2>"
    for array in (found.values, found.x, found.y):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


# --- Refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": 0}, "radius is 0; accepted: a number >= 1e-150"),
        ({"radius": 1e-200}, "radius is 1e-200"),
        ({"radius": -1}, "radius is -1"),
        ({"radius": np.inf}, "radius holds inf"),
        ({"radius": "1"}, "radius has dtype"),
        ({"resolution": 0}, "resolution is 0; accepted: a positive integer, or a pair"),
        ({"resolution": 2.0}, r"resolution is 2\.0"),
        ({"resolution": (2,)}, r"resolution is \(2,\)"),
        ({"resolution": (2, 0)}, r"resolution is \(2, 0\)"),
        ({"resolution": [2, 2]}, r"resolution is \[2, 2\]"),
        ({"quantity": "area"}, "quantity is 'area'; accepted: 'regions', 'length', 'density'"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        complexity_map(lines((1, 0, 0)), **{"radius": 1, "resolution": 2, **options})


@pytest.mark.parametrize("name", QUANTITIES)
@pytest.mark.parametrize(
    ("points", "message"),
    [((0, 0), r"points has shape \(2,\); accepted: \(n, 2\)"), ([(0, np.nan)], "points holds nan")],
)
def test_wrong_points_are_refused(name, points, message):
    with pytest.raises(InvalidArgumentError, match=message):
        QUANTITIES[name](lines((1, 0, 0)), points, radius=1)
