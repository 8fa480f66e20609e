"""Distances to the partition: against reverse-mode gradients, brute force and exact partitions."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
import torch
from torch import Tensor, nn
from torch.nn import functional

from comparison import default_mlp, on
from small_models import Apply, in_double
from splinecam import (
    InvalidArgumentError,
    InvalidModelError,
    Slice,
    compute_partition,
    nearest_edges,
    unit_distances,
)
from splinecam.convert import convert

SQUARE = [(-1, -1), (1, -1), (1, 1), (-1, 1)]
GRID = np.stack(np.meshgrid(*2 * [np.linspace(-0.9, 0.9, 15)]), axis=-1).reshape(-1, 2)


def rows(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(n, *shape))


def by_reverse_mode(preactivations, points: np.ndarray) -> list[np.ndarray]:
    """Distances of units at 0, from gradients of one unit after the other at one point each."""
    layers = []
    for layer in range(len(preactivations(torch.from_numpy(points[:1])))):
        distances = []
        for point in points:
            x = torch.from_numpy(point[None]).requires_grad_()
            z = preactivations(x)[layer].flatten()
            slopes = [torch.autograd.grad(unit, x, retain_graph=True)[0].norm() for unit in z]
            distances.append((z.detach().abs() / torch.stack(slopes)).numpy())
        layers.append(np.array(distances))
    return layers


# --- In the input space ----------------------------------------------------------------------


def test_one_layer_has_the_distances_of_points_from_planes():
    model = nn.Sequential(nn.Linear(7, 4, dtype=torch.float64), nn.ReLU())
    weight, bias = (t.detach().numpy() for t in (model[0].weight, model[0].bias))
    points = rows(20, 7)
    expected = np.abs(points @ weight.T + bias) / np.linalg.norm(weight, axis=1)
    found = unit_distances(model, points)
    np.testing.assert_allclose(found.per_unit[0], expected, rtol=1e-13)
    np.testing.assert_allclose(found.per_layer[:, 0], expected.min(axis=1), rtol=1e-13)


def test_agrees_with_reverse_mode():
    model = default_mlp(6, 9, 7, 3)
    points = rows(12, 6)
    found = unit_distances(model, points)
    expected = by_reverse_mode(convert(model, (6,)).preactivations, points)
    assert found.layer_names == ("1", "3")
    for distances, exact in zip(found.per_unit, expected, strict=True):
        np.testing.assert_allclose(distances, exact, rtol=1e-12)
    np.testing.assert_array_equal(found.minimum, np.concatenate(found.per_unit, axis=1).min(axis=1))


def test_agrees_with_reverse_mode_in_a_convolutional_residual_network():
    torch.manual_seed(0)
    conv, norm, head = nn.Conv2d(2, 2, 3, padding=1), nn.BatchNorm2d(2).eval(), nn.Linear(18, 3)
    norm.running_mean.normal_()

    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.norm, self.head = conv, norm, head

        def forward(self, x: Tensor) -> Tensor:
            x = x + functional.relu(self.norm(self.conv(x)), inplace=True)
            return functional.leaky_relu(self.head(x.flatten(1)))

    model, points = Residual(), rows(4, 2, 3, 3)
    copy = in_double(model)

    def preactivations(x: Tensor) -> list[Tensor]:
        z = copy.norm(copy.conv(x))
        return [z.flatten(1), copy.head((x + z.relu()).flatten(1))]

    expected = by_reverse_mode(preactivations, points)
    for distances, exact in zip(unit_distances(model, points).per_unit, expected, strict=True):
        np.testing.assert_allclose(distances, exact, rtol=1e-11)


def test_agrees_with_reverse_mode_in_a_transformer():
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(4, 2, 6, activation="gelu", batch_first=True)
    points, seen = rows(3, 2, 4), []
    copy = in_double(model)
    copy.linear1.register_forward_hook(lambda module, args, output: seen.append(output))

    def preactivations(x: Tensor) -> list[Tensor]:
        copy(x)
        return [seen.pop()]

    (expected,) = by_reverse_mode(preactivations, points)
    (found,) = unit_distances(model, points).per_unit
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_agrees_with_reverse_mode_behind_fused_attention():
    def attend(x: Tensor) -> Tensor:
        return functional.scaled_dot_product_attention(x, 2 * x, x - 1)

    points = rows(3, 5, 4)
    (expected,) = by_reverse_mode(lambda x: [attend(x)], points)
    (found,) = unit_distances(Apply(lambda x: functional.silu(attend(x))), points).per_unit
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_nearest_of_several_breakpoints_counts():
    model = nn.Sequential(nn.Linear(1, 1, dtype=torch.float64), nn.Hardtanh(-1, 2))
    with torch.no_grad():
        model[0].weight.fill_(2.0)
        model[0].bias.zero_()
    distances = unit_distances(model, [[-3.0], [-0.25], [0.5], [3.0]]).minimum
    assert distances.tolist() == [2.5, 0.25, 0.5, 2.0]


def test_units_that_do_not_vary_are_infinitely_far():
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1), nn.ReLU())
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]]))
        model[0].bias.copy_(torch.tensor([0.0, -5.0, 1.0]))
    found = unit_distances(model, [[1.0, 2.0]])
    assert found.per_unit[0].tolist() == [[np.inf, 4.0, np.inf]]
    assert found.per_unit[1].tolist() == [[np.inf]]
    constant = nn.Sequential(Apply(lambda x: x.detach() * 0 + 1), nn.ReLU())
    assert unit_distances(constant, [[1.0, 2.0]]).minimum.tolist() == [np.inf]


@pytest.mark.parametrize("batch_size", [1, 3, 100])
def test_many_directions_and_points_are_cut_into_batches(batch_size, monkeypatch):
    model, points = default_mlp(11, 9, 7, 3), rows(10, 11)
    expected = unit_distances(model, points).per_unit
    monkeypatch.setattr("splinecam.measures.distances.BATCH_INPUTS", 4)
    found = unit_distances(model, points, batch_size=batch_size).per_unit
    for distances, exact in zip(found, expected, strict=True):
        np.testing.assert_allclose(distances, exact, rtol=1e-13)


def test_leaves_the_model_alone_and_works_in_inference_mode():
    model = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.ReLU()).train()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    with torch.inference_mode():
        unit_distances(nn.Sequential(nn.Identity(), nn.ReLU()), rows(3, 4))
    unit_distances(model, rows(3, 4), layers=[nn.ReLU])
    assert model.training
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    assert all(p.grad is None for p in model.parameters())


# --- Against the exact partition -------------------------------------------------------------


def test_least_distance_is_that_to_the_boundary_of_the_points_region():
    model = default_mlp(2, 20, 20, 20, 1)
    p = compute_partition(model, Slice.box((-4, 4), (-4, 4)))
    regions = p.polygons[p.locate(GRID)]
    expected = shapely.distance(shapely.boundary(regions), shapely.points(GRID))
    inside = expected < 2  # nearer than the slice's own boundary
    assert inside.all()
    np.testing.assert_allclose(unit_distances(model, GRID).minimum, expected, rtol=1e-9)


def test_nearest_edge_of_points_inside_is_where_their_region_ends():
    model = default_mlp(2, 20, 20, 20, 1)
    p = compute_partition(model, Slice.box((-4, 4), (-4, 4)))
    nearest = nearest_edges(p, GRID)
    np.testing.assert_allclose(nearest.distances, unit_distances(model, GRID).minimum, rtol=1e-9)
    ends = p.vertices[p.edges[nearest.edges]]
    distances = shapely.distance(shapely.linestrings(ends), shapely.points(GRID))
    np.testing.assert_allclose(nearest.distances, distances, rtol=1e-12)
    assert (p.edge_hinges[nearest.edges] >= 0).all()


def test_distance_on_a_slice_is_no_less_than_that_in_the_input_space():
    model = default_mlp(10, 30, 30, 1)
    slice_ = Slice.through(rows(3, 10))
    p = compute_partition(model, slice_)
    points = slice_.embed(GRID)
    on_slice, in_space = nearest_edges(p, GRID).distances, unit_distances(model, points).minimum
    assert (on_slice >= in_space * (1 - 1e-12)).all()
    assert (on_slice > 1.5 * in_space).any()


# --- Edges of a partition --------------------------------------------------------------------


def test_nearest_edges_by_brute_force():
    p = on(default_mlp(2, 12, 12, 1), SQUARE)
    points = np.random.default_rng(0).uniform(-1.5, 1.5, (200, 2))
    inner = np.flatnonzero(p.edge_hinges >= 0)
    start, end = p.vertices[p.edges[inner]].swapaxes(0, 1)[:, None]
    along = end - start
    t = ((points[:, None] - start) * along).sum(axis=-1) / (along**2).sum(axis=-1)
    feet = start + np.clip(t, 0, 1)[..., None] * along
    distances = np.linalg.norm(points[:, None] - feet, axis=-1)
    nearest = nearest_edges(p, points)
    np.testing.assert_allclose(nearest.distances, distances.min(axis=1), rtol=1e-12)
    chosen = np.searchsorted(inner, nearest.edges)
    np.testing.assert_allclose(distances[np.arange(200), chosen], distances.min(axis=1), rtol=1e-12)


def test_of_edges_that_are_equally_near_it_is_the_first():
    layer = nn.Linear(2, 2, dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(2))
        layer.bias.zero_()
    p = on(nn.Sequential(layer, nn.ReLU()), SQUARE)
    nearest = nearest_edges(p, [(0, 0), (0.5, 0.5)])
    inner = np.flatnonzero(p.edge_hinges >= 0)
    assert nearest.distances.tolist() == [0, 0.5]
    assert nearest.edges[0] == inner[0]
    reach = [e for e in inner if (p.vertices[p.edges[e]] >= 0).all()]
    assert nearest.edges[1] == min(reach)


def test_slice_that_nothing_cuts_has_no_nearest_edge():
    p = on(nn.Linear(2, 1), SQUARE)
    edges, distances = nearest_edges(p, GRID)
    assert (edges == -1).all()
    assert (distances == np.inf).all()
    assert nearest_edges(p, np.empty((0, 2))).edges.shape == (0,)


# --- Refusals --------------------------------------------------------------------------------


def test_wrong_arguments_are_refused():
    model = default_mlp(2, 3, 1)
    with pytest.raises(InvalidArgumentError, match=r"points has shape \(2,\)"):
        unit_distances(model, [1.0, 2.0])
    with pytest.raises(InvalidArgumentError, match="batch_size is 0; accepted: an integer >= 1"):
        unit_distances(model, [[1.0, 2.0]], batch_size=0)
    with pytest.raises(InvalidArgumentError, match="device is 'nowhere'"):
        unit_distances(model, [[1.0, 2.0]], device="nowhere")
    with pytest.raises(InvalidArgumentError, match=r"uv has shape \(1, 3\); accepted: \(n, 2\)"):
        nearest_edges(on(model, SQUARE), [(0, 0, 0)])
    with pytest.raises(InvalidModelError, match="fails on a batch"):
        unit_distances(model, [[1.0, 2.0, 3.0]])
