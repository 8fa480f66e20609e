"""Maps on all regions of networks with branches, convolutions and max groups."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import families_dag
import splinecam as sc
from comparison import on
from splinecam import Partition
from splinecam.partition import reduced_maps, region_tree

FAMILIES = list(families_dag.FAMILIES)


@pytest.fixture(autouse=True)
def small_boxes(monkeypatch):
    """So that small partitions have trees, batches and parts."""
    monkeypatch.setattr(region_tree, "FEW", 4)
    monkeypatch.setattr(reduced_maps, "SIMPLE", 0)
    monkeypatch.setattr(reduced_maps, "BATCH_BYTES", 2**12)
    monkeypatch.setattr(reduced_maps, "ENTRIES", 2**9)


class Images(nn.Module):
    """Convolutions, a residual sum and a max-pool."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(5)
        self.first, self.inner = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.last = nn.Linear(16, 3)

    def forward(self, x):
        x = self.first(x).relu()
        x = nn.functional.max_pool2d(x + self.inner(x).relu(), 2)
        return self.last(x.flatten(1))


def images() -> tuple[Partition, nn.Module]:
    slice_ = sc.Slice.through(np.random.default_rng(0).normal(size=(3, 1, 4, 4)))
    model = Images().double().eval()
    return sc.compute_partition(model, slice_), model


def partition(name: str) -> tuple[Partition, nn.Module]:
    if name == "images":
        return images()
    model, _, polygon = families_dag.example(name, "generic", 1)
    return on(model, polygon), model


def autograd_maps(p: Partition, model: nn.Module) -> tuple[np.ndarray, np.ndarray]:
    """Values and gradients of the outputs in the plane at the centroids."""
    uv = torch.from_numpy(p.centroids.copy()).requires_grad_()
    origin = torch.from_numpy(np.array(p.slice.origin)).reshape(1, -1)
    x = origin + uv @ torch.from_numpy(np.array(p.slice.basis))
    outputs = model.double()(x.reshape(-1, *p.slice.input_shape)).flatten(1)
    rows = [
        torch.autograd.grad(outputs[:, c].sum(), uv, retain_graph=True)[0]
        for c in range(outputs.shape[1])
    ]
    return outputs.detach().numpy(), torch.stack(rows, dim=1).numpy()


def large_enough(p: Partition) -> np.ndarray:
    return np.flatnonzero(p.areas > 1e-9 * p.slice.area)


@pytest.mark.parametrize("name", [*FAMILIES, "images"])
def test_maps_are_those_of_autograd(name):
    p, model = partition(name)
    slopes, offsets = p.affine_maps()
    values, gradients = autograd_maps(p, model)
    chosen = large_enough(p)
    np.testing.assert_allclose(slopes[chosen], gradients[chosen], rtol=0, atol=1e-9)
    found = np.einsum("rcd,rd->rc", slopes, p.centroids) + offsets
    np.testing.assert_allclose(found[chosen], values[chosen], rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["pooled residual", "images"])
def test_maps_of_some_regions_are_those_of_all(name):
    p, _ = partition(name)
    slopes, offsets = p.affine_maps()
    chosen = np.random.default_rng(0).integers(p.n_regions, size=9)
    some = p.affine_maps(chosen)
    np.testing.assert_allclose(some[0], slopes[chosen], rtol=0, atol=1e-12)
    np.testing.assert_allclose(some[1], offsets[chosen], rtol=0, atol=1e-12)
    assert p.affine_maps([])[0].shape == (0, *slopes.shape[1:])


@pytest.mark.parametrize("name", ["residual", "pooled image", "images"])
def test_maps_are_the_networks_composed_from_whole_patterns(name):
    p, _ = partition(name)
    for ours, theirs in zip(p.affine_maps(), p.network.affine_maps(p.patterns()), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [*FAMILIES, "images"])
def test_decisions_are_the_models(name):
    p, model = partition(name)
    boundary = sc.decision_boundary(p)
    np.testing.assert_allclose(boundary.class_areas.sum(), p.slice.area)
    rng = np.random.default_rng(1)
    corners = p.slice.polygon
    uv = rng.dirichlet(np.ones(len(corners)), 300) @ corners
    shares = np.bincount(boundary.piece_classes, boundary.piece_areas, boundary.n_classes)
    np.testing.assert_allclose(shares, boundary.class_areas)
    x = torch.from_numpy(p.slice.embed(uv))
    outputs = model.double()(x).flatten(1).detach().numpy()
    outputs = np.column_stack([0 * outputs, outputs]) if outputs.shape[1] == 1 else outputs
    expected = outputs.argmax(axis=1)
    is_clear = np.diff(np.sort(outputs, axis=1)[:, -2:])[:, 0] > 1e-9
    regions = p.locate(uv)
    for k in np.flatnonzero(is_clear & (regions >= 0)):
        classes = boundary.piece_classes[boundary.piece_regions == regions[k]]
        assert expected[k] in classes


@pytest.mark.parametrize("name", [*FAMILIES, "images"])
def test_measures_run(name):
    p, _ = partition(name)
    maps = sc.region_maps(p)
    margins = sc.region_margins(maps)
    assert (margins["gap"] <= margins["centroid_gap"] + 1e-12).all()
    assert np.isfinite(maps.slope_changes[p.edge_regions[:, 1] >= 0]).all()
    levels = sc.layer_statistics(p)
    assert levels["n_regions"][-1] == p.n_regions
    assert len(sc.level_set(p, 0, float(maps.values[:, 0].mean())).piece_regions) >= p.n_regions
    statistics = sc.unit_statistics(p)
    is_group = np.array(p.network.units.are_groups)[statistics["layer"]]
    assert np.isnan(statistics["active_share"][is_group]).all()
    assert set(statistics["state"][is_group]) <= {"cutting", "steady"}


@pytest.mark.parametrize("name", ["residual", "dense", "images"])
def test_bends_are_those_of_the_edges(name):
    p, _ = partition(name)
    bends = sc.bend_angles(p)
    assert len(bends["angle"])
    flips = p.edge_flips
    for vertex, layer, unit, angle in zip(
        *(bends[key] for key in ("vertex", "layer", "unit", "angle")), strict=True
    ):
        mine = flips.edges[(flips.layers == layer) & (flips.units == unit)]
        mine = mine[(p.edges[mine] == vertex).any(axis=1)]
        assert len(mine) == 2
        if p.edge_lengths[mine].min() < 1e-6:
            continue
        ends = p.edges[mine]
        others = np.where(ends[:, 0] == vertex, ends[:, 1], ends[:, 0])
        a, b = p.vertices[others] - p.vertices[vertex]
        inner = np.arctan2(abs(a[0] * b[1] - a[1] * b[0]), a @ b)
        np.testing.assert_allclose(angle, np.pi - inner, atol=1e-6)


@pytest.mark.parametrize("name", [*FAMILIES, "images"])
def test_input_jacobians_are_the_maps(name):
    p, model = partition(name)
    jacobians = sc.input_jacobians(p, model).reshape(p.n_regions, -1, p.slice.dim)
    slopes, _ = p.affine_maps()
    np.testing.assert_allclose(jacobians @ p.slice.basis.T, slopes, rtol=0, atol=1e-9)


def test_agop_of_samples_takes_max_groups():
    p, model = images()
    x = p.slice.embed(p.centroids[large_enough(p)[:20]])
    inputs = torch.from_numpy(x).requires_grad_()
    outputs = model(inputs)
    expected = np.zeros((p.slice.dim,) * 2)
    for c in range(outputs.shape[1]):
        (rows,) = torch.autograd.grad(outputs[:, c].sum(), inputs, retain_graph=True)
        flat = rows.flatten(1).numpy()
        expected += flat.T @ flat / len(x)
    np.testing.assert_allclose(sc.sample_agop(model, x), expected, atol=1e-12)


def test_power_diagrams_are_of_chains():
    p, _ = partition("residual")
    with pytest.raises(sc.UnsupportedLayerError, match="power diagrams are of short plain chains"):
        sc.power_diagram(p)
