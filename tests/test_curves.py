"""Decision boundaries as curves, against closed forms, shapely and brute force."""

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from scipy import stats
from torch import nn

import splinecam as sc
from families import FAMILIES, SQUARE, Prefix, build, example, gaussian, linear
from splinecam.errors import InvalidArgumentError
from splinecam.measures.curves import (
    boundary_curves,
    boundary_distance,
    sample_boundary,
    units_near_boundary,
)
from strategies import polygons


class Abs(nn.Module):
    def forward(self, x):
        return x.abs()


def affine(weight, bias) -> nn.Linear:
    return linear(np.array(weight, float), np.array(bias, float), torch.float64)


def decide(model: nn.Module, polygon: np.ndarray = SQUARE) -> sc.DecisionBoundary:
    slice_ = sc.Slice(np.zeros(2), np.eye(2), polygon)
    return sc.decision_boundary(sc.compute_partition(model, slice_))


def classifier(seed: int, n_outputs: int, polygon: np.ndarray) -> nn.Sequential:
    rng = np.random.default_rng(seed)
    hidden = build(rng, polygon, [gaussian] * 2, [7, 6], ["relu", "leaky_relu"])[:-1]
    return nn.Sequential(*hidden, affine(*gaussian(rng, n_outputs, Prefix(polygon, hidden))))


def convex_polygon(n: int, radius: float) -> nn.Sequential:
    """Positive outside a regular polygon: the greatest of n lines, by maxima of two each."""
    angles = 2 * np.pi * np.arange(n) / n + 0.1
    weight = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    modules: list[nn.Module] = [affine(weight, np.full(n, -radius))]
    while n > 1:  # max(a, b) = (a + b + |a - b|) / 2, the sum being |a + b + 100| - 100
        half = n // 2
        pairs = np.kron(np.eye(half), np.array([[1.0, 1.0], [1.0, -1.0]]))
        modules += [affine(pairs, np.tile([100.0, 0.0], half)), Abs()]
        modules.append(affine(np.kron(np.eye(half), [[0.5, 0.5]]), np.full(half, -50.0)))
        n = half
    return nn.Sequential(*modules)


# --- Curves ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [4, 8, 16])
def test_the_outline_of_a_polygon_turns_once_round(n):
    boundary = decide(convex_polygon(n, 0.6))
    curves = boundary_curves(boundary)
    assert curves.is_closed.tolist() == [True]
    assert curves.total_curvature == pytest.approx(2 * np.pi)
    bent = curves.angles[curves.angles > 1e-9]
    assert bent.tolist() == pytest.approx([2 * np.pi / n] * n)
    assert curves.lengths.tolist() == pytest.approx([2 * n * 0.6 * np.tan(np.pi / n)])
    assert repr(curves).startswith("<BoundaryCurves: 1 component, 1 closed; ")


def test_a_straight_boundary_has_two_ends_and_no_angle():
    curves = boundary_curves(decide(affine([[1, 0]], [0])))
    assert curves.degrees.tolist() == [1, 1]
    assert np.isnan(curves.angles).all()
    assert curves.total_curvature == 0
    assert curves.is_closed.tolist() == [False]


def test_no_boundary_has_no_curves():
    curves = boundary_curves(decide(affine([[0, 0]], [1])))
    assert len(curves.joints) == len(curves.lengths) == len(curves.components) == 0
    assert curves.total_curvature == 0


def test_three_classes_meet_in_one_joint():
    angles = 2 * np.pi * np.arange(3) / 3
    curves = boundary_curves(decide(affine(np.c_[np.cos(angles), np.sin(angles)], np.zeros(3))))
    (centre,) = np.flatnonzero(curves.degrees == 3)
    assert curves.joints[centre] == pytest.approx([0, 0], abs=1e-15)
    assert np.isnan(curves.angles[centre])
    assert len(curves.lengths) == 1


def test_curves_apart_are_components_apart():
    # | |u| - 0.5 | - 0.25 is 0 on four lines.
    model = nn.Sequential(
        *(affine([[1, 0]], [0]), Abs(), affine([[1]], [-0.5]), Abs(), affine([[1]], [-0.25]))
    )
    curves = boundary_curves(decide(model))
    assert curves.lengths.tolist() == pytest.approx([2] * 4)
    assert not curves.is_closed.any()


@pytest.mark.parametrize("seed", range(30))
def test_the_boundary_hangs_together_in_general(seed):
    polygon = SQUARE
    boundary = decide(classifier(seed, 2 + seed % 4, polygon), polygon)
    curves = boundary_curves(boundary)
    loose = shapely.points(curves.joints[curves.degrees == 1])
    assert (shapely.distance(shapely.LinearRing(polygon), loose) < 1e-12).all()
    merged = shapely.line_merge(shapely.union_all(shapely.linestrings(boundary.segments)))
    expected = shapely.union_all(shapely.buffer(shapely.linestrings(boundary.segments), 1e-9))
    assert len(curves.lengths) == shapely.get_num_geometries(expected)
    assert curves.lengths.sum() == pytest.approx(shapely.length(merged))
    # Angles by the joints' coordinates, where segments are long enough.
    for joint in np.flatnonzero(curves.degrees == 2):
        own = np.flatnonzero((curves.ends == joint).any(axis=1))
        others = [curves.ends[s][curves.ends[s] != joint][0] for s in own]
        first = curves.joints[joint] - curves.joints[others[0]]
        second = curves.joints[others[1]] - curves.joints[joint]
        if min(np.hypot(*first), np.hypot(*second)) > 1e-5:
            turn = np.arctan2(abs(first[0] * second[1] - first[1] * second[0]), first @ second)
            assert curves.angles[joint] == pytest.approx(turn, abs=1e-8)


@pytest.mark.parametrize("name", [name for name in FAMILIES if "far" not in name])
def test_the_boundary_hangs_together_on_degenerate_networks(name):
    for seed in range(3):
        model, polygon = example(name, seed)
        boundary = decide(model, polygon)
        curves = boundary_curves(boundary)
        loose = shapely.points(curves.joints[curves.degrees == 1])
        distance = shapely.distance(shapely.LinearRing(polygon), loose)
        assert (distance < 1e-12 * np.abs(polygon).max()).all()


def test_normals_point_to_the_left_class():
    boundary = decide(classifier(8, 3, SQUARE))
    along = boundary.segments[:, 1] - boundary.segments[:, 0]
    long = boundary.lengths > 1e-6
    unit = along[long] / boundary.lengths[long, None]
    turned = np.stack([-unit[:, 1], unit[:, 0]], axis=1)
    np.testing.assert_allclose(boundary.normals[long], turned, atol=1e-8)
    np.testing.assert_allclose(np.hypot(*boundary.normals.T), 1)


def test_classes_meet_in_the_same_point_to_the_last_bit():
    boundary = decide(
        affine(np.random.default_rng(5).normal(size=(40, 2)), np.linspace(0, 0.3, 40))
    )
    curves = boundary_curves(boundary)
    inside = np.abs(curves.joints).max(axis=1) < 1
    assert inside.any()
    assert (curves.degrees[inside] >= 3).all()


# --- Distances ---------------------------------------------------------------------------------


@settings(deadline=None, max_examples=10)
@given(polygons())
def test_distances_are_those_to_the_nearest_segment(polygon):
    boundary = decide(classifier(len(polygon), 3, polygon), polygon)
    points = np.random.default_rng(0).normal(size=(50, 2)) * np.abs(polygon).max()
    found = boundary_distance(boundary, points)
    if not len(boundary.segments):
        assert np.isinf(found).all()
        return
    start, along = boundary.segments[:, 0], boundary.segments[:, 1] - boundary.segments[:, 0]
    to = points[:, None] - start
    shares = np.clip((to * along).sum(axis=2) / (along * along).sum(axis=1), 0, 1)
    nearest = np.linalg.norm(to - shares[..., None] * along, axis=2).min(axis=1)
    np.testing.assert_allclose(found, nearest, rtol=1e-9, atol=1e-12)


def test_distances_of_no_points_and_of_wrong_ones():
    boundary = decide(affine([[1, 0]], [0]))
    assert boundary_distance(boundary, np.empty((0, 2))).shape == (0,)
    with pytest.raises(InvalidArgumentError, match=r"points has shape \(3,\)"):
        boundary_distance(boundary, [1.0, 2.0, 3.0])


# --- Samples -----------------------------------------------------------------------------------


def test_samples_are_spread_evenly_along_the_length():
    boundary = decide(convex_polygon(8, 0.7))
    samples = sample_boundary(boundary, 5000, seed=1)
    assert boundary_distance(boundary, samples.uv).max() < 1e-12
    np.testing.assert_array_equal(samples.inputs, boundary.partition.slice.embed(samples.uv))
    counts = np.bincount(samples.segments, minlength=len(boundary.segments))
    expected = 5000 * boundary.lengths / boundary.length
    assert stats.chisquare(counts, expected).pvalue > 1e-4
    start = boundary.segments[samples.segments, 0]
    shares = np.linalg.norm(samples.uv - start, axis=1) / boundary.lengths[samples.segments]
    assert stats.kstest(shares, "uniform").pvalue > 1e-4


def test_samples_depend_on_the_seed_alone():
    boundary = decide(convex_polygon(8, 0.7))
    np.random.seed(0)  # noqa: NPY002  (the global state must not matter)
    first = sample_boundary(boundary, 10, seed=3)
    np.random.seed(1)  # noqa: NPY002
    np.testing.assert_array_equal(first.uv, sample_boundary(boundary, 10, seed=3).uv)
    assert (first.uv != sample_boundary(boundary, 10, seed=4).uv).all()


def test_samples_of_images_are_images():
    slice_ = sc.Slice.through(np.random.default_rng(0).normal(size=(3, 2, 3)))
    model = nn.Sequential(nn.Flatten(), nn.Linear(6, 4, dtype=torch.float64))
    boundary = sc.decision_boundary(sc.compute_partition(model, slice_))
    samples = sample_boundary(boundary, 20)
    assert samples.inputs.shape == (20, 2, 3)
    with torch.no_grad():
        outputs = model(torch.from_numpy(samples.inputs)).numpy()
    top = np.sort(outputs, axis=1)
    np.testing.assert_allclose(top[:, -1], top[:, -2], atol=1e-9)


def test_samples_that_cannot_be_drawn_are_refused():
    boundary = decide(affine([[0, 0]], [1]))
    assert sample_boundary(boundary, 0).uv.shape == (0, 2)
    with pytest.raises(InvalidArgumentError, match="n is 3, but the boundary has no points"):
        sample_boundary(boundary, 3)
    with pytest.raises(InvalidArgumentError, match=r"n is 1.5; accepted: an integer of 0 or more"):
        sample_boundary(boundary, 1.5)
    with pytest.raises(InvalidArgumentError, match="seed is -1"):
        sample_boundary(boundary, 0, seed=-1)


# --- Units nearby ------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [0.0, 0.05, 0.5])
def test_units_nearby_are_those_with_an_edge_nearby(radius):
    boundary = decide(classifier(2, 3, SQUARE))
    partition = boundary.partition
    near = units_near_boundary(boundary, radius)
    curve = shapely.union_all(shapely.linestrings(boundary.segments))
    flips = partition.edge_flips
    edges = shapely.linestrings(partition.vertices[partition.edges[flips.edges]])
    distances = shapely.distance(edges, curve)
    expected: dict[tuple[int, int], float] = {}
    for layer, unit, distance in zip(
        flips.layers.tolist(), flips.units.tolist(), distances.tolist(), strict=True
    ):
        expected[layer, unit] = min(distance, expected.get((layer, unit), np.inf))
    found = list(zip(near["layer"].tolist(), near["unit"].tolist(), strict=True))
    assert found == sorted(found)
    within = {key: distance for key, distance in expected.items() if distance <= radius}
    assert dict(zip(found, near["distance"].tolist(), strict=True)) == pytest.approx(
        within, abs=1e-12
    )


def test_no_unit_is_near_no_boundary():
    model = nn.Sequential(affine([[1, 0]], [0]), nn.ReLU(), affine([[0]], [1]))
    assert len(units_near_boundary(decide(model), 9.0)["unit"]) == 0
    with pytest.raises(InvalidArgumentError, match="radius is -1; accepted: a number >= 0"):
        units_near_boundary(decide(model), -1)
