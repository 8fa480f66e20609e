"""Affine maps of all regions, against those that are composed one by one, and autograd."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

import splinecam as sc
from families import FAMILIES, example, linear
from splinecam.common.workers import Workers
from splinecam.partition import maps
from strategies import sliced_networks


def partition_of(model: nn.Sequential, polygon: np.ndarray) -> sc.Partition:
    return sc.compute_partition(model, sc.Slice(np.zeros(2), np.eye(2), polygon))


def assert_maps_are_composed(partition: sc.Partition) -> None:
    found = partition.affine_maps()
    expected = partition.affine_maps(np.arange(partition.n_regions))
    for array, exact in zip(found, expected, strict=True):
        scale = np.abs(expected[0]).max(initial=0) * np.abs(partition.vertices).max()
        np.testing.assert_allclose(array, exact, rtol=1e-12, atol=1e-13 * (1 + scale))


@pytest.mark.parametrize("name", FAMILIES)
def test_maps_of_all_regions_are_those_of_their_patterns(name):
    for seed in range(3):
        assert_maps_are_composed(partition_of(*example(name, seed)))


@pytest.mark.parametrize("entries", [1, 50, 200])
def test_the_maps_do_not_depend_on_how_much_is_held_at_a_time(monkeypatch, entries):
    partition = partition_of(*example("generic_mixed", 7))
    whole = partition.affine_maps()
    for name in ("ENTRIES", "ROOT_ENTRIES", "PATTERN_ENTRIES"):
        monkeypatch.setattr(maps, name, entries)
    monkeypatch.setattr(maps, "ROOT_GRAIN", 1)
    parts = replace(partition).affine_maps()  # which has kept none
    for array, other in zip(whole, parts, strict=True):
        np.testing.assert_allclose(array, other, rtol=1e-12, atol=1e-13)


@settings(deadline=None, max_examples=15)
@given(sliced_networks())
def test_slopes_are_the_gradients_at_the_centroids(network):
    model, polygon = network
    partition = partition_of(model, polygon)
    large = np.flatnonzero(partition.areas > 1e-6)
    x = torch.from_numpy(partition.centroids[large]).requires_grad_()
    outputs = model(x)
    slopes, offsets = partition.affine_maps()
    for c in range(outputs.shape[1]):
        (gradient,) = torch.autograd.grad(outputs[:, c].sum(), x, retain_graph=True)
        np.testing.assert_allclose(slopes[large, c], gradient.numpy(), rtol=1e-9, atol=1e-9)
    values = np.einsum("rcd,rd->rc", slopes[large], partition.centroids[large]) + offsets[large]
    np.testing.assert_allclose(values, outputs.detach().numpy(), rtol=1e-9, atol=1e-9)


def test_blocks_have_the_preactivations_of_each_level():
    model, polygon = example("generic_relu", 2)
    partition = partition_of(model, polygon)
    layers = [k for k, module in enumerate(model) if not isinstance(module, nn.Linear)]
    seen = [[] for _ in range(len(layers) + 1)]
    with Workers() as workers:
        for level, regions, columns in partition.map_walk().levels(workers, len(layers)):
            seen[level] += regions.tolist()
            stop = layers[level] if level < len(layers) else len(model)
            members = partition.nesting.members[level][regions]
            points = partition.centroids[members]
            with torch.no_grad():
                expected = model[:stop](torch.from_numpy(points)).numpy()
            found = np.einsum("nd,ndk->nk", np.c_[points, np.ones(len(points))], columns)
            np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
    for numbers, labels in zip(seen, partition.nesting.labels, strict=True):
        assert sorted(numbers) == list(range(labels.max() + 1))


def test_wide_layers_are_written_strip_by_strip():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Linear(2, 6), nn.ReLU(), nn.Linear(6, 300), nn.ReLU(), nn.Linear(300, 2)]
    partition = sc.compute_partition(nn.Sequential(*layers), sc.Slice.box((-1, 1), (-1, 1)))
    assert_maps_are_composed(partition)


def test_slopes_are_zero_where_all_units_are_off():
    # A unit of slope 1e8, off together with another one on a quarter of the square.
    first = linear(np.array([[1e8 / 3, 1e-8], [1e-8 / 3, 1 / 7]]), np.zeros(2), torch.float64)
    last = linear(np.array([[0.3, 0.7], [1.1, 1e-9]]), np.array([1 / 3, 1e-7]), torch.float64)
    square = sc.Slice.box((-1, 1), (-1, 1))
    partition = sc.compute_partition(nn.Sequential(first, nn.ReLU(), last), square)
    slopes, offsets = partition.affine_maps()
    (off,) = np.flatnonzero(~partition.patterns().any(axis=1))
    assert slopes[off].tolist() == [[0, 0], [0, 0]]
    assert offsets[off].tolist() == [1 / 3, 1e-7]
    expected, _ = partition.affine_maps(np.arange(partition.n_regions))
    np.testing.assert_allclose(slopes, expected, rtol=1e-12)
