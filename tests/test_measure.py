"""Measures of regions: exact ones on hand-made partitions, others against shapely and scipy."""

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from scipy.optimize import linprog
from scipy.spatial.distance import pdist
from torch import nn

from splinecam import Partition, Slice, compute_partition
from splinecam.measures.regions import region_statistics
from strategies import sliced_networks


def units(weight, bias) -> nn.Sequential:
    """Return ReLU units with given zero lines."""
    layer = nn.Linear(2, len(bias), dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor(weight))
        layer.bias.copy_(torch.tensor(bias))
    return nn.Sequential(layer, nn.ReLU())


def whole(slice_: Slice) -> Partition:
    """Return the partition of a network that does not cut the slice."""
    partition = compute_partition(units([(0.0, 0.0)], [1.0]), slice_)
    assert partition.n_regions == 1
    return partition


# --- Hand-made partitions --------------------------------------------------------------------


def test_slice_that_nothing_cuts_is_measured_itself():
    sl = Slice(np.zeros(2), np.eye(2), [(0, 0), (3, 0), (0, 4)])
    statistics = region_statistics(whole(sl))
    assert {name: values.tolist() for name, values in statistics.items()} == {
        "area": [6.0],
        "perimeter": [12.0],
        "centroid": [[pytest.approx(1), pytest.approx(4 / 3)]],
        "n_sides": [3],
        "eccentricity": [5 / (3 + 1e-10)],
        # Second moments of a right triangle with legs a, b: a²/18, b²/18, and -ab/36.
        "ellipse_eccentricity": [pytest.approx(right_triangle_eccentricity(3, 4))],
        "compactness": [pytest.approx(np.pi / 6)],
        "diameter": [5.0],
        "width": [pytest.approx(12 / 5)],
        "aspect": [pytest.approx(25 / 12)],
        "incenter": [[pytest.approx(1), pytest.approx(1)]],
        "inradius": [pytest.approx(1)],
        "circumcenter": [[pytest.approx(1.5), pytest.approx(2)]],
        "circumradius": [pytest.approx(2.5)],
        "boundary_distance": [0.0],
        "touches_boundary": [True],
        "layer_lengths": [[0.0]],
    }


def right_triangle_eccentricity(a: float, b: float) -> float:
    moments = np.array([[a * a, -a * b / 2], [-a * b / 2, b * b]]) / 18
    least, greatest = np.linalg.eigvalsh(moments)
    return float(np.sqrt(1 - least / greatest))


def test_only_regions_with_an_edge_on_the_boundary_touch_it():
    lines = units([(1, 0), (1, 0), (0, 1), (0, 1)], [-1.0, -3.0, -1.0, -2.0])
    statistics = region_statistics(compute_partition(lines, Slice.box((0, 4), (0, 4))))
    assert statistics["touches_boundary"].sum() == 8
    (inner,) = np.flatnonzero(~statistics["touches_boundary"])
    assert statistics["centroid"][inner].tolist() == pytest.approx([2, 1.5])
    assert statistics["area"][inner] == pytest.approx(2)
    assert statistics["n_sides"].tolist() == [4] * 9


def test_eccentricity_takes_diagonals_for_the_longest_and_the_shortest_distance():
    # A kite whose short diagonal is the smallest of its vertices' distances.
    kite = [(0, -2), (0.5, 0), (0, 2), (-0.5, 0)]
    (eccentricity,) = region_statistics(whole(Slice(np.zeros(2), np.eye(2), kite)))["eccentricity"]
    assert eccentricity == pytest.approx(4 / 1)


@pytest.mark.parametrize("size", [1e-100, 1e-12, 1.0, 1e12, 1e100])
def test_compactness_does_not_depend_on_scale_but_eccentricity_does(size):
    statistics = region_statistics(whole(Slice.box((0, size), (0, size))))
    assert statistics["compactness"] == pytest.approx(np.pi / 4)
    assert statistics["ellipse_eccentricity"] == pytest.approx(0, abs=1e-7)
    assert statistics["aspect"] == pytest.approx(np.sqrt(2))
    assert statistics["inradius"] == pytest.approx(size / 2)
    assert statistics["circumradius"] == pytest.approx(size / np.sqrt(2))
    assert statistics["eccentricity"] == pytest.approx(np.sqrt(2) / (1 + 1e-10 / size))


def test_small_region_far_from_the_origin_keeps_its_shape():
    side = 2.0**-20
    statistics = region_statistics(whole(Slice.box((1e6, 1e6 + side), (-1e6, -1e6 + side))))
    assert statistics["compactness"] == pytest.approx(np.pi / 4)
    assert statistics["eccentricity"] == pytest.approx(np.sqrt(2) / (1 + 1e-10 / side))


# --- Any partition ---------------------------------------------------------------------------


@settings(deadline=None, max_examples=25)
@given(sliced_networks())
def test_agrees_with_shapely_and_scipy(example):
    model, polygon = example
    sl = Slice(np.zeros(2), np.eye(2), polygon)
    partition = compute_partition(model, sl)
    statistics = region_statistics(partition)
    regions = partition.polygons
    corners = [np.asarray(region.exterior.coords)[:-1] for region in regions]
    distances = [pdist(points) for points in corners]
    expected = {
        "area": shapely.area(regions),
        "perimeter": shapely.length(regions),
        "n_sides": [len(points) for points in corners],
        "eccentricity": [d.max() / (d.min() + 1e-10) for d in distances],
        "compactness": 4 * np.pi * shapely.area(regions) / shapely.length(regions) ** 2,
    }
    for name, values in expected.items():
        np.testing.assert_allclose(statistics[name], values, rtol=1e-9, err_msg=name)
    centroids = shapely.get_coordinates(shapely.centroid(regions))
    np.testing.assert_allclose(statistics["centroid"], centroids, rtol=0, atol=1e-9)
    assert statistics["touches_boundary"].tolist() == [on_boundary(r, sl) for r in regions]


def on_boundary(region: shapely.Polygon, sl: Slice) -> bool:
    """Tell whether the middle of a side is on the slice's boundary."""
    ring = np.asarray(region.exterior.coords)
    middles = shapely.points((ring[1:] + ring[:-1]) / 2)
    outline = shapely.linearrings(sl.polygon)
    return bool((shapely.distance(middles, outline) < 1e-12).any())


@settings(deadline=None, max_examples=25)
@given(sliced_networks())
def test_circles_and_extents_agree_with_scipy_and_shapely(example):
    model, polygon = example
    sl = Slice(np.zeros(2), np.eye(2), polygon)
    partition = compute_partition(model, sl)
    statistics = region_statistics(partition)
    outline = shapely.linearrings(polygon)
    for r, region in enumerate(partition.polygons):
        corners = np.asarray(region.exterior.coords)[:-1]
        span = pdist(corners).max()
        assert statistics["diameter"][r] == pytest.approx(span)
        assert statistics["inradius"][r] == pytest.approx(
            chebyshev_radius(corners), abs=1e-7 * span
        )
        inscribed = shapely.Point(statistics["incenter"][r])
        assert shapely.distance(inscribed, region.exterior) == pytest.approx(
            statistics["inradius"][r], abs=1e-9 * span
        )
        radius = shapely.minimum_bounding_radius(region)
        assert statistics["circumradius"][r] == pytest.approx(radius, rel=1e-7)
        reach = np.hypot(*(corners - statistics["circumcenter"][r]).T)
        assert reach.max() == pytest.approx(radius, rel=1e-7)
        assert statistics["width"][r] == pytest.approx(least_width(corners), abs=1e-9 * span)
        assert statistics["ellipse_eccentricity"][r] == pytest.approx(
            ellipse_eccentricity(corners), abs=1e-5
        )
        distance = shapely.distance(region, outline)
        assert statistics["boundary_distance"][r] == pytest.approx(distance, abs=1e-12)
    inner = partition.edge_layers >= 0
    total = [
        partition.edge_lengths[partition.edge_layers == n].sum() for n in range(len(model) // 2)
    ]
    np.testing.assert_allclose(statistics["layer_lengths"].sum(axis=0), 2 * np.array(total))
    outside = statistics["perimeter"].sum() - 2 * partition.edge_lengths[inner].sum()
    assert outside == pytest.approx(shapely.length(outline))


def chebyshev_radius(corners: np.ndarray) -> float:
    """The inscribed circle's radius as a linear program, in the polygon's own scale."""
    along = np.roll(corners, -1, axis=0) - corners
    size = np.abs(corners - corners[0]).max()
    normals = np.stack([along[:, 1], -along[:, 0]], axis=1) / np.hypot(*along.T)[:, None]
    levels = (normals * (corners - corners[0]) / size).sum(axis=1)
    solved = linprog(
        [0, 0, -1],
        A_ub=np.column_stack([normals, np.ones(len(normals))]),
        b_ub=levels,
        bounds=[(None, None), (None, None), (0, None)],
    )
    return size * solved.x[2]


def least_width(corners: np.ndarray) -> float:
    along = np.roll(corners, -1, axis=0) - corners
    normals = np.stack([along[:, 1], -along[:, 0]], axis=1) / np.hypot(*along.T)[:, None]
    return float(np.ptp(corners @ normals.T, axis=0).min())


def ellipse_eccentricity(corners: np.ndarray) -> float:
    """From the covariance of the triangles that a fan cuts the polygon into."""
    first, second = corners[1:-1], corners[2:]
    triangles = np.stack([np.broadcast_to(corners[0], first.shape), first, second], axis=1)
    middles = triangles.mean(axis=1)
    sides = np.stack([first, second], axis=1) - corners[0]
    areas = np.linalg.det(sides) / 2
    centre = areas @ middles / areas.sum()
    spread = triangles - middles[:, None]
    moments = np.einsum("t,tki,tkj->ij", areas, spread, spread) / 12
    moments += np.einsum("t,ti,tj->ij", areas, middles - centre, middles - centre)
    least, greatest = np.linalg.eigvalsh(moments)
    return float(np.sqrt(1 - max(least, 0) / greatest))


@pytest.mark.parametrize("n", [3, 4, 5, 6, 7, 50, 51])
@pytest.mark.parametrize("stretch", [1.0, 1e-3, 1e-9])
def test_circles_of_stretched_regular_polygons(n, stretch):
    angles = 2 * np.pi * (np.arange(n) + 0.3) / n
    corners = np.stack([np.cos(angles), stretch * np.sin(angles)], axis=1)
    statistics = region_statistics(whole(Slice(np.zeros(2), np.eye(2), corners)))
    if stretch == 1:
        assert statistics["inradius"][0] == pytest.approx(np.cos(np.pi / n))
        assert statistics["circumradius"][0] == pytest.approx(1)
        assert statistics["incenter"][0] == pytest.approx([0, 0], abs=1e-12)
        assert statistics["ellipse_eccentricity"][0] == pytest.approx(0, abs=1e-7)
    else:
        # Scaled up across, so that the program sees no sliver.
        assert statistics["inradius"][0] <= stretch
        along = np.roll(corners, -1, axis=0) - corners
        to = statistics["incenter"][0] - corners
        distances = (along[:, 0] * to[:, 1] - along[:, 1] * to[:, 0]) / np.hypot(*along.T)
        assert distances.min() == pytest.approx(statistics["inradius"][0])
        # At the best centre three sides, or two parallel ones, are nearest, and not on one side.
        near = distances < distances.min() * (1 + 1e-6)
        assert np.ptp(np.sign(along[near, 0])) == 2
        assert statistics["aspect"][0] > 0.8 / stretch


def test_rectangle_has_one_of_its_largest_circles():
    statistics = region_statistics(whole(Slice.box((0, 5), (0, 2))))
    u, v = statistics["incenter"][0]
    assert statistics["inradius"][0] == pytest.approx(1)
    assert v == pytest.approx(1)
    assert 1 <= u + 1e-12 <= 4 + 2e-12


def test_columns_have_a_row_for_each_region_and_leave_the_partition_alone():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 30), nn.ReLU(), nn.Linear(30, 30), nn.ReLU())
    partition = compute_partition(model, Slice.box((-1, 1), (-1, 1)))
    statistics = region_statistics(partition)
    assert {len(column) for column in statistics.values()} == {partition.n_regions}
    kinds = {name: (column.dtype.name, column.ndim) for name, column in statistics.items()}
    assert {name: kind for name, kind in kinds.items() if kind != ("float64", 1)} == {
        "centroid": ("float64", 2),
        "n_sides": ("int64", 1),
        "incenter": ("float64", 2),
        "circumcenter": ("float64", 2),
        "touches_boundary": ("bool", 1),
        "layer_lengths": ("float64", 2),
    }
    for column in statistics.values():
        if column.flags.writeable:
            column[:] = 0
    partition.check_invariants()
    assert region_statistics(partition)["n_sides"].min() >= 3
