"""Affine maps of all regions, against those that are composed one by one, and autograd."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

import splinecam as sc
from families import FAMILIES, example
from splinecam import maps
from splinecam._workers import Workers
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
    for name in ("ROW_GRAIN", "ROOT_GRAIN"):
        monkeypatch.setattr(maps, name, 1)
    parts = partition.affine_maps()
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
        for level, regions, columns in partition.map_walk().blocks(workers, len(layers)):
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
