"""Power diagrams: against their formulas, against brute force, and against partitions."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from comparison import default_mlp, on
from small_models import in_double
from splinecam import (
    InvalidArgumentError,
    InvariantError,
    Partition,
    Slice,
    UnsupportedLayerError,
    check_power_cells,
    compute_partition,
    layer_power_diagram,
    power_diagram,
)

SQUARE = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
LAYERS = range(3)


class Abs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.abs()


def deep(*activations: nn.Module) -> nn.Sequential:
    """Three layers of 10 units with given activations, and one output."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        widths = [2, 10, 10, 10]
        linear = [nn.Linear(k, n) for k, n in pairwise(widths)]
        modules = [m for pair in zip(linear, activations, strict=True) for m in pair]
        return nn.Sequential(*modules, nn.Linear(10, 1))


def relus() -> nn.Sequential:
    return deep(nn.ReLU(), nn.ReLU(), nn.ReLU())


def prefix_groups(p: Partition, n_layers: int) -> np.ndarray:
    """Number the regions by their patterns in the first layers, as these are unique there."""
    n_units = sum(p.layer_sizes[:n_layers])
    return np.unique(p.patterns()[:, :n_units], axis=0, return_inverse=True)[1].ravel()


def same_groups(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two numberings put the same things together."""
    pairs = np.unique(np.stack([a, b]), axis=1).shape[1]
    return pairs == len(np.unique(a)) == len(np.unique(b))


# --- Cells -----------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", LAYERS)
def test_cells_and_parents_are_the_regions_of_the_layers_so_far(layer):
    p = on(relus(), SQUARE)
    diagram = power_diagram(p, layer)
    assert same_groups(diagram.cells, prefix_groups(p, layer + 1))
    assert same_groups(diagram.parents[diagram.cells], prefix_groups(p, layer))


def test_cells_of_the_last_layer_are_the_regions():
    p = on(relus(), SQUARE)
    diagram = power_diagram(p)
    assert diagram.layer == 2
    assert diagram.cells.tolist() == list(range(p.n_regions))
    assert len(diagram.radii) == p.n_regions


# --- Formulas --------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", LAYERS)
def test_centroids_and_radii_are_those_of_the_jacobian(layer):
    model = deep(nn.ReLU(), nn.LeakyReLU(0.2), Abs())
    p = on(model, SQUARE)
    diagram = power_diagram(p, layer)
    head = in_double(model)[: 2 * layer + 2]
    for region in range(0, p.n_regions, 7):
        u = torch.tensor(p.centroids[region])
        jacobian = torch.autograd.functional.jacobian(head, u)
        offset = head(u) - jacobian @ u
        cell = diagram.cells[region]
        mu = jacobian.sum(dim=0).numpy()
        np.testing.assert_allclose(diagram.centroids[cell], mu, rtol=1e-10, atol=1e-12)
        tau = mu @ mu + 2 * offset.sum().item()
        np.testing.assert_allclose(diagram.radii[cell], tau, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layer", LAYERS)
def test_in_the_input_space_too(layer):
    model = default_mlp(12, 10, 10, 10, 2)
    slice_ = Slice.through(np.random.default_rng(1).normal(size=(3, 12)))
    p = compute_partition(model, slice_)
    diagram = power_diagram(p, layer, model=model)
    head = in_double(model)[: 2 * layer + 2]
    for region in range(0, p.n_regions, 9):
        x = torch.from_numpy(slice_.embed(p.centroids[region : region + 1])[0])
        jacobian = torch.autograd.functional.jacobian(head, x)
        mu = jacobian.sum(dim=0)
        tau = mu @ mu + 2 * (head(x) - jacobian @ x).sum()
        cell = diagram.cells[region]
        np.testing.assert_allclose(diagram.centroids[cell], mu, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(diagram.radii[cell], tau.item(), rtol=1e-9, atol=1e-12)
    # On the slice it is the diagram of the network restricted to it.
    plane = power_diagram(p, layer)
    np.testing.assert_allclose(diagram.centroids @ slice_.basis.T, plane.centroids, atol=1e-12)


def test_input_space_of_images_and_tiny_batches(monkeypatch):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 6), nn.ReLU(), nn.Linear(6, 5), nn.ReLU())
    points = np.random.default_rng(1).normal(size=(3, 1, 3, 3))
    p = compute_partition(model, Slice.through(points))
    expected = power_diagram(p, 1, model=model)
    monkeypatch.setattr("splinecam.measures.power.INPUT_ENTRIES", 30)
    monkeypatch.setattr("splinecam.measures.power.MAP_ENTRIES", 30)
    found = power_diagram(p, 1, model=model)
    np.testing.assert_allclose(found.centroids, expected.centroids, atol=1e-14)
    np.testing.assert_allclose(found.radii, expected.radii, atol=1e-13)
    plane = power_diagram(p, 1).centroids
    np.testing.assert_allclose(found.centroids @ p.slice.basis.T, plane, atol=1e-12)


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_own_diagram_has_the_codes_as_cells(layer):
    # Definitions: μ = Wᵀq, τ = ‖Wᵀq‖² + 2 qᵀb, and the cell of least power is the code.
    model = relus()
    p = on(model, SQUARE)
    diagram = layer_power_diagram(p, layer)
    copy = in_double(model)
    with torch.no_grad():
        inputs = copy[: 2 * layer](torch.tensor(p.centroids)).numpy()
        codes = copy[2 * layer](torch.from_numpy(inputs)).numpy() > 0
        weight, bias = (t.numpy() for t in (copy[2 * layer].weight, copy[2 * layer].bias))
    mu = codes @ weight
    np.testing.assert_allclose(diagram.centroids[diagram.cells], mu, atol=1e-14)
    tau = (mu**2).sum(axis=1) + 2 * codes @ bias
    np.testing.assert_allclose(diagram.radii[diagram.cells], tau, atol=1e-13)
    found = diagram.assign(inputs, np.zeros(p.n_regions, int))
    own = diagram.cells[np.arange(p.n_regions)]
    np.testing.assert_allclose(diagram.centroids[found], diagram.centroids[own], atol=1e-14)


# --- The cells are the regions ---------------------------------------------------------------


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize(
    "model",
    [relus(), deep(nn.ReLU6(), nn.Hardtanh(), nn.LeakyReLU(0.2)), deep(Abs(), nn.PReLU(), Abs())],
    ids=["relu", "not convex before", "abs"],
)
def test_least_power_is_in_the_own_cell(model, layer):
    p = on(model, SQUARE)
    points = np.random.default_rng(0).uniform(-1, 1, (4000, 2))
    regions = p.locate(points)
    try:
        diagram = power_diagram(p, layer)
    except UnsupportedLayerError:
        assert isinstance(model[2 * layer + 1], nn.Hardtanh)  # ReLU6 too
        return
    cells = diagram.cells[regions]
    # All pairs of points and siblings, by the definition of the power.
    powers = ((points[:, None] - diagram.centroids) ** 2).sum(axis=-1) - diagram.radii
    powers[diagram.parents[cells][:, None] != diagram.parents] = np.inf
    least = powers.min(axis=1)
    assert len(np.unique(cells)) > 10
    np.testing.assert_allclose(powers[np.arange(4000), cells], least, atol=1e-12)
    assert (powers.argmin(axis=1) == cells).mean() > 0.999  # but where rounding decides
    assigned = diagram.assign(points, diagram.parents[cells])
    assert (assigned == cells).mean() > 0.999


@pytest.mark.parametrize("layer", LAYERS)
def test_check_passes_on_partitions(layer):
    p = on(relus(), SQUARE)
    found = check_power_cells(p, layer)
    assert found.n_cells == len(np.unique(prefix_groups(p, layer + 1)))
    assert found.n_parents == len(np.unique(prefix_groups(p, layer)))
    assert found.n_walls == np.count_nonzero(p.edge_layers == layer)
    assert found.deviation < 1e-10


def test_check_passes_on_degenerate_networks():
    # Duplicated, opposite and concurrent units; a later layer that repeats an earlier line.
    first = nn.Linear(2, 6, bias=False, dtype=torch.float64)
    second = nn.Linear(6, 3, bias=False, dtype=torch.float64)
    with torch.no_grad():
        first.weight.copy_(torch.tensor([[1, 0], [1, 0], [-1, 0], [0, 1], [1, 1], [0, 0]]))
        second.weight.copy_(
            torch.tensor([[1, 0, -1, 0, 0, 0], [1, 0, -1, -2, 0, 3], [0, 0, 0, 0, 0, 0]])
        )
    p = on(nn.Sequential(first, nn.ReLU(), second, nn.LeakyReLU(0.5)), SQUARE)
    for layer in (0, 1):
        assert check_power_cells(p, layer).deviation < 1e-15


def test_check_fails_where_an_edge_is_elsewhere():
    p = on(default_mlp(2, 8, 1), SQUARE)
    vertices = p.vertices.copy()
    moved = np.flatnonzero(np.abs(vertices).max(axis=1) < 1)[0]
    vertices[moved] += 1e-4
    with pytest.raises(InvariantError, match=r"edge \d+ of layer 0 \(1\) is not where the powers"):
        check_power_cells(replace(p, vertices=vertices))


def test_check_fails_where_sides_are_swapped():
    p = on(default_mlp(2, 8, 1), SQUARE)
    edges = np.where(p.edge_hinges[:, None] >= 0, p.edges[:, ::-1], p.edges)
    with pytest.raises(InvariantError, match="is not where the powers"):
        check_power_cells(replace(p, edges=edges))


# --- Refusals and corners --------------------------------------------------------------------


def test_layers_that_cut_nothing_have_one_cell():
    p = on(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), [(9, 9), (9.001, 9), (9, 9.001)])
    diagram = power_diagram(p)
    assert repr(diagram) == "<PowerDiagram: layer 0, 1 cells in 1 parents, centroids in R^2>"
    assert check_power_cells(p) == (1, 1, 0, 0.0)


@pytest.mark.parametrize(
    "activation", [nn.ReLU6(), nn.Hardtanh(), nn.LeakyReLU(1.5), nn.Softshrink()], ids=str
)
def test_functions_that_are_not_convex_are_refused(activation):
    p = on(nn.Sequential(nn.Linear(2, 3), activation), SQUARE)
    for function in (power_diagram, layer_power_diagram, check_power_cells):
        with pytest.raises(
            UnsupportedLayerError, match=r"layer 0 \(1\) has a function that is not"
        ):
            function(p)


def test_breakpoint_without_a_kink_is_refused_by_the_check():
    p = on(nn.Sequential(nn.Linear(2, 3), nn.LeakyReLU(1.0)), SQUARE)
    assert len(power_diagram(p).radii) == p.n_regions
    with pytest.raises(UnsupportedLayerError, match="slope does not change"):
        check_power_cells(p)


def test_wrong_arguments_are_refused():
    model = default_mlp(2, 8, 1)
    p = on(model, SQUARE)
    for layer in (1, -1, 0.0):
        with pytest.raises(InvalidArgumentError, match=rf"layer is {layer}; accepted: an integer"):
            power_diagram(p, layer)
    with pytest.raises(InvalidArgumentError, match="partition has no layers"):
        power_diagram(on(nn.Linear(2, 1), SQUARE))
    with pytest.raises(
        InvalidArgumentError, match=r"model has the layers .* \(\('1', 9\),\); accepted"
    ):
        power_diagram(p, model=default_mlp(2, 9, 1))
    diagram = power_diagram(p)
    with pytest.raises(InvalidArgumentError, match=r"parents has shape \(2,\)"):
        diagram.assign([(0, 0)], [0, 0])
    with pytest.raises(InvalidArgumentError, match=r"parents has shape \(1,\); accepted: a parent"):
        diagram.assign([(0, 0)], [7])
    with pytest.raises(InvalidArgumentError, match=r"points has shape \(1, 3\)"):
        diagram.assign([(0, 0, 0)], [0])
