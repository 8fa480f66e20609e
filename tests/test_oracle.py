"""The oracle against closed forms, hand-made cases and an independent proof of its results."""

import math
from collections import Counter
from fractions import Fraction
from itertools import combinations, pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from families import (
    FAMILIES,
    GENERIC,
    HEXAGON,
    SQUARE,
    UNIT_SQUARE,
    Abs,
    example,
    linear,
    mixture,
    perturb,
    tent_map,
)
from oracle import (
    OracleLayer,
    OracleNetwork,
    OracleOutput,
    OraclePartition,
    convex_corners,
    fractions,
    partition,
    read_sequential,
)
from strategies import integer_networks, polygons, sliced_networks


def of_lines(*lines, on=SQUARE) -> OraclePartition:
    """Partition by one layer of ReLUs ``a x + b y + c``."""
    layer = OracleLayer([line[:2] for line in lines], [line[2] for line in lines])
    return partition(OracleNetwork([layer]), on)


def counts(p: OraclePartition) -> tuple[int, int, int]:
    return p.n_regions, p.n_vertices, p.n_edges


def degrees(p: OraclePartition) -> Counter:
    return Counter(vertex for edge in p.edges for vertex in edge.ends)


def prove(p: OraclePartition) -> None:
    """Prove a partition right from nothing but the network's exact values at points.

    On each region, by induction over the layers: a layer's units are affine there if the earlier
    ones keep their pieces, and an affine function that is within a piece at all corners is so
    inside; the centroid tells a unit that only touches a breakpoint from one that exceeds it. As
    the regions tile the slice (`check`) and no two patterns are equal, there are no others.
    """
    network = p.network
    functions = [f for layer in network.layers for f in layer.activations]
    evaluated = [network.evaluate(vertex) for vertex in p.vertices]
    values = [np.concatenate(pre_activations) for pre_activations, _ in evaluated]
    for loop, polygon, pattern in zip(p.loops, p.polygons, p.patterns, strict=True):
        assert len(convex_corners(polygon)) == len(loop)
        assert network.pattern_at(centroid(polygon)) == pattern
        for unit, (f, piece) in enumerate(zip(functions, pattern, strict=True)):
            limits = [-math.inf, *f.breakpoints, math.inf]
            assert all(limits[piece] <= values[v][unit] <= limits[piece + 1] for v in loop)
    for loop, (a, b) in zip(p.loops, p.affine_maps, strict=True):
        assert all(list(a @ p.vertices[v] + b) == list(evaluated[v][1]) for v in loop)
    flat_index = {unit: i for i, unit in enumerate(network.units)}
    for edge in p.interior_edges:
        flips = [flat_index[unit] for unit in edge.flips]
        assert all(
            values[v][unit] in functions[unit].breakpoints for v in edge.ends for unit in flips
        )


def centroid(polygon: list) -> list[Fraction]:
    return [sum(axis, Fraction(0)) / len(polygon) for axis in zip(*polygon, strict=True)]


# --- closed forms ---------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(1, 10))
def test_lines_in_general_position(n):
    lines = np.random.default_rng(n).normal(size=(n, 3))
    intercepts = lines[:, 2:] / lines[:, :2]
    crossings = [
        np.linalg.solve(lines[pair, :2], -lines[pair, 2])
        for pair in map(list, combinations(range(n), 2))
    ]
    half = 2 * max(1, *(np.abs(point).max() for point in [*intercepts, *crossings]))
    p = of_lines(*lines, on=half * SQUARE)
    assert p.n_regions == 1 + n + math.comb(n, 2)
    assert p.n_vertices == math.comb(n, 2) + 2 * n + 4
    assert len(p.interior_edges) == n**2
    prove(p)


@pytest.mark.parametrize("n", [1, 2, 3, 7, 32])
def test_lines_through_the_origin(n):
    p = of_lines(*np.pad(np.random.default_rng(n).normal(size=(n, 2)), ((0, 0), (0, 1))))
    assert counts(p) == (2 * n, 1 + 2 * n + 4 - (n == 1), 2 * n * 2 + 4 - (n == 1))


@pytest.mark.parametrize("n_folds", [1, 2, 3, 4])
def test_tent_map_makes_equal_squares(n_folds):
    p = partition(read_sequential(tent_map(n_folds)), UNIT_SQUARE)
    side = Fraction(1, 2**n_folds)
    assert p.n_regions == 4**n_folds
    assert set(p.areas) == {side**2}
    assert all(len({x for x, _ in q}) == len({y for _, y in q}) == 2 for q in p.polygons)
    assert all(abs(slope) == 2**n_folds for a, _ in p.affine_maps for slope in np.diag(a))


def test_known_count_of_a_default_network():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        widths = [2, 16, 16, 16]
        hidden = [m for k, n in pairwise(widths) for m in (nn.Linear(k, n), nn.ReLU())]
    assert partition(read_sequential(nn.Sequential(*hidden)), SQUARE).n_regions == 178


# --- hand-made cases ------------------------------------------------------------------------


def test_one_relu():
    p = of_lines((1, 0, -0.5))
    assert counts(p) == (2, 6, 7)
    assert dict(zip(p.patterns, p.areas, strict=True)) == {(0,): 3, (1,): 1}
    assert set(p.vertices) == {(-1, -1), (0.5, -1), (1, -1), (1, 1), (0.5, 1), (-1, 1)}
    (edge,) = p.interior_edges
    assert edge.flips == {(0, 0)}
    assert {p.vertices[v] for v in edge.ends} == {(0.5, -1), (0.5, 1)}
    assert p.adjacency == {frozenset({0, 1})}


@pytest.mark.parametrize(
    ("line", "pattern"),
    [
        ((1, 0, 2), 1),  # off the slice
        ((1, 0, -2), 0),
        ((1, 0, 1), 1),  # along a side, from inside and outside
        ((-1, 0, -1), 0),
        ((1, 1, 2), 1),  # touching a corner
        ((-1, -1, -2), 0),
        ((0, 0, 0), 0),  # identically zero: not exceeded
        ((0, 0, 1), 1),
        ((0, 0, -1), 0),
    ],
)
def test_a_unit_that_cuts_nothing(line, pattern):
    p = of_lines(line)
    assert p.patterns == [(pattern,)]
    assert counts(p) == (1, 4, 4)


def test_line_through_one_corner():
    p = of_lines((2, 1, -1))
    assert counts(p) == (2, 5, 6)
    assert sorted(degrees(p).values()) == [2, 2, 2, 3, 3]


def test_line_through_two_corners():
    assert counts(of_lines((1, 1, 0))) == (2, 4, 5)


@pytest.mark.parametrize("factor", [1, 3, 1e-30, -1, -0.1])
def test_proportional_neurons_cut_once(factor):
    p = of_lines((1, 2, 0.25), (factor, 2 * factor, 0.25 * factor))
    assert counts(p) == (2, 6, 7)
    assert set(p.patterns) == ({(0, 0), (1, 1)} if factor > 0 else {(0, 1), (1, 0)})
    assert p.interior_edges[0].flips == {(0, 0), (0, 1)}


def test_floats_are_exact_numbers():
    assert of_lines((1, 0, -0.3), (1, 0, -(0.1 + 0.2))).n_regions == 3
    assert of_lines((3, 0, -0.3), (1, 0, -0.1)).n_regions == 3  # 0.3 is not 3 times 0.1
    assert of_lines((3, 0, -1), (1, 0, -Fraction(1, 3))).n_regions == 2


def test_three_lines_concurrent_and_nearly_so():
    p = of_lines((1, 0, 0), (0, 1, 0), (1, 2, 0))
    assert counts(p) == (6, 11, 16)
    assert max(degrees(p).values()) == 6
    q = of_lines((1, 0, 0), (0, 1, 0), (1, 2, 2.0**-900))
    assert counts(q) == (7, 13, 19)
    assert min(q.areas) == Fraction(1, 4 * 2**1800)


def test_rebuilt_line_flips_all_its_units():
    pair = OracleLayer([[1, 2], [-1, -2]], [0.5, -0.5])
    rebuilt = OracleLayer([[1, -1], [-3, 0.1], [1, 1], [1, 0]], [0, 0, 0, 0])
    p = partition(OracleNetwork([pair, rebuilt]), SQUARE)
    # |f| is positive on both sides; relu(f) alone vanishes identically where f < 0.
    assert set(p.patterns) == {(1, 0, 1, 0, 1, 1), (0, 1, 0, 1, 1, 0)}
    assert p.interior_edges[0].flips == {(0, 0), (0, 1), (1, 0), (1, 1), (1, 3)}


def test_unit_that_touches_zero_from_below_is_never_exceeded():
    pair = OracleLayer([[1, 0], [-1, 0]], [0, 0])
    p = partition(OracleNetwork([pair, OracleLayer([[-1, -1]], [0])]), SQUARE)
    assert set(p.patterns) == {(1, 0, 0), (0, 1, 0)}


def test_two_breakpoints_in_the_slice():
    hardtanh = OracleLayer([[1, 0], [1, 0]], [0, 1], (-0.5, 0.5), (0, 1, 0), -0.5)
    p = partition(OracleNetwork([hardtanh]), SQUARE)
    assert set(p.patterns) == {(0, 1), (1, 2), (2, 2)}  # x = -1/2 twice, x = 1/2; x = -3/2 outside
    flips = Counter(edge.flips for edge in p.interior_edges)
    assert flips == {frozenset({(0, 0), (0, 1)}): 1, frozenset({(0, 0)}): 1}
    assert p.affine_maps[p.patterns.index((1, 2))][0].tolist() == [[1, 0], [0, 0]]


def test_parameters_per_unit():
    layer = OracleLayer(
        weight=[[1, 0], [0, 1]],
        bias=[0, 0],
        breakpoints=[[0], [-0.5, 0.5]],
        slopes=[[-1, 1], [1, 0, 3]],
        value=[7, -0.5],
    )
    network = OracleNetwork([layer], OracleOutput([[1, 1]], [10]))
    assert network.evaluate([Fraction(-1, 2), 1])[1] == [7 + Fraction(1, 2) - 0.5 + 1.5 + 10]
    p = partition(network, SQUARE)
    assert p.n_regions == 6
    prove(p)


def test_network_without_layers():
    p = partition(OracleNetwork([], OracleOutput([[1, 2]], [3])), HEXAGON)
    assert counts(p) == (1, 6, 6)
    assert p.patterns == [()]
    assert [array.tolist() for array in p.affine_maps[0]] == [[[1, 2]], [3]]


# --- families and random networks -----------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_families_are_partitioned_right(name):
    model, polygon = example(name, seed=1)
    p = partition(read_sequential(model), polygon)
    prove(p)


@given(integer_networks(), st.sampled_from([SQUARE, HEXAGON, UNIT_SQUARE]))
@settings(max_examples=60, deadline=None)
def test_integer_networks_are_partitioned_right(model, polygon):
    prove(partition(read_sequential(model), polygon))


@given(sliced_networks())
@settings(max_examples=25, deadline=None)
def test_random_networks_are_partitioned_right(case):
    model, polygon = case
    prove(partition(read_sequential(model), polygon))


@pytest.mark.parametrize("seed", range(25))
def test_mixtures_are_partitioned_right(seed):
    rng = np.random.default_rng(seed)
    model, polygon = mixture(rng)
    noisy = perturb(model, rng, 10.0 ** -rng.integers(8, 17), 0.5)
    for network in map(read_sequential, (model, noisy)):
        partition(network, polygon)  # checks itself
    prove(partition(read_sequential(model), polygon))


def test_the_proof_notices_a_wrong_network():
    network = OracleNetwork([OracleLayer([[1, 0], [0, 1]], [0, 0])])
    p = partition(network, SQUARE)
    for bias in ([0, 2.0**-60], [0, 2]):
        p.network = OracleNetwork([OracleLayer([[1, 0], [0, 1]], bias)])
        with pytest.raises(AssertionError):
            prove(p)


def test_the_check_notices_a_missing_and_a_doubled_region():
    p = of_lines((1, 0, 0), (0, 1, 0.5))
    for cells in (p._cells[1:], [*p._cells, p._cells[0]]):
        with pytest.raises(AssertionError):
            OraclePartition(p.network, p._slice_corners, cells, p._scale)


@pytest.mark.parametrize("name", GENERIC)
def test_generic_families_are_generic(name):
    for seed in range(3):
        model, polygon = example(name, seed)
        p = partition(read_sequential(model), polygon)
        assert all(len(edge.flips) == 1 for edge in p.interior_edges)
        boundary = {v for edge in p.edges if edge.regions[1] < 0 for v in edge.ends}
        corners = {v for v, point in enumerate(p.vertices) if point in set(map(tuple, polygon))}
        for vertex, degree in degrees(p).items():
            assert degree == 4 - (vertex in boundary) - (vertex in corners)


@pytest.mark.parametrize("name", ["duplicated", "negated", "scaled", "rebuild", "saturated"])
def test_degenerate_families_share_edges(name):
    shared = 0
    for seed in range(10):
        model, polygon = example(name, seed)
        p = partition(read_sequential(model), polygon)
        shared += any(len(edge.flips) > 1 for edge in p.interior_edges)
    assert shared >= 4


@pytest.mark.parametrize(
    "name", ["zero_bias", "concurrent", "many_concurrent", "through_vertices", "symmetric"]
)
def test_degenerate_families_share_vertices(name):
    shared = 0
    for seed in range(10):
        model, polygon = example(name, seed)
        p = partition(read_sequential(model), polygon)
        shared += max(degrees(p).values()) > 4
    assert shared >= 4


# --- reading torch models -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["generic_mixed", "generic_deep", "generic_float32", "rebuild"])
def test_description_agrees_with_the_model(name):
    model, polygon = example(name, seed=2)
    network = read_sequential(model)
    points = np.random.default_rng(0).dirichlet(np.ones(len(polygon)), size=20) @ polygon
    with torch.no_grad():
        outputs = model.double()(torch.from_numpy(points)).numpy()
    expected = np.array([network.evaluate(point)[1] for point in points], dtype=float)
    np.testing.assert_allclose(outputs, expected, rtol=1e-12, atol=1e-12 * np.abs(outputs).max())


def test_reading_composes_linears_and_takes_activations_anywhere():
    rng = np.random.default_rng(0)
    shared = linear(rng.normal(size=(2, 2)), rng.normal(size=2), torch.float32)
    plain = nn.Linear(2, 2, bias=False)
    nn.init.constant_(plain.weight, 0.7)
    model = nn.Sequential(
        Abs(), shared, nn.Identity(), plain, nn.ReLU6(), nn.Sequential(shared, nn.PReLU())
    )
    network = read_sequential(model)
    assert network.output is None
    point = fractions([Fraction(-1, 3), Fraction(1, 2)])
    first, second, third = network.evaluate(point)[0]
    weight, bias = map(fractions, shared.parameters())
    assert list(first) == list(point)
    assert list(second) == list(fractions(plain.weight) @ (weight @ abs(point) + bias))
    assert list(third) == list(weight @ np.clip(second, 0, 6) + bias)


def test_reading_on_an_embedded_plane():
    rng = np.random.default_rng(0)
    layer = linear(rng.normal(size=(4, 3)), rng.normal(size=4), torch.float64)
    model = nn.Sequential(layer, nn.ReLU())
    origin, basis = np.array([0.1, 0.2, 0.3]), np.array([[0.6, 0.8, 0], [0, 0, 1]])
    z = read_sequential(model, origin=origin, basis=basis).evaluate([2, -1])[0][0]
    x = torch.from_numpy(origin + [2, -1] @ basis)
    np.testing.assert_allclose(z.astype(float), layer(x).detach().numpy(), rtol=1e-14)


def test_refusals():
    with pytest.raises(ValueError, match="does not know GELU"):
        read_sequential(nn.Sequential(nn.Linear(2, 2), nn.GELU()))
    with pytest.raises(ValueError, match="increasing breakpoints"):
        partition(OracleNetwork([OracleLayer([[1, 0]], [0], (0, 0), (0, 1, 0))]), SQUARE)
    with pytest.raises(ValueError, match="NaN"):
        of_lines((math.nan, 0, 0))
    with pytest.raises(OverflowError, match="Infinity"):
        of_lines((math.inf, 0, 0))


@pytest.mark.parametrize(
    "polygon",
    [
        [(0, 0), (1, 1)],
        [(0, 0), (1, 1), (2, 2)],
        [(0, 0), (1, 0), (2, 0), (2, 2)],  # three corners in a line
        [(0, 0), (1, 0), (1, 0), (1, 1)],
        [(0, 0), (2, 0), (0.5, 0.5), (0, 2)],
        [(0, 0), (1, 1), (1, 0), (0, 1)],
        [(math.cos(0.8 * math.pi * k), math.sin(0.8 * math.pi * k)) for k in range(5)],  # star
    ],
)
@pytest.mark.parametrize("step", [1, -1])
def test_polygons_that_are_not_strictly_convex(polygon, step):
    with pytest.raises(ValueError, match="not strictly convex"):
        partition(OracleNetwork([]), polygon[::step])


def test_clockwise_polygon():
    assert of_lines((1, 0, 0), on=SQUARE[::-1]).areas == [2, 2]


# --- the generators themselves --------------------------------------------------------------


@pytest.mark.parametrize("name", FAMILIES)
def test_families_follow_the_seed_alone(name):
    before = torch.get_rng_state()
    (one, polygon), (two, same_polygon) = example(name, seed=3), example(name, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert str(one) == str(two)
    assert all(map(torch.equal, one.parameters(), two.parameters()))
    assert np.array_equal(polygon, same_polygon)
    convex_corners(polygon)


def test_perturb_changes_a_copy_of_some_units():
    model, _ = example("generic_shallow", seed=0)
    original = model.get_parameter("0.weight").detach().clone()
    noisy = perturb(model, np.random.default_rng(0), 1e-8, 0.5)
    change = (noisy.get_parameter("0.weight") - original).abs()
    assert torch.equal(model.get_parameter("0.weight"), original)
    assert 0 < change.max() < 1e-7
    assert 0 < (change.amax(dim=1) > 0).sum() < len(original)


@given(polygons())
def test_polygon_strategy_draws_well_formed_corners(polygon):
    assert len(convex_corners(polygon)) == len(polygon)
    ahead, back = np.roll(polygon, -1, axis=0) - polygon, np.roll(polygon, 1, axis=0) - polygon
    sines = ahead[:, 0] * back[:, 1] - ahead[:, 1] * back[:, 0]
    assert np.all(sines > 0.05 * np.linalg.norm(ahead, axis=1) * np.linalg.norm(back, axis=1))
