"""Decision boundaries and level sets: ties first, then closed forms, then random networks."""

import math

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

import splinecam as sc
from families import ACTIVATIONS, POLYGONS, SQUARE, Prefix, build, gaussian, linear
from splinecam._kernels.envelope import Loops, evaluate_maps
from splinecam.errors import InvalidArgumentError
from splinecam.measures import envelopes
from splinecam.measures.boundary import DecisionBoundary, decision_boundary, level_set
from splinecam.partition import maps, output_maps
from strategies import polygons

BOX = sc.Slice.box((-1, 1), (-1, 1))


class Abs(nn.Module):
    def forward(self, x):
        return x.abs()


def affine(weight, bias=None) -> nn.Linear:
    rows = np.array(weight, float)
    return linear(rows, np.zeros(len(rows)) if bias is None else np.array(bias), torch.float64)


def decide(*modules: nn.Module, slice_: sc.Slice = BOX) -> DecisionBoundary:
    return decision_boundary(sc.compute_partition(nn.Sequential(*modules), slice_))


def classifier(seed: int, n_classes: int, polygon: np.ndarray = SQUARE) -> nn.Sequential:
    """Draw a network of one to three hidden layers; each output vanishes somewhere on a polygon."""
    rng = np.random.default_rng(seed)
    widths = rng.integers(1, 9, size=rng.integers(1, 4)).tolist()
    activations = rng.choice(list(ACTIVATIONS), size=len(widths)).tolist()
    hidden = build(rng, polygon, [gaussian] * len(widths), widths, activations)[:-1]
    return nn.Sequential(*hidden, affine(*gaussian(rng, n_classes, Prefix(polygon, hidden))))


def partition_of(model: nn.Module, polygon: np.ndarray = SQUARE) -> sc.Partition:
    return sc.compute_partition(model, sc.Slice(np.zeros(2), np.eye(2), polygon))


def pieces_of(boundary: DecisionBoundary) -> list[np.ndarray]:
    return np.split(boundary.piece_vertices, boundary.piece_offsets[1:-1])


def classes_at(boundary: DecisionBoundary, points: np.ndarray) -> np.ndarray:
    """Look the classes of points up in the pieces of the regions that hold them."""
    regions = boundary.partition.locate(points)
    classes = np.full(len(points), -1)
    outlines = [shapely.Polygon(piece) for piece in pieces_of(boundary)]
    for k, (point, region) in enumerate(zip(shapely.points(points), regions, strict=True)):
        first, last = np.searchsorted(boundary.piece_regions, [region, region + 1])
        near = min(range(first, last), key=lambda m: outlines[m].distance(point))
        classes[k] = boundary.piece_classes[near]
    return classes


def assert_is_cut_of_regions(boundary: DecisionBoundary) -> None:
    """Every region is covered by its pieces, each of them a counter-clockwise polygon."""
    partition = boundary.partition
    assert (np.diff(boundary.piece_regions) >= 0).all()
    assert (np.diff(boundary.piece_offsets) >= 3).all()
    assert (boundary.piece_areas > -1e-15).all()
    outlines = [shapely.LinearRing(piece) for piece in pieces_of(boundary)]
    large = boundary.piece_areas > 1e-15
    assert shapely.is_ccw(outlines)[large].all()
    measured = shapely.area(shapely.polygons(outlines))
    np.testing.assert_allclose(boundary.piece_areas, measured, rtol=1e-6, atol=1e-14)
    total = np.bincount(boundary.piece_regions, boundary.piece_areas, partition.n_regions)
    np.testing.assert_allclose(total, partition.areas, rtol=1e-9, atol=1e-14)
    assert boundary.class_areas.sum() == pytest.approx(partition.slice.area, rel=1e-12)


def assert_top_two_are_equal(boundary: DecisionBoundary, outputs: np.ndarray) -> None:
    """`outputs` (S, classes) at the middle of each segment."""
    rows = np.arange(len(outputs))
    first, second = (outputs[rows, classes] for classes in boundary.classes.T)
    tolerance = 1e-9 * np.abs(outputs).max(initial=1.0)
    assert (np.abs(first - second) <= tolerance).all()
    assert (outputs.max(axis=1, initial=-np.inf) <= first + tolerance).all()


def on_outline(points: np.ndarray, polygon: np.ndarray) -> np.ndarray:
    return shapely.distance(shapely.LinearRing(polygon), shapely.points(points)) < 1e-9


# --- Ties and other degenerate cases -----------------------------------------------------------


def test_a_constant_network_has_no_boundary():
    boundary = decide(affine([[0, 0]] * 3, [1, 2, 2]))
    assert len(boundary.segments) == len(boundary.regions) == len(boundary.classes) == 0
    assert boundary.length == 0
    assert boundary.class_areas.tolist() == [0, 4, 0]
    assert_is_cut_of_regions(boundary)


@pytest.mark.parametrize(("order", "areas"), [([0, 1, 0], [2, 2, 0]), ([0, 1, 1], [2, 2, 0])])
def test_equal_outputs_go_to_the_lower_class(order, areas):
    boundary = decide(affine(np.array([[0.3, 0.7], [-0.3, -0.7]])[order]))
    assert boundary.class_areas.tolist() == pytest.approx(areas)
    assert boundary.classes.tolist() == [[0, 1]]
    assert boundary.n_classes == 3


@pytest.mark.parametrize("seed", range(5))
def test_equal_outputs_tie_whatever_their_rounding(seed):
    # The sums are zero but for rounding, which is not the same for every output.
    rng = np.random.default_rng(seed)
    hidden = np.column_stack([rng.normal(size=(64, 2)), np.full(64, 10.0)])
    last = rng.normal(size=64) * 1e6
    last -= hidden @ np.linalg.lstsq(hidden, last)[0]
    outputs = affine(np.vstack([np.tile(last, (9, 1)), np.zeros(64)]), [0] * 9 + [-1])
    boundary = decide(affine(hidden[:, :2], hidden[:, 2]), nn.ReLU(), outputs)
    assert boundary.class_areas.tolist() == pytest.approx([4] + 9 * [0])
    assert len(boundary.segments) == 0


def test_outputs_that_tie_on_one_region_only_go_to_the_lower_class_there():
    # relu(x) and 0 tie where x < 0.
    boundary = decide(affine([[1, 0]]), nn.ReLU(), affine([[0], [1], [-1]]))
    assert boundary.class_areas.tolist() == [2, 2, 0]
    assert boundary.segments.tolist() == [[[0, -1], [0, 1]]] or boundary.segments.tolist() == [
        [[0, 1], [0, -1]]
    ]


def test_where_all_final_units_are_off_the_class_is_the_lowest():
    offsets = [-0.3, -0.4, -0.5]
    boundary = decide(affine([[1, 0.1], [-1, 0.2], [0.1, 1]], offsets), nn.ReLU())
    partition = boundary.partition
    off = np.flatnonzero(~partition.patterns().any(axis=1))
    pieces = np.isin(boundary.piece_regions, off)
    assert pieces.sum() == len(off) >= 1
    assert not boundary.piece_classes[pieces].any()
    assert_is_cut_of_regions(boundary)


def test_units_that_are_off_leave_only_rounding_for_outputs_without_bias():
    # All hidden units are off on the triangle that their lines form: every output is 0 there.
    angles = 2 * np.pi * np.arange(3) / 3 + 0.3
    weight = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    last = np.random.default_rng(0).normal(size=(4, 3))
    boundary = decide(affine(weight, [-0.1, -0.1, -0.1]), nn.ReLU(), affine(last))
    off = np.flatnonzero(~boundary.partition.patterns().any(axis=1))
    assert len(off) == 1
    assert boundary.piece_classes[boundary.piece_regions == off[0]].tolist() == [0]


def test_the_boundary_may_run_along_edges():
    partition = sc.compute_partition(nn.Sequential(affine([[1, 0.5]]), nn.ReLU()), BOX)
    boundary = decision_boundary(partition)
    assert boundary.class_areas.tolist() == pytest.approx([2, 2])
    assert boundary.length == pytest.approx(math.sqrt(5))
    assert boundary.regions.tolist() == np.flatnonzero(partition.patterns()[:, 0] == 0).tolist()
    left = shapely.LinearRing([*boundary.segments[0], partition.centroids[boundary.regions[0]]])
    assert left.is_ccw


def test_the_boundary_may_run_along_a_part_of_an_edge():
    # Outputs 0, relu(x) and y.
    hidden = affine([[1, 0], [0, 1]], [0, 2])
    boundary = decide(hidden, nn.ReLU(), affine([[0, 0], [1, 0], [0, 1]], [0, 0, -2]))
    lengths = dict(zip(map(tuple, boundary.classes.tolist()), boundary.lengths, strict=True))
    assert lengths == {(0, 1): 1, (0, 2): 1, (1, 2): pytest.approx(math.sqrt(2))}
    assert boundary.class_areas.tolist() == [1, 1.5, 1.5]
    assert_is_cut_of_regions(boundary)


def test_a_boundary_through_vertices_leaves_no_slivers():
    # The two weights differ in the last bit only.
    boundary = decide(affine([[0.1 + 0.2, 0], [0, 0.3]]))
    assert np.diff(boundary.piece_offsets).tolist() == [3, 3]
    assert boundary.class_areas.tolist() == [2, 2]


def test_margins_cover_the_differences_between_neighbours_maps():
    # A square of two triangles; the second one's map is off by 1e-6.
    loops = Loops(
        vertices=np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]]),
        edges=np.array([[0, 1], [1, 2], [2, 0], [2, 3], [3, 0]], np.int32),
        offsets=np.array([0, 3, 6], np.int32),
        halfedges=np.array([0, 2, 4, 5, 6, 8], np.int32),
    )
    slopes, constants = np.array([[[1.0, 2.0]], [[1.0, 2.0]]]), np.array([[3.0], [3.000001]])
    values, margins = np.empty((3, 1)), np.full((3, 1), -1.0)
    rows = np.array([0, -1, 1, 2])
    evaluate_maps(np.arange(2), loops, rows, slopes, constants, 1e-9, values, margins)
    assert values[:, 0].tolist() == [3, 6, 5.000001]
    assert margins[:, 0] == pytest.approx([1e-6 + 3e-9, 1e-6 + 6e-9, 5e-9], rel=1e-5)


def test_regions_too_narrow_for_an_area_are_cut_along_their_length():
    # Two parallel lines, 2⁻⁵⁴ apart, and the outputs y + relu(…) / 2 + relu(…) / 4 and -y.
    hidden = affine([[1, 0.5], [1, 0.5], [0, 1]], [0.25, 0.25 + 2.0**-54, 3])
    boundary = decide(hidden, nn.ReLU(), affine([[0.5, 0.25, 1], [0, 0, -1]], [-3, 3]))
    assert (boundary.partition.areas == 0).sum() == 1
    assert boundary.piece_regions.tolist() == [0, 0, 1, 1, 2, 2]
    assert len(boundary.segments) == 2
    assert boundary.length == pytest.approx(0.75 + math.hypot(1.25, 0.46875 / 1.1875), rel=1e-9)


def test_a_level_that_a_whole_region_has_belongs_to_class_0():
    model = nn.Sequential(affine([[2, 0.5]]), nn.Hardtanh())
    partition = sc.compute_partition(model, BOX)
    above, below = level_set(partition, 0, 1), level_set(partition, 0, -1)
    assert above.class_areas[0] == pytest.approx(4)
    assert len(above.segments) == 0
    assert below.class_areas[0] == pytest.approx(1)
    assert below.length == pytest.approx(2 * math.sqrt(1 + 1 / 16))


def test_an_output_that_is_ruled_out_by_a_huge_bias_changes_nothing():
    weight, bias = np.random.default_rng(1).normal(size=(5, 2)), np.zeros(5)
    plain = decide(affine(weight, bias))
    masked = decide(affine(np.vstack([weight, [1, 1]]), [*bias, -1e30]))
    assert np.array_equal(plain.segments, masked.segments)
    assert plain.class_areas.tolist() == masked.class_areas.tolist()[:5]
    assert masked.class_areas[5] == 0


def test_levels_that_are_not_reached():
    partition = partition_of(classifier(0, 2))
    for value, areas in ((1e300, [4, 0]), (-1e300, [0, 4])):
        boundary = level_set(partition, 1, value)
        assert boundary.class_areas.tolist() == pytest.approx(areas)
        assert len(boundary.segments) == 0


# --- Closed forms ----------------------------------------------------------------------------


def test_two_affine_outputs():
    boundary = decide(affine([[1, 0], [0, 1]]))
    assert boundary.segments.tolist() == [[[1, 1], [-1, -1]]]
    assert boundary.classes.tolist() == [[0, 1]]
    assert boundary.regions.tolist() == [0]
    assert boundary.lengths.tolist() == [pytest.approx(2 * math.sqrt(2))]
    assert boundary.piece_regions.tolist() == [0, 0]
    assert boundary.piece_classes.tolist() == [0, 1]
    assert boundary.piece_areas.tolist() == [2, 2]


def test_only_where_two_classes_are_the_top_two():
    # Power diagram of 0, x and y: three rays from the origin, not three lines.
    boundary = decide(affine([[0, 0], [1, 0], [0, 1]]))
    lengths = dict(zip(map(tuple, boundary.classes.tolist()), boundary.lengths, strict=True))
    assert lengths == {(0, 1): 1, (0, 2): 1, (1, 2): pytest.approx(math.sqrt(2))}
    assert all([0, 0] in segment for segment in boundary.segments.tolist())
    assert boundary.class_areas.tolist() == [1, 1.5, 1.5]


def test_a_class_between_two_others_separates_them():
    # Where x = 0 all outputs are equal and the middle one never wins.
    boundary = decide(affine([[1, 0], [0, 0], [-1, 0]]))
    assert boundary.classes.tolist() == [[0, 2]]
    assert boundary.class_areas.tolist() == [2, 0, 2]


@pytest.mark.parametrize("n", [3, 4, 7, 60])
def test_a_class_that_wins_at_no_vertex(n):
    """A constant beats the tangents of a circle inside a regular polygon round the circle."""
    angles = 2 * np.pi * (np.arange(n) + 0.25) / n
    weight = np.column_stack([np.cos(angles), np.sin(angles)])
    boundary = decide(affine(np.vstack([weight, [0, 0]]), [*np.zeros(n), 0.3]))
    inner = (boundary.classes == n).any(axis=1)
    assert inner.sum() == n
    assert boundary.lengths[inner].sum() == pytest.approx(2 * n * 0.3 * math.tan(math.pi / n))
    assert boundary.class_areas[n] == pytest.approx(n * 0.09 * math.tan(math.pi / n))
    assert_is_cut_of_regions(boundary)


def test_level_set_of_a_linear_function_is_a_chord():
    partition = sc.compute_partition(affine([[0, 0], [3, 4]], [0, 1]), BOX)
    boundary = level_set(partition, 1, 1.5)  # 3 x + 4 y = 0.5
    assert sorted(boundary.segments[0].tolist()) == [
        [-1, pytest.approx(0.875)],
        [1, pytest.approx(-0.625)],
    ]
    assert boundary.length == pytest.approx(2.5)
    left = shapely.LinearRing([*boundary.segments[0], [-1, -1]])
    assert left.is_ccw  # class 0 is where the function is less


def test_level_set_of_a_norm_is_closed():
    partition = sc.compute_partition(
        nn.Sequential(affine([[1, 0], [0, 1]]), Abs(), affine([[1, 1]])), BOX
    )
    boundary = level_set(partition, 0, 0.75)
    assert sorted(boundary.regions.tolist()) == [0, 1, 2, 3]
    assert boundary.length == pytest.approx(4 * 0.75 * math.sqrt(2))
    assert boundary.class_areas[0] == pytest.approx(2 * 0.75**2)
    ring = shapely.line_merge(shapely.MultiLineString(list(boundary.segments)))
    assert ring.is_ring


def test_a_single_output_is_decided_by_its_sign():
    partition = partition_of(classifier(3, 1))
    boundary, zeros = decision_boundary(partition), level_set(partition, 0, 0.0)
    assert boundary.n_classes == 2
    assert len(boundary.segments) > 0
    assert np.array_equal(boundary.segments, zeros.segments)
    assert np.array_equal(boundary.piece_classes, zeros.piece_classes)


# --- Random networks -------------------------------------------------------------------------


@given(st.integers(0, 2**32), st.integers(2, 9), polygons())
@settings(max_examples=30, deadline=None)
def test_pieces_and_segments_agree_with_the_network(seed, n_classes, polygon):
    model = classifier(seed, n_classes, polygon)
    partition = partition_of(model, polygon)
    boundary = decision_boundary(partition)
    assert_is_cut_of_regions(boundary)
    assert (boundary.classes[:, 0] < boundary.classes[:, 1]).all()
    assert (boundary.lengths > 0).all()

    shares = np.random.default_rng(seed).dirichlet(np.ones(len(polygon)), size=100)
    points = shares @ polygon
    with torch.no_grad():
        outputs = model(torch.from_numpy(points)).numpy()
        middles = model(torch.from_numpy(boundary.segments.mean(axis=1))).numpy()
    top = np.sort(outputs, axis=1)
    clear = top[:, -1] - top[:, -2] > 1e-9 * np.abs(outputs).max()
    assert clear.mean() > 0.9
    assert (classes_at(boundary, points) == outputs.argmax(axis=1))[clear].all()
    assert_top_two_are_equal(boundary, middles)


@given(st.integers(0, 2**32), st.floats(0.05, 0.95))
@settings(max_examples=30, deadline=None)
def test_level_sets_agree_with_the_network(seed, share):
    partition = partition_of(classifier(seed, 2))
    values = partition.network(partition.vertices)[:, 1]
    value = float(values.min() + share * np.ptp(values))
    boundary = level_set(partition, 1, value)
    assert_is_cut_of_regions(boundary)
    centres = np.array([piece.mean(axis=0) for piece in pieces_of(boundary)])
    excess = partition.network(centres)[:, 1] - value
    large = boundary.piece_areas > 1e-9
    assert ((excess > 0) == (boundary.piece_classes == 1))[large].all()
    middles = partition.network(boundary.segments.mean(axis=1))[:, 1]
    assert_top_two_are_equal(boundary, np.stack([np.full(len(middles), value), middles], axis=1))


@given(st.integers(0, 2**32))
@settings(max_examples=30, deadline=None)
def test_segments_lie_in_their_regions_with_their_classes_on_their_sides(seed):
    partition = partition_of(classifier(seed, 4))
    boundary = decision_boundary(partition)
    middles = boundary.segments.mean(axis=1)
    distances = shapely.distance(partition.polygons[boundary.regions], shapely.points(middles))
    assert (distances < 1e-12).all()
    along = boundary.segments[:, 1] - boundary.segments[:, 0]
    to_the_left = 1e-3 * np.stack([-along[:, 1], along[:, 0]], axis=1)
    for side, points in enumerate((middles + to_the_left, middles - to_the_left)):
        outputs = partition.network(points)
        rows = np.arange(len(points))
        own = outputs[rows, boundary.classes[:, side]]
        other = outputs[rows, boundary.classes[:, 1 - side]]
        inside = np.array(
            [p in (r, -1) for p, r in zip(partition.locate(points), boundary.regions, strict=True)],
            bool,
        )
        assert (own > other - 1e-12 * np.abs(outputs).max(initial=1.0))[inside].all()


@given(st.integers(0, 2**32), st.integers(1, 2))
@settings(max_examples=30, deadline=None)
def test_segments_of_two_classes_join_to_the_last_bit(seed, n_classes):
    boundary = decision_boundary(partition_of(classifier(seed, n_classes)))
    ends, counts = np.unique(boundary.segments.reshape(-1, 2), axis=0, return_counts=True)
    inside = ~on_outline(ends, SQUARE)
    assert (counts[inside] % 2 == 0).all()


@given(st.integers(0, 2**32))
@settings(max_examples=15, deadline=None)
def test_order_of_the_outputs_does_not_matter(seed):
    model = classifier(seed, 5)
    order = np.random.default_rng(seed).permutation(5)
    last = model[-1]
    weight, bias = last.weight.detach().numpy()[order], last.bias.detach().numpy()[order]
    boundary = decision_boundary(partition_of(model))
    permuted = decision_boundary(partition_of(nn.Sequential(*model[:-1], affine(weight, bias))))
    assert permuted.length == pytest.approx(boundary.length, rel=1e-9)
    assert permuted.class_areas == pytest.approx(boundary.class_areas[order], abs=1e-9)


@pytest.mark.parametrize("seed", range(4))
def test_lengths_and_areas_add_up_over_parts_of_the_slice(seed):
    model = classifier(seed, 4)
    whole = decision_boundary(sc.compute_partition(model, BOX))
    parts = [
        decision_boundary(sc.compute_partition(model, sc.Slice.box(xlim, (-1, 1))))
        for xlim in ((-1, 0.3), (0.3, 1))
    ]
    assert whole.length > 0
    assert sum(part.length for part in parts) == pytest.approx(whole.length, rel=1e-9)
    areas = sum(part.class_areas for part in parts)
    np.testing.assert_allclose(areas, whole.class_areas, rtol=1e-9, atol=1e-12)


def test_class_areas_against_a_grid():
    torch.manual_seed(0)
    layers = [nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 3)]
    model = nn.Sequential(*layers)
    boundary = decide(*layers, slice_=sc.Slice.box((-4, 4), (-4, 4)))
    steps = (torch.arange(1000) + 0.5) * 0.008 - 4
    with torch.no_grad():
        classes = model(torch.cartesian_prod(steps, steps)).argmax(dim=1)
    counted = np.bincount(classes.numpy(), minlength=3) * 0.008**2
    assert (counted > 1).sum() >= 2
    # A cell is counted wrongly only where the boundary crosses it.
    assert np.abs(counted - boundary.class_areas).max() < 0.008 * boundary.length


def test_the_result_does_not_depend_on_how_much_is_held_at_a_time(monkeypatch):
    model = classifier(5, 4)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.round(parameter * 64) / 64)  # maps have no rounding, then
    partition = partition_of(model)
    whole = decision_boundary(partition)
    monkeypatch.setattr(envelopes, "MAP_ENTRIES", 12)
    monkeypatch.setattr(maps, "ENTRIES", 7)
    monkeypatch.setattr(output_maps, "KEPT_BYTES", 0)
    parts = decision_boundary(partition_of(model))
    assert len(whole.segments) > 6
    for name in ("segments", "regions", "classes", "piece_regions", "piece_classes"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name)), name
    assert np.array_equal(whole.piece_offsets, parts.piece_offsets)
    assert np.array_equal(whole.piece_vertices, parts.piece_vertices)


@pytest.mark.parametrize("polygon", POLYGONS)
def test_a_saved_partition_has_the_same_boundary(polygon, tmp_path):
    partition = partition_of(classifier(7, 3, polygon), polygon)
    partition.save(tmp_path / "partition.npz")
    before = decision_boundary(partition)
    after = decision_boundary(sc.Partition.load(tmp_path / "partition.npz"))
    assert np.array_equal(before.segments, after.segments)


# --- The result and the arguments ------------------------------------------------------------


def test_the_result_is_read_only_and_knows_its_partition():
    partition = partition_of(classifier(2, 3))
    boundary = decision_boundary(partition)
    assert boundary.partition is partition
    arrays = [value for value in vars(boundary).values() if isinstance(value, np.ndarray)]
    for array in (*arrays, boundary.lengths, boundary.class_areas):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    assert boundary.length == boundary.lengths.sum()
    assert repr(boundary).startswith(f"<DecisionBoundary: {len(boundary.segments)} segments")


@pytest.mark.parametrize("output", [-1, 3, 1.0, "1", None])
def test_outputs_that_do_not_exist_are_refused(output):
    partition = partition_of(classifier(0, 3))
    with pytest.raises(InvalidArgumentError, match=r"output is .*; accepted: an integer, 0 to 2"):
        level_set(partition, output, 0.0)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "0", None, 1j])
def test_values_that_are_no_finite_numbers_are_refused(value):
    partition = partition_of(classifier(0, 3))
    with pytest.raises(InvalidArgumentError, match=r"value is .*; accepted: a finite number"):
        level_set(partition, 0, value)
