"""Measures of affine maps and exact integrals, against numpy, autograd and sampling."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

import splinecam as sc
from families import Prefix, build, gaussian, linear
from splinecam.errors import InvalidArgumentError
from splinecam.measures.jacobians import input_jacobians, sample_agop, slice_agop
from splinecam.measures.margins import region_margins
from splinecam.measures.spline import region_maps
from strategies import polygons, sliced_networks


def partition_of(model: nn.Module, polygon: np.ndarray) -> sc.Partition:
    return sc.compute_partition(model, sc.Slice(np.zeros(2), np.eye(2), polygon))


def classifier(seed: int, n_outputs: int, polygon: np.ndarray) -> nn.Sequential:
    rng = np.random.default_rng(seed)
    hidden = build(rng, polygon, [gaussian] * 2, [7, 6], ["relu", "leaky_relu"])[:-1]
    last = linear(*gaussian(rng, n_outputs, Prefix(polygon, hidden)), torch.float64)
    return nn.Sequential(*hidden, last)


def mlp(*widths: int, seed: int = 0) -> nn.Sequential:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        layers = [nn.Linear(k, d) for k, d in pairwise(widths)]
    return nn.Sequential(*[m for layer in layers for m in (layer, nn.ReLU())][:-1])


# --- Per region --------------------------------------------------------------------------------


@settings(deadline=None, max_examples=20)
@given(sliced_networks())
def test_singular_values_are_numpys(example):
    model, polygon = example
    maps = region_maps(partition_of(model, polygon))
    expected = np.linalg.svd(maps.slopes, compute_uv=False)
    expected = np.pad(expected, ((0, 0), (0, 2 - expected.shape[1])))
    scale = expected[:, :1] + 1e-300
    np.testing.assert_allclose(maps.singular_values / scale, expected / scale, atol=1e-14)
    np.testing.assert_allclose(maps.slope_norms, np.linalg.norm(maps.slopes, axis=(1, 2)))
    gram = maps.slopes.transpose(0, 2, 1) @ maps.slopes
    np.testing.assert_allclose(
        maps.volume_scales**2, np.linalg.det(gram), atol=1e-12 * (scale[:, 0] ** 4).max()
    )


@pytest.mark.parametrize("share", [1.0, 1e-8, 1e-14])
def test_the_smaller_singular_value_keeps_its_digits(share):
    layer = linear(np.array([[1.0, 1.0], [0.0, share]]), np.zeros(2), torch.float64)
    maps = region_maps(partition_of(layer, np.array([(0, 0), (1, 0), (0, 1.0)])))
    assert maps.volume_scales[0] == pytest.approx(share, rel=1e-12)


def test_maps_of_constant_and_of_single_outputs():
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1.0)])
    constant = region_maps(
        partition_of(linear(np.zeros((2, 2)), np.ones(2), torch.float64), square)
    )
    assert constant.singular_values.tolist() == [[0, 0]]
    assert constant.mean_output.tolist() == [1, 1]
    assert constant.classes.tolist() == [0]
    single = region_maps(
        partition_of(linear(np.array([[3.0, 4]]), np.zeros(1), torch.float64), square)
    )
    assert single.singular_values.tolist() == [[5, 0]]
    assert single.classes.tolist() == [1]
    assert repr(single) == "<RegionMaps: 1 region, 1 output>"


@settings(deadline=None, max_examples=20)
@given(sliced_networks())
def test_slope_changes_are_normal_to_their_edges(example):
    model, polygon = example
    partition = partition_of(model, polygon)
    maps = region_maps(partition)
    outer = partition.edge_regions[:, 1] < 0
    np.testing.assert_array_equal(np.isnan(maps.slope_changes), outer)
    left, right = partition.edge_regions[~outer].T
    change = maps.slopes[left] - maps.slopes[right]
    np.testing.assert_allclose(maps.slope_changes[~outer], np.linalg.norm(change, axis=(1, 2)))
    ends = partition.vertices[partition.edges[~outer]]
    along = ends[:, 1] - ends[:, 0]
    # Along the edge both maps change alike: by what the ends' values differ.
    scale = np.abs(maps.slopes).max() * np.abs(polygon).max()
    np.testing.assert_allclose(np.einsum("ecd,ed->ec", change, along), 0, atol=1e-12 * scale)


# --- Integrals ---------------------------------------------------------------------------------


def test_integrals_of_a_hinge_are_those_of_the_closed_form():
    # relu(u) on [-1, 2] x [0, 1]: the mean is ∫₀² u du / 3 = 2/3, the slope is 1 on 2/3.
    layer = nn.Sequential(linear(np.array([[1.0, 0]]), np.zeros(1), torch.float64), nn.ReLU())
    maps = region_maps(partition_of(layer, np.array([(-1, 0), (2, 0), (2, 1), (-1, 1.0)])))
    assert maps.mean_output.tolist() == pytest.approx([2 / 3])
    assert maps.mean_slope_norm == pytest.approx(2 / 3)
    np.testing.assert_allclose(maps.agop, [[2 / 3, 0], [0, 0]])


def test_integrals_agree_with_samples():
    polygon = np.array([(-1, -1), (2, -0.5), (0, 1.5)])
    model = classifier(3, 3, polygon)
    partition = partition_of(model, polygon)
    maps = region_maps(partition)
    points = np.random.default_rng(0).dirichlet(np.ones(3), size=40000) @ polygon
    regions = partition.locate(points)
    with torch.no_grad():
        outputs = model(torch.from_numpy(points)).numpy()
    error = 5 * outputs.std(axis=0) / np.sqrt(len(points))
    assert (np.abs(maps.mean_output - outputs.mean(axis=0)) < error).all()
    norms = maps.slope_norms[regions]
    tolerance = 5 * norms.std() / np.sqrt(len(points))
    assert maps.mean_slope_norm == pytest.approx(norms.mean(), abs=tolerance)
    shares = sc.decision_boundary(partition).class_shares
    counts = np.bincount(outputs.argmax(axis=1), minlength=3) / len(points)
    assert shares.sum() == pytest.approx(1)
    np.testing.assert_allclose(shares, counts, atol=5 * 0.5 / np.sqrt(len(points)))
    sampled = sample_agop(model, points[:4000])
    np.testing.assert_allclose(maps.agop, sampled, atol=0.1 * np.abs(sampled).max())


# --- The full input space ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def deep() -> tuple[nn.Sequential, sc.Partition]:
    model = mlp(3, 4, 8, 8, 2)
    model[1] = nn.Hardtanh(-0.3, 0.4)
    images = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), *model)
    points = np.random.default_rng(0).normal(size=(3, 3, 4))
    return images, sc.compute_partition(images, sc.Slice.through(points))


def test_jacobians_are_those_of_autograd_and_of_the_plane(deep):
    model, partition = deep
    chosen = np.flatnonzero(partition.areas > 1e-4)
    found = input_jacobians(partition, model, chosen)
    assert found.shape == (len(chosen), 2, 3, 4)
    double = nn.Sequential(*model).double()
    x = torch.from_numpy(partition.slice.embed(partition.centroids[chosen]))
    expected = torch.func.vmap(torch.func.jacrev(lambda v: double(v[None])[0]))(x).detach()
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-10, atol=1e-12)
    flat = input_jacobians(partition, model).reshape(partition.n_regions, 2, 12)
    slopes, _ = partition.affine_maps()
    np.testing.assert_allclose(flat @ partition.slice.basis.T, slopes, rtol=1e-9, atol=1e-11)
    model.float()


def test_jacobians_do_not_depend_on_the_batch(deep, monkeypatch):
    model, partition = deep
    whole = input_jacobians(partition, model)
    monkeypatch.setattr("splinecam.measures.jacobians.BATCH_ENTRIES", 1)
    np.testing.assert_allclose(input_jacobians(partition, model), whole, rtol=1e-12, atol=1e-14)
    assert input_jacobians(partition, model, []).shape == (0, 2, 3, 4)


def test_agop_of_the_plane_is_that_of_the_input_space_restricted(deep):
    model, partition = deep
    full = slice_agop(partition, model)
    jacobians = input_jacobians(partition, model).reshape(partition.n_regions, 2, 12)
    shares = partition.areas / partition.areas.sum()
    expected = np.einsum("r,rci,rcj->ij", shares, jacobians, jacobians)
    np.testing.assert_allclose(full, expected, rtol=1e-10, atol=1e-14)
    basis = partition.slice.basis
    np.testing.assert_allclose(
        basis @ full @ basis.T, region_maps(partition).agop, rtol=1e-9, atol=1e-12
    )


def test_agop_of_samples_is_the_mean_of_autograds_jacobians(deep):
    model, _ = deep
    points = np.random.default_rng(1).normal(size=(9, 3, 4))
    double = nn.Sequential(*model).double()
    jacobians = [
        torch.autograd.functional.jacobian(lambda v: double(v[None])[0], torch.from_numpy(p))
        for p in points
    ]
    flat = torch.stack(jacobians).reshape(9, 2, 12)
    expected = torch.einsum("nci,ncj->ij", flat, flat) / 9
    np.testing.assert_allclose(sample_agop(model, points), expected.numpy(), rtol=1e-9)
    model.float()


def test_other_models_and_points_are_refused(deep):
    model, partition = deep
    other = nn.Sequential(nn.Flatten(), nn.Linear(12, 3), nn.ReLU())
    with pytest.raises(
        InvalidArgumentError, match=r"model has the layers \(name, units\) \(\('2', 3"
    ):
        input_jacobians(partition, other)
    with pytest.raises(InvalidArgumentError, match="regions holds -1"):
        input_jacobians(partition, model, [-1])
    with pytest.raises(InvalidArgumentError, match=r"points has shape \(3,\)"):
        sample_agop(model, [1.0, 2.0, 3.0])


# --- Margins -----------------------------------------------------------------------------------


@settings(deadline=None, max_examples=15)
@given(polygons())
def test_margins_agree_with_the_outputs(polygon):
    model = classifier(len(polygon), 3, polygon)
    partition = partition_of(model, polygon)
    maps = region_maps(partition)
    margins = region_margins(maps)
    with torch.no_grad():
        at_centroids = model(torch.tensor(partition.centroids)).numpy()
        at_vertices = model(torch.tensor(partition.vertices)).numpy()
    scale = np.abs(at_vertices).max()
    ranked = np.sort(at_centroids, axis=1)
    np.testing.assert_allclose(
        margins["centroid_gap"], ranked[:, -1] - ranked[:, -2], atol=1e-9 * scale
    )
    clear = ranked[:, -1] - ranked[:, -2] > 1e-9 * scale
    np.testing.assert_array_equal(margins["class"][clear], at_centroids.argmax(axis=1)[clear])
    boundary = sc.decision_boundary(partition)
    n_pieces = np.bincount(boundary.piece_regions)
    for r in range(partition.n_regions):
        loop = partition.region_vertices[slice(*partition.region_offsets[r : r + 2])]
        outputs = at_vertices[loop]
        winner = margins["class"][r]
        lead = outputs[:, [winner]] - np.delete(outputs, winner, axis=1)
        if n_pieces[r] > 1:
            assert margins["gap"][r] <= 1e-9 * scale
        else:
            assert margins["gap"][r] == pytest.approx(max(lead.min(), 0), abs=1e-9 * scale)
        rises = np.linalg.norm(
            maps.slopes[r, winner] - np.delete(maps.slopes[r], winner, 0), axis=1
        )
        leads = at_centroids[r, winner] - np.delete(at_centroids[r], winner)
        with np.errstate(divide="ignore"):
            expected = (leads / rises).min()
        assert margins["centroid_distance"][r] == pytest.approx(expected, rel=1e-6, abs=1e-9)


def test_margins_of_a_single_output_are_its_values():
    layer = linear(np.array([[3.0, 4]]), np.array([5.0]), torch.float64)
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1.0)])
    margins = region_margins(region_maps(partition_of(layer, square)))
    assert {name: values.tolist() for name, values in margins.items()} == {
        "class": [1],
        "gap": [5.0],
        "centroid_gap": [8.5],
        "centroid_distance": [pytest.approx(1.7)],
    }


def test_margins_of_ties_and_constants_are_zero_and_infinite():
    layer = linear(np.zeros((2, 2)), np.array([1.0, 1]), torch.float64)
    square = np.array([(0, 0), (1, 0), (1, 1), (0, 1.0)])
    margins = region_margins(region_maps(partition_of(layer, square)))
    assert (margins["class"][0], margins["gap"][0], margins["centroid_gap"][0]) == (0, 0, 0)
    assert margins["centroid_distance"][0] == np.inf
