"""Units, layers and bends, against patterns, sampling and autograd."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from torch import nn

import splinecam as sc
from families import FAMILIES, SQUARE, Prefix, build, example, gaussian, linear
from splinecam.measures.edges import bend_angles, layer_statistics, unit_statistics
from strategies import sliced_networks


def partition_of(model: nn.Module, polygon: np.ndarray) -> sc.Partition:
    return sc.compute_partition(model, sc.Slice(np.zeros(2), np.eye(2), polygon))


def affine(weight, bias) -> nn.Linear:
    return linear(np.array(weight, float), np.array(bias, float), torch.float64)


# --- Units -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_units_agree_with_the_patterns_of_all_regions(name):
    for seed in range(2):
        partition = partition_of(*example(name, seed))
        statistics = unit_statistics(partition)
        first_units = np.cumsum([0, *partition.layer_sizes])
        flat = first_units[statistics["layer"]] + statistics["unit"]
        exceeded = partition.patterns()[:, flat] > statistics["breakpoint"]
        shares = partition.areas @ exceeded / partition.areas.sum()
        np.testing.assert_allclose(statistics["active_share"], shares, atol=1e-12)
        expected = np.where(
            exceeded.all(axis=0), "always on", np.where(exceeded.any(axis=0), "cutting", "dead")
        )
        np.testing.assert_array_equal(statistics["state"], expected)
        still = statistics["state"] != "cutting"
        assert set(statistics["active_share"][still]) <= {0.0, 1.0}
        flips = partition.edge_flips
        numbers = first_units[flips.layers] + flips.units
        lengths = np.bincount(numbers, partition.edge_lengths[flips.edges], partition.n_units)
        of_units = np.bincount(flat, statistics["length"], partition.n_units)
        np.testing.assert_allclose(of_units, lengths, rtol=1e-12)
        assert statistics["n_edges"].sum() == len(flips.edges)


def test_breakpoints_of_a_unit_have_rows_of_their_own():
    model = nn.Sequential(affine([[1, 0], [0, 1]], [0, 0]), nn.Hardtanh(-0.5, 0.25))
    statistics = unit_statistics(partition_of(model, SQUARE))
    assert statistics["unit"].tolist() == [0, 0, 1, 1]
    assert statistics["breakpoint"].tolist() == [0, 1, 0, 1]
    assert statistics["active_share"].tolist() == pytest.approx([0.75, 0.375] * 2)
    assert statistics["length"].tolist() == pytest.approx([2] * 4)
    assert statistics["n_edges"].tolist() == [3] * 4


def test_a_network_without_units_has_no_rows():
    partition = partition_of(affine([[1, 0]], [0]), SQUARE)
    assert {len(column) for column in unit_statistics(partition).values()} == {0}
    assert {len(column) for column in layer_statistics(partition).values()} == {0}
    assert {len(column) for column in bend_angles(partition).values()} == {0}


# --- Layers ------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=15)
@given(sliced_networks())
def test_layers_agree_with_the_partitions_by_the_first_of_them(example):
    model, polygon = example
    partition = partition_of(model, polygon)
    statistics = layer_statistics(partition)
    units = unit_statistics(partition)
    for layer in range(len(partition.layer_names)):
        head = partition_of(model[: 2 * layer + 2], polygon)
        assert statistics["n_regions"][layer] == head.n_regions
        assert statistics["mean_inside"][layer] == pytest.approx(
            partition.n_regions / head.n_regions
        )
        held = np.bincount(head.locate(partition.centroids), minlength=head.n_regions)
        assert statistics["most_inside"][layer] == held.max()
        own = units["layer"] == layer
        cutting = own & (units["state"] == "cutting")
        assert statistics["n_cutting"][layer] == len(set(units["unit"][cutting]))
        assert statistics["length"][layer] == pytest.approx(units["length"][own].sum())
    assert statistics["n_units"].tolist() == list(partition.layer_sizes)


# --- Bends -------------------------------------------------------------------------------------


def test_no_zero_set_bends_in_the_first_layer():
    model = nn.Sequential(
        affine(np.random.default_rng(0).normal(size=(9, 2)), np.zeros(9)), nn.ReLU()
    )
    assert len(bend_angles(partition_of(model, SQUARE))["angle"]) == 0


def test_a_zero_set_bends_by_the_angle_between_its_gradients():
    # relu(relu(u) + v): the zero set is v = 0 left of the axis and v = -u right of it.
    model = nn.Sequential(
        *(affine([[1, 0], [0, 1]], [0, 4]), nn.ReLU(), affine([[1, 1]], [-4]), nn.ReLU())
    )
    partition = partition_of(model, SQUARE)
    bends = bend_angles(partition)
    assert partition.vertices[bends["vertex"]].tolist() == [[0, 0]]
    columns = {name: values.tolist() for name, values in bends.items() if name != "vertex"}
    assert columns == {
        "layer": [1],
        "unit": [0],
        "crossed_layer": [0],
        "crossed_unit": [0],
        "angle": [pytest.approx(np.pi / 4)],
    }


def test_a_leaky_unit_bends_less():
    angles = []
    for slope in (0.0, 0.5, 1.0):
        crossed = nn.LeakyReLU(slope)
        model = nn.Sequential(
            *(affine([[1, 0], [0, 1]], [0, 4]), crossed, affine([[1, 1]], [-4]), nn.ReLU())
        )
        angles += bend_angles(partition_of(model, SQUARE))["angle"].tolist()
    assert angles == pytest.approx([np.pi / 4, np.pi / 4 - np.arctan(0.5), 0.0])


@settings(deadline=None, max_examples=20)
@given(sliced_networks())
def test_bends_are_those_of_the_edges_directions(example):
    model, polygon = example
    partition = partition_of(model, polygon)
    bends = bend_angles(partition)
    inner = np.flatnonzero(partition.edge_hinges >= 0)
    size = np.abs(polygon).max()
    for vertex, layer, unit, crossed_layer, crossed_unit, angle in zip(
        *bends.values(), strict=True
    ):
        at = inner[(partition.edges[inner] == vertex).any(axis=1)]
        own = at[(partition.edge_layers[at] == layer) & (partition.edge_units[at] == unit)]
        crossed = (partition.edge_layers[at] == crossed_layer) & (
            partition.edge_units[at] == crossed_unit
        )
        assert crossed_layer < layer
        assert crossed.any()
        assert len(own) == 2
        ends = partition.vertices[partition.edges[own]]
        if np.hypot(*(ends[:, 1] - ends[:, 0]).T).min() < 1e-4 * size:
            continue
        # Edges have the side where the unit is positive on their left: they run on.
        first, second = ends[:, 1] - ends[:, 0]
        turn = np.arctan2(abs(first[0] * second[1] - first[1] * second[0]), first @ second)
        assert angle == pytest.approx(turn, abs=1e-8)


def test_all_generic_crossings_with_earlier_layers_bend():
    rng = np.random.default_rng(4)
    hidden = build(rng, SQUARE, [gaussian] * 2, [9, 9], ["leaky_relu", "leaky_relu"])[:-1]
    last = affine(*gaussian(rng, 5, Prefix(SQUARE, hidden)))
    partition = partition_of(nn.Sequential(*hidden, last, nn.ReLU()), SQUARE)
    bends = bend_angles(partition)
    # A vertex inside where lines of two layers cross is one bend: of the later one.
    layers = np.full((partition.n_vertices, 2), [99, -1])
    for edge in np.flatnonzero(partition.edge_layers >= 0):
        for vertex in partition.edges[edge]:
            low, high = layers[vertex]
            layer = partition.edge_layers[edge]
            layers[vertex] = min(low, layer), max(high, layer)
    outside = np.unique(partition.edges[partition.edge_layers < 0])
    expected = np.setdiff1d(np.flatnonzero(layers[:, 0] < layers[:, 1]), outside)
    assert sorted(bends["vertex"].tolist()) == expected.tolist()
    assert (bends["angle"] > 0).all()
