"""Batch normalisation's fit to data: against its definition and its optimality."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from comparison import default_mlp
from small_models import Apply, in_double
from splinecam import InvalidArgumentError, InvalidModelError, UnsupportedLayerError, batch_norm_fit


def rows(n: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(3).normal(size=(n, *shape))


def batch_statistics(model: nn.Module, points: np.ndarray) -> nn.Module:
    """Give a float64 MLP the statistics of one batch: what it normalises with in training."""
    norms = [module for module in model.double().train() if isinstance(module, nn.BatchNorm1d)]
    for norm in norms:
        norm.momentum = 1.0
    with torch.no_grad():
        model(torch.from_numpy(points))
        for norm in norms:
            norm.running_var *= (len(points) - 1) / len(points)  # torch keeps the unbiased one
    return model.eval()


def normalised_mlp() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        *(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU()),
        *(nn.Linear(7, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2)),
    )


def test_distances_are_those_of_the_layers_inputs_from_its_hyperplanes():
    model, points = normalised_mlp(), rows(30, 5)
    model[4].running_mean.normal_()
    fits = batch_norm_fit(model, points)
    assert [(fit.name, fit.source) for fit in fits] == [("1", "0"), ("4", "3")]
    copy = in_double(model)
    with torch.no_grad():
        inputs = copy[:3](torch.from_numpy(points)).numpy()
    weight, bias = (t.detach().double().numpy() for t in (copy[3].weight, copy[3].bias))
    for k in range(4):
        # A point of the hyperplane ⟨w, v⟩ + b = μ, and the unit normal.
        on_plane = weight[k] * (copy[4].running_mean[k].item() - bias[k]) / (weight[k] @ weight[k])
        normal = weight[k] / np.linalg.norm(weight[k])
        distances = (inputs - on_plane) @ normal
        np.testing.assert_allclose(fits[1].mean_squares[k], (distances**2).mean(), rtol=1e-12)
        np.testing.assert_allclose(fits[1].least_mean_squares[k], distances.var(), rtol=1e-12)
        np.testing.assert_allclose(fits[1].displacements[k], abs(distances.mean()), rtol=1e-9)


def test_statistics_of_the_batch_fit_best():
    model, points = normalised_mlp(), rows(30, 5)
    for fit in batch_norm_fit(batch_statistics(model, points), points):
        np.testing.assert_allclose(fit.displacements, 0, atol=1e-14)
        np.testing.assert_allclose(fit.mean_squares, fit.least_mean_squares, rtol=1e-12)
    variances = model[1].running_var.numpy()
    norms = model[0].weight.detach().norm(dim=1).numpy()
    first = batch_norm_fit(model, points)[0]
    # Eq. 11.
    np.testing.assert_allclose(first.mean_squares, variances / norms**2, rtol=1e-12)


def test_any_other_mean_fits_worse_by_the_square_of_the_displacement():
    model, points = normalised_mlp(), rows(30, 5)
    batch_statistics(model, points)
    best = batch_norm_fit(model, points)[0]
    for shift in (-0.5, 0.01, 2.0):
        moved = normalised_mlp()
        moved.load_state_dict(model.state_dict())
        moved.double()[1].running_mean.copy_(model[1].running_mean + shift)
        fit = batch_norm_fit(moved, points)[0]
        assert (fit.mean_squares > best.mean_squares).all()
        np.testing.assert_allclose(fit.displacements, abs(shift) / fit.weight_norms, rtol=1e-9)
        excess = fit.mean_squares - fit.least_mean_squares
        np.testing.assert_allclose(excess, fit.displacements**2, rtol=1e-9)


def test_units_bend_where_the_shift_says():
    model, points = normalised_mlp(), rows(30, 5)
    with torch.no_grad():
        model[1].weight.copy_(torch.tensor([1.0, -2.0, 0.5, 1.0, 1.0, 3.0, 0.0]))
        model[1].bias.normal_()
        model[1].running_mean.normal_()
        model[1].running_var.uniform_(0.5, 2.0)
    fit = batch_norm_fit(model, points)[0]
    assert np.isnan(fit.shifts).tolist() == [False] * 6 + [True]
    copy = in_double(model)
    weight, bias = (t.detach().numpy() for t in (copy[0].weight, copy[0].bias))
    for k in range(6):
        normal = weight[k] / fit.weight_norms[k]
        on_plane = normal * ((fit.means[k] - bias[k]) / fit.weight_norms[k] + fit.shifts[k])
        with torch.no_grad():
            z = copy[:2](torch.from_numpy(on_plane[None]))[0, k]
        assert abs(z.item()) < 1e-12


def test_patches_are_the_inputs_of_convolutions():
    torch.manual_seed(0)
    conv = nn.Conv2d(4, 6, 3, padding=1, groups=2)
    model, points = nn.Sequential(conv, nn.BatchNorm2d(6)), rows(5, 4, 6, 6)
    (fit,) = batch_norm_fit(model, points)
    kernels = conv.weight.detach().double()
    patches = functional.unfold(torch.from_numpy(points), 3, padding=1).unflatten(1, (4, 9))
    for k in range(6):
        own = patches[:, :2] if k < 3 else patches[:, 2:]
        z = torch.einsum("ncqp,cq->np", own, kernels[k].flatten(1)) + conv.bias[k].double()
        squares = (z / kernels[k].norm()).square().mean().item()
        np.testing.assert_allclose(fit.mean_squares[k], squares, rtol=1e-12)


def test_what_no_layer_feeds_has_unit_vectors():
    class Residual(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear, self.norm = nn.Linear(3, 3), nn.BatchNorm1d(3)

        def forward(self, x: Tensor) -> Tensor:
            return self.norm(x + self.linear(x))

    model, points = Residual(), rows(20, 3)
    (fit,) = batch_norm_fit(model, points)
    assert (fit.name, fit.source, fit.weight_norms.tolist()) == ("norm", "", [1.0] * 3)
    z = points + in_double(model.linear)(torch.from_numpy(points)).detach().numpy()
    np.testing.assert_allclose(fit.mean_squares, (z**2).mean(axis=0), rtol=1e-12)


def test_normalisation_without_running_statistics_fits_best():
    model = nn.Sequential(
        nn.Linear(3, 4), nn.BatchNorm1d(4, affine=False, track_running_stats=False)
    )
    (fit,) = batch_norm_fit(model, rows(20, 3))
    assert fit.displacements.tolist() == [0] * 4
    np.testing.assert_allclose(fit.mean_squares, fit.least_mean_squares)
    assert fit.shifts.tolist() == [0] * 4


def test_function_that_is_called_is_named_by_it():
    weight = torch.eye(3, dtype=torch.float64) * 2
    zero, one = torch.zeros(3, dtype=torch.float64), torch.ones(3, dtype=torch.float64)
    model = Apply(lambda x: functional.batch_norm(functional.linear(x, weight), zero, one))
    (fit,) = batch_norm_fit(model, rows(9, 3))
    assert (fit.name, fit.source) == ("batch_norm", "linear")
    assert fit.weight_norms.tolist() == [2.0] * 3


def test_weight_that_is_zero_has_no_hyperplane():
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2))
    with torch.no_grad():
        model[0].weight[0] = 0
    (fit,) = batch_norm_fit(model, rows(9, 2))
    for values in (fit.mean_squares, fit.least_mean_squares, fit.displacements, fit.shifts):
        assert np.isnan(values).tolist() == [True, False]
    assert repr(fit).startswith("<BatchNormFit: 1, 2 units; mean squared distance ")


def test_leaves_the_model_alone():
    model = normalised_mlp().train()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    (fit, _) = batch_norm_fit(model, rows(9, 5))
    assert model.training
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    with pytest.raises(ValueError, match="read-only"):
        fit.means[0] = 1


def test_wrong_arguments_are_refused():
    with pytest.raises(UnsupportedLayerError, match="calls no batch normalisation"):
        batch_norm_fit(default_mlp(2, 3, 1), rows(4, 2))
    with pytest.raises(InvalidArgumentError, match=r"points has shape \(3,\)"):
        batch_norm_fit(normalised_mlp(), [1.0, 2.0, 3.0])
    with pytest.raises(InvalidModelError, match=r"'0' \(Linear\) fails on a batch"):
        batch_norm_fit(normalised_mlp(), rows(4, 2))
    with pytest.raises(InvalidArgumentError, match="device is 'meta'"):
        batch_norm_fit(normalised_mlp(), rows(4, 5), device="meta")
