"""Neurons that are multiples of others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from comparison import assert_exact, on
from families import POLYGONS, SQUARE, Abs, linear
from splinecam.convert import convert
from splinecam.cutting.twins import find_twins

ROW, BIAS = [0.5, -0.75], 0.25


def with_rows(rows: np.ndarray, biases: np.ndarray, activation: nn.Module) -> nn.Sequential:
    return nn.Sequential(linear(np.array(rows), np.array(biases), torch.float64), activation)


@pytest.mark.parametrize("factor", [1.0, 2.0, 0.125, 3.0, 2**-40, -1.0, -0.5, -5.0])
def test_multiples_are_twins(factor):
    rows, biases = [ROW, [1.0, 2.0], [factor * x for x in ROW]], [BIAS, 0.0, factor * BIAS]
    (twins,) = find_twins(convert(with_rows(rows, biases, nn.ReLU()), (2,)))
    assert twins.followers.tolist() == [2]
    assert twins.leaders.tolist() == [0]
    assert twins.ratios.tolist() == [factor]


@pytest.mark.parametrize(
    ("row", "bias"),
    [
        ([-0.5, 0.75], 0.25),
        ([0.5, -0.75], np.nextafter(0.25, 1)),
        ([np.nextafter(1.5, 2), -2.25], 0.75),
        ([0.0, 0.0], 0.0),
        ([0.5, 0.0], 0.25),
    ],
)
def test_what_is_no_multiple_is_no_twin(row, bias):
    model = with_rows([ROW, row, [0.0, 0.0]], [BIAS, bias, 0.0], nn.ReLU())
    (twins,) = find_twins(convert(model, (2,)))
    assert not len(twins.followers)


def test_what_underflows_is_no_multiple():
    tiny = 2.0**-1060
    rows = [[1.0, tiny], [2.0**-30, 0.0], [-(2.0**-10), -tiny * 2**-10]]
    (twins,) = find_twins(convert(with_rows(rows, [0.0, 0.0, 0.0], nn.ReLU()), (2,)))
    assert twins.followers.tolist() == [2]


@pytest.mark.parametrize("activation", [nn.Hardtanh(), nn.Softshrink(0.1), nn.Threshold(0.5, 0.5)])
def test_units_with_other_breakpoints_have_no_twins(activation):
    (twins,) = find_twins(convert(with_rows([ROW, ROW], [BIAS, BIAS], activation), (2,)))
    assert not len(twins.followers)


FACTORS = {"positive": [1.0, 2, 0.5, 3], "negative": [-1.0, -2, -0.5, -3], "both": [1.0, -1, -3]}


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("activation", [nn.ReLU(), nn.LeakyReLU(0.25), Abs()])
@pytest.mark.parametrize("signs", FACTORS)
def test_networks_full_of_twins_are_exact(seed, activation, signs):
    rng = np.random.default_rng(seed)
    modules: list[nn.Module] = []
    width = 2
    for _ in range(3):
        rows, biases = rng.standard_normal((3, width)), rng.standard_normal(3) / 2
        factors, originals = rng.choice(FACTORS[signs], 5), rng.integers(3, size=5)
        rows = np.concatenate([rows, factors[:, None] * rows[originals]])
        biases = np.concatenate([biases, factors * biases[originals]])
        modules += [linear(rows / 2, biases / 2, torch.float64), activation]
        width = len(rows)
    model = nn.Sequential(*modules)
    assert_exact(on(model, POLYGONS[seed % len(POLYGONS)]), model)


@pytest.mark.parametrize("factor", [-1.0, -0.5, -3.0])
def test_a_negative_multiple_bends_where_its_leader_stops_being_negative(factor):
    # The leader -relu(u) is negative for u > 0 and vanishes for u < 0.
    first = linear(np.eye(2), np.zeros(2), torch.float64)
    rows = np.array([[-1.0, 0.0], [-factor, 0.0]])
    second = linear(rows, np.zeros(2), torch.float64)
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
    p = on(model, SQUARE)
    assert_exact(p, model)
    flips = p.edge_flips
    assert set(flips.units[flips.layers == 1].tolist()) == {1}
