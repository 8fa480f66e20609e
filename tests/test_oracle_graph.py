"""The oracle for branches and maxima against closed forms, and a proof of its results."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
import torch

from families import HEXAGON, SQUARE
from families_dag import FAMILIES, STYLES, example, joined
from oracle import OracleLayer, OracleNetwork, OraclePartition, convex_corners, fractions, partition
from oracle_graph import Bend, OracleGraph, partition_graph


def prove(p: OraclePartition) -> None:
    """Prove a partition right from nothing but the network's exact values at points.

    On each region, by induction over the layers: if the units before keep their pieces, what a
    layer reads is affine. So a unit that is within a piece at all corners is so inside, and a
    member of a group that is largest at all corners is so inside; the mean of the corners tells
    what only touches a breakpoint, or another member, from what does not. As the regions tile the
    slice (`check`) and no two patterns are equal, there are no others.
    """
    graph = p.network
    values = [graph.evaluate(vertex) for vertex in p.vertices]
    for loop, polygon, pattern in zip(p.loops, p.polygons, p.patterns, strict=True):
        assert len(convex_corners(polygon)) == len(loop)
        middle = [sum(axis, Fraction(0)) / len(polygon) for axis in zip(*polygon, strict=True)]
        assert graph.pattern_at(middle) == pattern
        pieces = iter(pattern)
        for layer in graph.layers:
            corners = [values[vertex][layer.value] for vertex in loop]
            if isinstance(layer, Bend):
                for unit, f in enumerate(layer.functions):
                    piece, t = next(pieces), f.breakpoints
                    assert piece == 0 or all(z[unit] >= t[piece - 1] for z in corners)
                    assert piece == len(t) or all(z[unit] <= t[piece] for z in corners)
            else:
                for members in layer.members:
                    own, others = members[next(pieces)], [i for i in members if i >= 0]
                    assert all(z[own] >= z[i] for z in corners for i in others)
    for loop, (a, b) in zip(p.loops, p.affine_maps, strict=True):
        assert all(list(a @ p.vertices[v] + b) == list(values[v][-1]) for v in loop)


# --- closed forms ---------------------------------------------------------------------------


@pytest.mark.parametrize("n", range(3, 9))
def test_maximum_of_tangents_of_a_paraboloid_is_a_voronoi_diagram(n):
    """``max_i 2 s_i·x - |s_i|²`` is largest for the nearest site s_i: every site has a cell."""
    angles = 2 * np.pi * np.arange(n) / n
    sites = np.column_stack([np.cos(angles), np.sin(angles)]) / 2
    sites = np.vstack([sites, [0, 0]])
    graph = OracleGraph()
    tangents = graph.affine([(0, 2 * sites)], -(fractions(sites) ** 2).sum(axis=1))
    graph.largest(tangents, [range(n + 1)])
    p = partition_graph(graph, SQUARE)
    assert sorted(p.patterns) == [(i,) for i in range(n + 1)]
    inner = p.patterns.index((n,))
    assert len(p.loops[inner]) == n
    assert float(p.areas[inner]) == pytest.approx(n * np.tan(np.pi / n) / 16)
    prove(p)


def test_larger_of_two_is_a_relu_of_the_difference():
    rng = np.random.default_rng(0)
    weight, bias = rng.integers(-8, 9, size=(8, 2)), rng.integers(-3, 4, size=8)
    graph = OracleGraph()
    graph.largest(graph.affine([(0, weight)], bias), np.arange(8).reshape(4, 2)[:, ::-1])
    p = partition_graph(graph, HEXAGON)
    layer = OracleLayer(weight[::2] - weight[1::2], bias[::2] - bias[1::2])
    q = partition(OracleNetwork([layer]), HEXAGON)
    assert sorted(p.patterns) == sorted(q.patterns)
    assert set(p.vertices) == set(q.vertices)
    assert p.n_edges == q.n_edges


def test_first_of_equal_members_is_the_largest():
    graph = OracleGraph()
    graph.largest(graph.affine([(0, [[1, 0], [1, 0], [-1, 0], [1, 0]])]), [[-1, 1, 0, 3, 2]])
    p = partition_graph(graph, SQUARE)
    assert sorted(p.patterns) == [(1,), (4,)]
    prove(p)


def test_window_of_zeros_belongs_to_its_first_member():
    """Two rectified coordinates: zero over a quarter of the square."""
    graph = OracleGraph()
    graph.largest(graph.bend(graph.affine([(0, np.eye(2))])), [[0, 1]])
    p = partition_graph(graph, SQUARE)
    areas = dict(zip(p.patterns, map(float, p.areas), strict=True))
    expected = {(0, 0, 0): 1, (1, 0, 0): 1, (0, 1, 1): 1, (1, 1, 0): 0.5, (1, 1, 1): 0.5}
    assert areas == expected
    assert p.n_vertices == 9
    prove(p)


def test_equal_branches_cut_once_and_their_difference_never():
    graph = OracleGraph()
    z = graph.affine([(0, [[1, 2]])])
    first, second = graph.bend(z), graph.bend(z)
    graph.bend(graph.affine([(first, [[1]]), (second, [[-1]])]))
    p = partition_graph(graph, SQUARE)
    assert sorted(p.patterns) == [(0, 0, 0), (1, 1, 0)]
    assert p.interior_edges[0].flips == {(0, 0), (1, 0)}


def test_layers_may_be_read_again():
    """``relu(x) - relu(-x)`` is x, so that the last layer has the lines of the first one."""
    graph = OracleGraph()
    z = graph.affine([(0, np.eye(2))])
    up, down = graph.bend(z), graph.bend(graph.affine([(z, -np.eye(2))]))
    graph.bend(graph.affine([(joined(graph, up, down), np.hstack([np.eye(2), -np.eye(2)]))]))
    p = partition_graph(graph, SQUARE)
    assert p.n_regions == 4
    assert all({layer for layer, _ in e.flips} == {0, 1, 2} for e in p.interior_edges)


# --- families -------------------------------------------------------------------------------


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("family", FAMILIES)
def test_families_are_partitioned_right(family, style):
    for seed in range(2):
        _, graph, polygon = example(family, style, seed)
        prove(partition_graph(graph, polygon))


@pytest.mark.parametrize("family", FAMILIES)
def test_points_are_in_the_regions_of_their_patterns(family):
    _, graph, polygon = example(family, "generic", 1)
    p = partition_graph(graph, polygon)
    numbers = {pattern: number for number, pattern in enumerate(p.patterns)}
    for point in np.random.default_rng(0).dirichlet(np.ones(len(polygon)), size=60) @ polygon:
        x, y = fractions(point)
        corners = p.polygons[numbers[graph.pattern_at(point)]]
        sides = zip(corners, [*corners[1:], corners[0]], strict=True)
        assert all((c - a) * (y - b) >= (d - b) * (x - a) for (a, b), (c, d) in sides)


@pytest.mark.parametrize("family", FAMILIES)
def test_description_agrees_with_the_model(family):
    model, graph, polygon = example(family, "generic", 1)
    points = np.random.default_rng(0).dirichlet(np.ones(len(polygon)), size=20) @ polygon
    with torch.no_grad():
        outputs = model(torch.from_numpy(points)).flatten(1).numpy()
    expected = np.array([graph.evaluate(point)[-1] for point in points], dtype=float)
    np.testing.assert_allclose(outputs, expected, rtol=1e-12, atol=1e-12 * np.abs(outputs).max())


def test_styles_make_the_degeneracies_that_they_promise():
    ties = lines = points = 0
    for family in FAMILIES:
        for style in STYLES:
            _, graph, polygon = example(family, style, 1)
            p = partition_graph(graph, polygon)
            lines += any(len(edge.flips) > 1 for edge in p.interior_edges)
            degrees = np.bincount(np.ravel([edge.ends for edge in p.edges]))
            points += degrees.max() > 4
            ties += any(has_tie(graph, polygon) for polygon in p.polygons)
    assert min(ties, lines, points) >= 5, (ties, lines, points)


def has_tie(graph: OracleGraph, polygon: list) -> bool:
    """Whether two members of a group are largest, both of them all over a region."""
    values = [graph.evaluate(corner) for corner in polygon]
    for layer in (graph.layers[k] for k in graph.groups):
        for members in layer.members:
            entries = [[z[layer.value][i] for i in members if i >= 0] for z in values]
            largest = [{k for k, x in enumerate(row) if x == max(row)} for row in entries]
            if len(set.intersection(*largest)) > 1:
                return True
    return False


def test_the_proof_notices_a_wrong_network():
    _, graph, polygon = example("pooled image", "generic", 0)
    _, other, _ = example("pooled image", "generic", 1)
    p = partition_graph(graph, polygon)
    p.network = other
    with pytest.raises(AssertionError):
        prove(p)
