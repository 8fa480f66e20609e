"""Measures of regions: exact ones on hand-made partitions, others against shapely and scipy."""

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from scipy.spatial.distance import pdist
from torch import nn

from splinecam import Partition, Slice, compute_partition
from splinecam.measure import region_statistics
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
        "compactness": [pytest.approx(np.pi / 6)],
        "touches_boundary": [True],
    }


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


def test_columns_have_a_row_for_each_region_and_leave_the_partition_alone():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 30), nn.ReLU(), nn.Linear(30, 30), nn.ReLU())
    partition = compute_partition(model, Slice.box((-1, 1), (-1, 1)))
    statistics = region_statistics(partition)
    assert {len(column) for column in statistics.values()} == {partition.n_regions}
    assert {name: (column.dtype.name, column.ndim) for name, column in statistics.items()} == {
        "area": ("float64", 1),
        "perimeter": ("float64", 1),
        "centroid": ("float64", 2),
        "n_sides": ("int64", 1),
        "eccentricity": ("float64", 1),
        "compactness": ("float64", 1),
        "touches_boundary": ("bool", 1),
    }
    for column in statistics.values():
        if column.flags.writeable:
            column[:] = 0
    partition.check_invariants()
    assert region_statistics(partition)["n_sides"].min() >= 3
