"""`Layer` and `PlanarNetwork`: piecewise-linear units and chains of them, as plain arrays."""

from dataclasses import replace

import numpy as np
import pytest

from comparison import default_mlp, on
from families import SQUARE
from splinecam.network.planar import Layer, PlanarNetwork

RNG = np.random.default_rng(0)

NO_ERRORS = {"weight_errors": np.zeros(1), "bias_errors": np.zeros(1)}


def shared(breakpoints, slopes, anchor, n_units=3) -> Layer:
    """A layer whose units all apply the same function."""
    return Layer(
        name="shared",
        weight=RNG.normal(size=(n_units, 2)),
        bias=RNG.normal(size=n_units),
        breakpoints=np.array([breakpoints], float),
        slopes=np.array([slopes], float),
        anchors=np.array([anchor], float),
        **NO_ERRORS,
    )


RELU = shared([0], [0, 1], 0)
LEAKY = shared([0], [0.1, 1], 0)
SHIFTED = shared([0.5], [0, 1], 0)
HARDTANH = shared([-1, 1], [0, 1, 0], -1)
STAIRS = shared([-1, 0, 2], [2, -1, 0.5, 3], 7)
PER_UNIT = Layer(
    name="per unit",
    weight=RNG.normal(size=(3, 2)),
    bias=RNG.normal(size=3),
    breakpoints=np.array([[-1.0, 1], [0, 6], [0.25, 0.5]]),
    slopes=np.array([[0.0, 1, 0], [0, 1, 0], [-1, 2, 3]]),
    anchors=np.array([-1.0, 0, 4]),
    **NO_ERRORS,
)
LAYERS = [RELU, LEAKY, SHIFTED, HARDTANH, STAIRS, PER_UNIT]


def preactivations(layer: Layer) -> np.ndarray:
    """Values of three units around their breakpoints, and on them."""
    return np.concatenate([RNG.normal(scale=3, size=(40, 3)), layer.breakpoints.T * np.ones(3)])


def functions(layer: Layer, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Activations and patterns by the definition, unit by unit."""
    tables = (layer.breakpoints, layer.slopes, layer.anchors)
    activations, patterns = np.zeros_like(z), np.zeros(z.shape, np.uint8)
    for unit in range(3):
        breakpoints, slopes, anchor = (table[unit % len(table)] for table in tables)
        for row, value in enumerate(z[:, unit]):
            y = anchor + slopes[0] * min(value - breakpoints[0], 0)
            ends = [*breakpoints[1:], np.inf]
            for start, end, slope in zip(breakpoints, ends, slopes[1:], strict=True):
                y += slope * max(min(value, end) - start, 0)
            activations[row, unit] = y
            patterns[row, unit] = sum(value > t for t in breakpoints)
    return activations, patterns


def hinges(layer: Layer, z: np.ndarray) -> np.ndarray:
    return (z[:, :, None] - layer.breakpoints).reshape(len(z), -1)


@pytest.mark.parametrize("layer", LAYERS)
def test_hinges_are_preactivations_beyond_each_breakpoint(layer):
    uv = RNG.normal(size=(20, 2))
    weight, bias = layer.hinge_map
    assert weight.shape == (layer.n_hinges, 2)
    z = uv @ layer.weight.T + layer.bias
    np.testing.assert_allclose(uv @ weight.T + bias, hinges(layer, z), atol=1e-14)
    assert layer.n_hinges == 3 * layer.n_breakpoints == len(layer.hinge_units)
    np.testing.assert_array_equal(layer.hinge_units, np.repeat([0, 1, 2], layer.n_breakpoints))


@pytest.mark.parametrize("layer", LAYERS)
def test_activations_and_patterns(layer):
    z = preactivations(layer)
    activations, patterns = functions(layer, z)
    np.testing.assert_allclose(layer.activate(hinges(layer, z)), activations, atol=1e-13)
    counted = [layer.count_exceeded(row) for row in hinges(layer, z) > 0]
    np.testing.assert_array_equal(counted, patterns)
    slopes, offsets = layer.pieces(patterns)
    np.testing.assert_allclose(slopes * z + offsets, activations, atol=1e-13)


@pytest.mark.parametrize("layer", LAYERS)
def test_kinks_are_changes_of_slope(layer):
    weight = RNG.normal(size=(5, 3))
    columns = layer.kink_columns(weight)
    assert columns.shape == (layer.n_hinges, 5)
    for hinge, (unit, column) in enumerate(zip(layer.hinge_units, columns, strict=True)):
        piece = hinge % layer.n_breakpoints
        (below, above), _ = layer.pieces(np.array([[piece] * 3, [piece + 1] * 3], np.uint8))
        np.testing.assert_allclose(column, weight[:, unit] * (above - below)[unit], atol=1e-14)


@pytest.mark.parametrize("layer", LAYERS[:-1])
def test_one_row_of_a_table_stands_for_all_units(layer):
    tables = {name: getattr(layer, name) for name in ("breakpoints", "slopes", "anchors")}
    spread = replace(layer, **{name: np.repeat(t, 3, axis=0) for name, t in tables.items()})
    z = preactivations(layer)
    same = hinges(layer, z)
    np.testing.assert_array_equal(layer.activate(same), spread.activate(same))
    weight = RNG.normal(size=(2, 3))
    np.testing.assert_array_equal(layer.kink_columns(weight), spread.kink_columns(weight))
    patterns = layer.count_exceeded(same[0] > 0)[None]
    for ours, theirs in zip(layer.pieces(patterns), spread.pieces(patterns), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def chain() -> PlanarNetwork:
    second = replace(PER_UNIT, weight=RNG.normal(size=(3, 3)))
    return PlanarNetwork((STAIRS, second), RNG.normal(size=(2, 3)), RNG.normal(size=2))


def test_network_is_a_chain_of_layers():
    network, uv = chain(), RNG.normal(size=(30, 2))
    patterns = []
    values = uv
    for layer in network.layers:
        values, pattern = functions(layer, values @ layer.weight.T + layer.bias)
        patterns.append(pattern)
    expected = values @ network.weight.T + network.bias
    np.testing.assert_allclose(network(uv), expected, atol=1e-12)
    slopes, offsets = network.affine_maps(np.hstack(patterns))
    np.testing.assert_allclose(np.einsum("koi,ki->ko", slopes, uv) + offsets, expected, atol=1e-12)
    assert network.units.sizes == (3, 3)
    assert network.n_outputs == 2
    assert network.units.hinge_layers.tolist() == [0] * 9 + [1] * 6
    assert network.units.hinge_units.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2, 0, 0, 1, 1, 2, 2]


def test_head_ends_in_preactivations():
    network, uv = chain(), RNG.normal(size=(5, 2))
    assert network.head(2) is network
    first, second = network.layers
    z = uv @ first.weight.T + first.bias
    np.testing.assert_allclose(network.head(0)(uv), z)
    expected = functions(first, z)[0] @ second.weight.T + second.bias
    np.testing.assert_allclose(network.head(1)(uv), expected, atol=1e-12)


def test_head_of_a_partition_is_the_network_before_its_layer():
    p = on(default_mlp(2, 8, 8, 1), SQUARE)
    edges = np.flatnonzero(p.edge_layers == 1)
    middles = p.vertices[p.edges[edges]].mean(axis=1)
    z = p.network.head(1)(middles)
    assert np.abs(z[np.arange(len(edges)), p.edge_units[edges]]).max() < 1e-14


@pytest.mark.parametrize("n_layers", [0, 1])
def test_network_without_units(n_layers):
    empty = replace(RELU, weight=np.zeros((0, 2)), bias=np.zeros(0))
    network = PlanarNetwork((empty,) * n_layers, np.ones((1, 2 - 2 * n_layers)), np.ones(1))
    network.check_shapes()
    assert network.units.hinge_layers.shape == network.units.hinge_units.shape == (0,)
    slopes, offsets = network.affine_maps(np.zeros((3, 0), np.uint8))
    assert slopes.shape == (3, 1, 2)
    np.testing.assert_array_equal(slopes, 1 - n_layers)
    np.testing.assert_array_equal(offsets, 1)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("weight", np.zeros((3, 4)), r"per unit: weight has shape \(3, 4\)"),
        ("weight", np.full((3, 3), np.nan), "per unit: weight has .* entries that are not finite"),
        ("bias", np.zeros(2), r"per unit: bias has shape \(2,\)"),
        ("breakpoints", np.zeros((2, 2)), r"per unit: breakpoints has shape \(2, 2\)"),
        ("slopes", np.zeros((3, 2)), r"per unit: slopes has shape \(3, 2\)"),
        ("anchors", np.zeros(2), r"per unit: anchors has shape \(2,\)"),
    ],
)
def test_shapes_are_checked(name, array, message):
    network = chain()
    network.check_shapes()
    first, second = network.layers
    broken = replace(network, layers=(first, replace(second, **{name: array})))
    with pytest.raises(ValueError, match=message):
        broken.check_shapes()
    with pytest.raises(ValueError, match="output weight has shape"):
        replace(network, weight=np.zeros((2, 4))).check_shapes()
    with pytest.raises(ValueError, match=r"output bias has .* not finite"):
        replace(network, bias=np.full(2, np.inf)).check_shapes()
