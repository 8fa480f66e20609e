"""`Partition`: its arrays, what is derived from them, and what `check_invariants` notices."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
import shapely
import torch
from torch import nn

from comparison import (
    apply,
    assert_agrees_with_model,
    default_mlp,
    loops,
    observe,
    on,
    planar_slice,
)
from families import FAR, HEXAGON, SQUARE, TINY_OFFSET, example, generic, linear
from splinecam import InvalidArgumentError, InvariantError, Partition
from splinecam.partition import output_maps

MODEL = default_mlp(2, 16, 16, 16, 3)


@pytest.fixture(scope="module")
def p() -> Partition:
    return on(MODEL, SQUARE)


@pytest.fixture(scope="module")
def hardtanh() -> Partition:
    """A partition whose units have two breakpoints."""
    return on(*example("generic_hardtanh", 0))


# --- arrays ---------------------------------------------------------------------------------


def test_shapes_and_types(p):
    n = p.n_regions, p.n_vertices, p.n_edges
    assert n == (178, p.vertices.shape[0], p.edges.shape[0])
    assert (p.n_units, p.layer_names, p.layer_sizes) == (48, ("1", "3", "5"), (16, 16, 16))
    expected = {
        "vertices": (np.float64, (p.n_vertices, 2)),
        "edges": (np.int32, (p.n_edges, 2)),
        "edge_regions": (np.int32, (p.n_edges, 2)),
        "edge_layers": (np.int32, (p.n_edges,)),
        "edge_units": (np.int32, (p.n_edges,)),
        "region_offsets": (np.int32, (p.n_regions + 1,)),
        "region_vertices": (np.int32, (p.region_offsets[-1],)),
        "areas": (np.float64, (p.n_regions,)),
        "perimeters": (np.float64, (p.n_regions,)),
        "centroids": (np.float64, (p.n_regions, 2)),
    }
    for name, (dtype, shape) in expected.items():
        array = getattr(p, name)
        assert (array.dtype, array.shape) == (dtype, shape), name
        assert not array.flags.writeable, name
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0
    assert not p.root_pattern.flags.writeable
    assert p.patterns().dtype == np.uint8


def test_fields_cannot_be_replaced(p):
    with pytest.raises(AttributeError):
        p.vertices = np.zeros((0, 2))


def test_arrays_take_no_more_than_100_bytes_a_region():
    p = on(default_mlp(2, 200, 1), SQUARE)
    arrays = [array for array in vars(p).values() if isinstance(array, np.ndarray)]
    assert sum(array.nbytes for array in arrays) < 100 * p.n_regions


def test_loops_run_counter_clockwise_round_convex_regions(p):
    for loop in loops(p):
        corners = p.vertices[loop]
        sides = np.roll(corners, -1, axis=0) - corners
        following = np.roll(sides, -1, axis=0)
        turns = sides[:, 0] * following[:, 1] - sides[:, 1] * following[:, 0]
        assert (turns > 0).all()
        assert len(set(loop.tolist())) == len(loop)


def test_halfedges_have_their_region_on_the_left(p):
    numbers = np.repeat(np.arange(p.n_regions), np.diff(p.region_offsets))
    edge, side = p.region_halfedges >> 1, p.region_halfedges & 1
    np.testing.assert_array_equal(p.edge_regions[edge, side], numbers)
    np.testing.assert_array_equal(p.edges[edge, side], p.region_vertices)
    ends = p.vertices[p.edges]
    along = ends[:, 1] - ends[:, 0]
    for side, sign in ((0, 1), (1, -1)):
        inner = p.edge_regions[:, side] >= 0
        away = p.centroids[p.edge_regions[inner, side]] - ends[inner, 0]
        assert (sign * (along[inner, 0] * away[:, 1] - along[inner, 1] * away[:, 0]) > 0).all()


@pytest.mark.parametrize("name", ["p", "hardtanh"])
def test_units_are_greater_on_the_left_and_zero_on_the_edge(name, request):
    partition = request.getfixturevalue(name)
    network = partition.network
    for edge in np.flatnonzero(partition.edge_layers >= 0):
        layer, unit = partition.edge_layers[edge], partition.edge_units[edge]
        sides = network.head(layer) if layer < len(network.layers) else network
        from_left, from_right = sides(partition.centroids[partition.edge_regions[edge]])[:, unit]
        middle = partition.vertices[partition.edges[edge]].mean(axis=0)
        (on_edge,) = sides(middle[None])[:, unit]
        breakpoints = network.layers[layer].breakpoints[0]
        nearest = breakpoints[np.argmin(np.abs(breakpoints - on_edge))]
        assert on_edge == pytest.approx(nearest, abs=1e-9)
        assert from_left > nearest > from_right


def test_outer_edges_lie_on_the_slice(p):
    outer = p.edge_regions[:, 1] < 0
    for labels in (p.edge_layers, p.edge_units, p.edge_hinges):
        assert (labels[outer] == -1).all()
        assert (labels[~outer] >= 0).all()
    ends = p.vertices[p.edges[outer]]
    assert np.abs(ends).max(axis=2) == pytest.approx(1, abs=1e-15)
    assert np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1).sum() == pytest.approx(8)
    assert {tuple(corner) for corner in SQUARE.tolist()} <= set(map(tuple, p.vertices.tolist()))


def test_measures_are_those_of_the_polygons(p):
    polygons = p.polygons
    assert polygons.shape == (p.n_regions,)
    assert shapely.is_valid(polygons).all()
    assert shapely.is_ccw(shapely.get_exterior_ring(polygons)).all()
    for polygon, loop in zip(polygons, loops(p), strict=True):
        ring = shapely.get_coordinates(polygon)
        np.testing.assert_array_equal(ring, p.vertices[[*loop, loop[0]]])
    np.testing.assert_allclose(p.areas, shapely.area(polygons), rtol=1e-9)
    np.testing.assert_allclose(p.perimeters, shapely.length(polygons), rtol=1e-12)
    centroids = shapely.get_coordinates(shapely.centroid(polygons))
    np.testing.assert_allclose(p.centroids, centroids, rtol=0, atol=1e-10)
    assert p.areas.sum() == pytest.approx(p.slice.area, rel=1e-13)


def test_measures_lose_nothing_far_from_the_origin():
    model = nn.Sequential(linear(np.eye(2), np.array([-1e6, 1e6]), torch.float64), nn.ReLU())
    p = on(model, FAR)
    np.testing.assert_array_equal(p.areas, 1)
    np.testing.assert_array_equal(p.perimeters, 4)
    expected = {(1e6 + x, -1e6 + y) for x in (-0.5, 0.5) for y in (-0.5, 0.5)}
    assert set(map(tuple, p.centroids.tolist())) == expected


@pytest.mark.parametrize(
    ("model", "polygon", "text"),
    [
        (MODEL, SQUARE, "178 regions, 390 edges, 213 vertices; 48 units in 3 layers"),
        (MODEL[:1], HEXAGON, "1 region, 6 edges, 6 vertices; 0 units in 0 layers"),
        (default_mlp(2, 1, 1), 1e-9 * SQUARE, "1 region, 4 edges, 4 vertices; 1 unit in 1 layer"),
    ],
)
def test_repr(model, polygon, text):
    assert repr(on(model, polygon)) == f"<Partition: {text}>"


def test_edge_flips_are_the_differences_of_patterns(p, hardtanh):
    for q in (p, hardtanh, on(*example("duplicated", 4)), on(*example("symmetric", 0))):
        patterns, flips = q.patterns().astype(int), q.edge_flips
        change = np.zeros((q.n_edges, q.n_units), int)
        first_units = np.cumsum([0, *q.layer_sizes])
        change[flips.edges, first_units[flips.layers] + flips.units] = flips.steps
        inner = q.edge_regions[:, 1] >= 0
        left, right = q.edge_regions[inner].T
        np.testing.assert_array_equal(change[inner], patterns[left] - patterns[right])
        assert not change[~inner].any()
        edges, first = np.unique(flips.edges, return_index=True)
        np.testing.assert_array_equal(edges, np.flatnonzero(inner))
        np.testing.assert_array_equal(flips.layers[first], q.edge_layers[inner])
        np.testing.assert_array_equal(flips.units[first], q.edge_units[inner])
        assert (flips.steps[first] == 1).all()
        assert not any(array.flags.writeable for array in flips)


# --- patterns and affine maps ---------------------------------------------------------------


def test_patterns_of_some_regions(p):
    patterns = p.patterns()
    for regions in ([5], [177, 0, 3], [4, 4, 2, 4], np.arange(178)[::-1], np.array([7], np.uint64)):
        np.testing.assert_array_equal(p.patterns(regions), patterns[regions])
    assert p.patterns([]).shape == (0, 48)


def test_patterns_are_the_callers_own(p):
    patterns = p.patterns()
    patterns[:] = 9
    assert p.patterns().max() == 1


def test_patterns_count_exceeded_breakpoints(hardtanh):
    seen, _ = observe(example("generic_hardtanh", 0)[0], hardtanh.centroids)
    np.testing.assert_array_equal(hardtanh.patterns(), seen)
    assert set(seen.ravel().tolist()) == {0, 1, 2}


def test_affine_maps_of_some_regions(p):
    whole = p.affine_maps()
    assert [array.shape for array in whole] == [(178, 3, 2), (178, 3)]
    for regions in ([5], [177, 0, 3], [4, 4, 2, 4]):
        for some, expected in zip(p.affine_maps(regions), whole, strict=True):
            np.testing.assert_allclose(some, expected[regions], rtol=1e-12, atol=1e-15)
    assert [array.shape for array in p.affine_maps([])] == [(0, 3, 2), (0, 3)]


@pytest.mark.parametrize("entries", [1, 150, 1000])
def test_affine_maps_are_the_same_when_few_are_held_at_a_time(p, entries, monkeypatch):
    whole = p.affine_maps()
    for limit in ("PATTERN_ENTRIES", "COLUMN_ENTRIES"):
        monkeypatch.setattr(output_maps, limit, entries)
    for part, expected in zip(p.affine_maps(range(p.n_regions)), whole, strict=True):
        np.testing.assert_allclose(part, expected, rtol=1e-12, atol=1e-15)


def test_affine_maps_are_the_model(p):
    points = np.random.default_rng(0).uniform(-1, 1, size=(500, 2))
    slopes, offsets = p.affine_maps(p.locate(points))
    _, outputs = observe(MODEL, points)
    np.testing.assert_allclose(apply(slopes, offsets, points), outputs, rtol=0, atol=1e-14)
    np.testing.assert_allclose(p.network(points), outputs, rtol=0, atol=1e-14)


@pytest.mark.parametrize("method", ["patterns", "affine_maps"])
@pytest.mark.parametrize(
    ("regions", "message"),
    [
        ([178], "regions holds 178; accepted: 0 to 177"),
        ([3, -1, 2], "regions holds -1; accepted: 0 to 177"),
        (3, r"regions has shape \(\) and type int64; accepted: a list of region numbers"),
        ([[3]], r"regions has shape \(1, 1\) and type int64"),
        ([3.0], r"regions has shape \(1,\) and type float64"),
        ([True], r"regions has shape \(1,\) and type bool"),
        (["3"], r"regions has shape \(1,\) and type <U1"),
    ],
)
def test_refuses_other_regions(p, method, regions, message):
    with pytest.raises(InvalidArgumentError, match=message):
        getattr(p, method)(regions)


# --- locate ---------------------------------------------------------------------------------


def test_locate_inside_and_outside(p):
    points = np.random.default_rng(0).uniform(-1.5, 1.5, size=(1000, 2))
    found = p.locate(points)
    assert found.dtype == np.int64
    inside = (np.abs(points) < 1).all(axis=1)
    np.testing.assert_array_equal(found < 0, ~inside)
    assert (found[~inside] == -1).all()
    seen, _ = observe(MODEL, points[inside])
    np.testing.assert_array_equal(p.patterns(found[inside]), seen)
    np.testing.assert_array_equal(p.locate(p.centroids), np.arange(p.n_regions))


def test_points_on_edges_and_vertices_are_in_one_of_their_regions(p):
    found = p.locate(p.vertices)
    assert (found >= 0).all()
    assert all(v in loops(p)[region] for v, region in enumerate(found))
    inner = p.edge_regions[:, 1] >= 0
    middles = p.vertices[p.edges[inner]].mean(axis=1)
    assert (p.locate(middles)[:, None] == p.edge_regions[inner]).any(axis=1).all()


@pytest.mark.parametrize(
    ("uv", "message"),
    [
        ([0.0, 0.0], r"uv has shape \(2,\); accepted: \(n, 2\)"),
        ([[0.0, 0.0, 0.0]], r"uv has shape \(1, 3\); accepted: \(n, 2\)"),
        ([[0.0, np.nan]], "uv holds nan; accepted: finite numbers"),
        ([["a", "b"]], "uv has dtype <U1"),
    ],
)
def test_locate_refuses_other_points(p, uv, message):
    with pytest.raises(InvalidArgumentError, match=message):
        p.locate(uv)


def test_locate_nothing(p):
    assert p.locate(np.zeros((0, 2))).shape == (0,)


# --- invariants -----------------------------------------------------------------------------


def changed(array: np.ndarray, index, value) -> np.ndarray:
    copy = array.copy()
    copy[index] = value
    return copy


TAMPERINGS = {
    "no region": (
        lambda p: {"region_offsets": p.region_offsets[:1]},
        "there is no region",
    ),
    "a loop of two": (
        lambda p: {"region_offsets": changed(p.region_offsets, 1, 2)},
        "region_offsets does not cut region_halfedges into loops of three or more",
    ),
    "an end too early": (
        lambda p: {"region_offsets": p.region_offsets[:-1]},
        "region_offsets does not cut region_halfedges",
    ),
    "a start too late": (
        lambda p: {"region_offsets": p.region_offsets[1:]},
        "region_offsets does not cut region_halfedges",
    ),
    "a loop of 2^31": (
        lambda p: {
            "region_offsets": np.array([0, 2**31 - 10, -(2**31) + 5, 3], np.int32),
            "region_halfedges": p.region_halfedges[:3],
        },
        "region_offsets does not cut region_halfedges",
    ),
    "a vertex that is not": (
        lambda p: {"edges": changed(p.edges, (7, 1), p.n_vertices)},
        "edges has entries outside 0 … 212",
    ),
    "a negative vertex": (
        lambda p: {"edges": changed(p.edges, (0, 0), -1)},
        "edges has entries outside 0 … 212",
    ),
    "a region that is not": (
        lambda p: {"edge_regions": changed(p.edge_regions, (3, 0), 178)},
        "edge_regions has entries outside -1 … 177",
    ),
    "a breakpoint that is not": (
        lambda p: {"edge_hinges": changed(p.edge_hinges, 3, 48)},
        "edge_hinges has entries outside -1 … 47",
    ),
    "a half-edge that is not": (
        lambda p: {"region_halfedges": changed(p.region_halfedges, -1, 2 * p.n_edges)},
        "region_halfedges has entries outside 0 … 779",
    ),
    "a label missing": (
        lambda p: {"edge_hinges": p.edge_hinges[:-1]},
        "the arrays' shapes do not fit each other",
    ),
    "a column missing": (
        lambda p: {"vertices": p.vertices[:, :1]},
        "the arrays' shapes do not fit each other",
    ),
    "a unit missing": (
        lambda p: {"root_pattern": p.root_pattern[:-1]},
        "the arrays' shapes do not fit each other",
    ),
    "nothing on the left": (
        lambda p: {"edge_regions": p.edge_regions[:, ::-1]},
        "an edge has no region on its left",
    ),
    "not a number": (
        lambda p: {"vertices": changed(p.vertices, (9, 0), np.nan)},
        "vertices are not finite",
    ),
    "an outer edge of a unit": (
        lambda p: {"edge_hinges": changed(p.edge_hinges, p.edge_hinges < 0, 0)},
        "edges on the slice's boundary and edges without a unit are not the same",
    ),
    "an inner edge of none": (
        lambda p: {"edge_hinges": changed(p.edge_hinges, np.argmax(p.edge_hinges >= 0), -1)},
        "edges on the slice's boundary and edges without a unit are not the same",
    ),
    "a half-edge twice": (
        lambda p: {"region_halfedges": changed(p.region_halfedges, 0, p.region_halfedges[-1])},
        "a half-edge is in more than one place",
    ),
    "another neighbour": (
        lambda p: {"edge_regions": changed(p.edge_regions, (5, 0), p.edge_regions[5, 0] - 1)},
        "edge_regions of edge 5 contradicts the loops",
    ),
    "loops in another order": (
        lambda p: {"region_halfedges": np.roll(p.region_halfedges, 1)},
        r"edge_regions of edge \d+ contradicts the loops",
    ),
    "an edge to another vertex": (
        lambda p: {"edges": changed(p.edges, (5, 1), p.edges[5, 0])},
        r"the loop of region \d+ is not closed",
    ),
    "a loop in another order": (
        lambda p: {"region_halfedges": p.region_halfedges[[1, 0, *range(2, p.region_offsets[-1])]]},
        "the loop of region 0 is not closed",
    ),
    "a vertex of no edge": (
        lambda p: {"vertices": np.vstack([p.vertices, [0, 0]])},
        r"V - E \+ R is 2; it is 1 for every subdivision of a polygon",
    ),
    "a mirror image": (
        lambda p: {"vertices": p.vertices * [-1, 1]},
        "region 0 has a negative area",
    ),
    "all in one point": (
        lambda p: {"vertices": 0 * p.vertices},
        r"the areas sum to .*0\.0.*, the slice has 4",
    ),
    "all a little larger": (
        lambda p: {"vertices": p.vertices * 1.000001},
        r"the areas sum to .*4\.000008.*, the slice has 4",
    ),
    "another slice": (
        lambda p: {"slice": planar_slice([(-1, -1), (3, -1), (-1, 1)])},
        "4 vertices have two edges only; the slice has 3 corners",
    ),
}  # fmt: skip


@pytest.mark.parametrize("tampering", TAMPERINGS)
def test_invariants_notice(p, tampering):
    p.check_invariants()
    changes, message = TAMPERINGS[tampering]
    with pytest.raises(InvariantError, match=message):
        replace(p, **changes(p)).check_invariants()


@pytest.mark.parametrize("name", ["edges", "edge_regions", "region_offsets", "region_halfedges"])
def test_invariants_notice_every_change_of_a_number(name):
    p = on(default_mlp(2, 5, 1), HEXAGON)
    array = getattr(p, name)
    for index in np.ndindex(array.shape):
        for value in set(range(-2, array.max() + 3)) - {array[index]}:
            with pytest.raises(InvariantError):
                replace(p, **{name: changed(array, index, value)}).check_invariants()


def test_invariants_notice_every_merger_of_two_vertices():
    p = on(default_mlp(2, 6, 1), HEXAGON)
    messages = set()
    for kept, merged in permutations(range(p.n_vertices), 2):
        edges = np.where(p.edges == merged, kept, p.edges)
        with pytest.raises(InvariantError) as caught:
            replace(p, edges=edges).check_invariants()
        messages.add(str(caught.value))
    assert "a vertex has fewer than two edges" in messages


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("shared_edges", -1, "shared_edges has entries outside 0 … "),
        ("shared_hinges", -1, "shared_hinges has entries outside 0 … "),
        ("shared_hinges", 10**9, "shared_hinges has entries outside 0 … "),
    ],
)
def test_invariants_notice_shared_edges_that_cannot_be(name, value, message):
    p = on(*example("duplicated", 4))
    array = getattr(p, name)
    assert len(array) > 1
    with pytest.raises(InvariantError, match=message):
        replace(p, **{name: changed(array, 0, value)}).check_invariants()
    with pytest.raises(InvariantError, match="shared_edges does not ascend"):
        replace(p, shared_edges=p.shared_edges[::-1]).check_invariants()
    with pytest.raises(InvariantError, match="the arrays' shapes do not fit each other"):
        replace(p, **{name: array[1:]}).check_invariants()


def test_invariants_hold_where_coordinates_are_coarse():
    for seed in range(5):
        model, polygon = generic(np.random.default_rng(seed), polygons=[TINY_OFFSET], widths=[6])
        p = on(model, polygon)
        p.check_invariants()
        centre = polygon.mean(axis=0)
        larger = replace(p, vertices=centre + 1.00001 * (p.vertices - centre))
        with pytest.raises(InvariantError, match="the areas sum to"):
            larger.check_invariants()


def test_invariants_do_not_depend_on_where_a_loop_starts(p):
    start, stop = p.region_offsets[3:5]
    turned = p.region_halfedges.copy()
    turned[start:stop] = np.roll(turned[start:stop], 1)
    q = replace(p, region_halfedges=turned)
    q.check_invariants()
    assert_agrees_with_model(q, MODEL)
