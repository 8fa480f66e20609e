"""Segments: against the model itself, planar partitions, closed forms and degenerate networks."""

from __future__ import annotations

import numpy as np
import pytest
import shapely
import torch
from hypothesis import given, settings
from torch import nn

from comparison import default_mlp, observe
from small_models import in_double
from splinecam import (
    InvalidArgumentError,
    InvalidModelError,
    InvalidSliceError,
    RegionLimitError,
    Segment,
    SegmentPartition,
    Slice,
    UnsupportedLayerError,
    compute_partition,
    compute_segment_partition,
    integrated_gradients,
)
from strategies import integer_networks


def ends(*shape: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    return rng.normal(size=shape), rng.normal(size=shape)


def linear(weight, bias=None) -> nn.Linear:
    table = torch.tensor(weight, dtype=torch.float64)
    layer = nn.Linear(table.shape[1], table.shape[0], dtype=torch.float64)
    with torch.no_grad():
        layer.weight.copy_(table)
        layer.bias.copy_(torch.tensor(bias or [0.0] * len(table), dtype=torch.float64))
    return layer


def assert_agrees_with_model(line: SegmentPartition, model: nn.Module) -> None:
    """Assert the patterns inside the pieces, the values, and that each breakpoint is one."""
    t = line.breakpoints
    assert t[0] == 0
    assert t[-1] == 1
    assert (np.diff(t) >= 0).all()
    patterns, _ = observe(model, line.segment.embed((t[:-1] + t[1:]) / 2))
    np.testing.assert_array_equal(line.patterns, patterns)
    _, outputs = observe(model, line.segment.embed(t))
    scale = np.abs(outputs).max() + np.ptp(outputs) + 1
    np.testing.assert_allclose(line.values, outputs, rtol=0, atol=1e-11 * scale)
    rises = np.diff(line.values, axis=0)
    np.testing.assert_allclose(line.slopes * np.diff(t)[:, None], rises, atol=1e-11 * scale)
    assert_breaks(line)


def assert_breaks(line: SegmentPartition) -> None:
    """Assert that the breaks are the differences of neighbouring patterns, and all of them."""
    first = np.cumsum([0, *line.layer_sizes])
    change = np.diff(line.patterns.astype(int), axis=0)
    assert (change != 0).any(axis=1).all()
    rebuilt = np.zeros_like(change)
    breaks = line.breaks
    np.add.at(rebuilt, (breaks.breakpoints - 1, first[breaks.layers] + breaks.units), breaks.steps)
    np.testing.assert_array_equal(rebuilt, change)
    assert (np.diff(breaks.breakpoints) >= 0).all()


# --- Breakpoints -----------------------------------------------------------------------------


def test_one_layer_breaks_where_its_pre_activations_vanish():
    model = nn.Sequential(linear(np.random.default_rng(0).normal(size=(40, 6)).tolist()), nn.ReLU())
    start, stop = ends(6)
    weight = model[0].weight.detach().numpy()
    before, after = weight @ start, weight @ stop
    t = before / (before - after)
    expected = np.sort(t[(t > 0) & (t < 1)])
    line = compute_segment_partition(model, Segment(start, stop))
    assert line.n_pieces == len(expected) + 1 > 10
    np.testing.assert_allclose(line.breakpoints[1:-1], expected, rtol=1e-13)
    assert_agrees_with_model(line, model)


@pytest.mark.parametrize(
    "activation",
    [nn.ReLU(), nn.LeakyReLU(0.1), nn.Hardtanh(-0.1, 0.2), nn.PReLU(), nn.Softshrink(0.1)],
    ids=str,
)
def test_deep_networks(activation):
    model = default_mlp(8, 30, 30, 30, 3)
    for i in (1, 3, 5):
        model[i] = activation
    start, stop = ends(8)
    line = compute_segment_partition(model, Segment(2 * start, 2 * stop))
    assert line.n_pieces > 20
    assert_agrees_with_model(line, model)
    # No piece is missed where patterns are sampled densely.
    seen, _ = observe(model, line.segment.embed(np.linspace(0, 1, 20001)))
    sampled = 1 + np.count_nonzero((seen[1:] != seen[:-1]).any(axis=1))
    assert line.n_pieces - 3 <= sampled <= line.n_pieces


def test_breaks_where_a_plane_through_the_inputs_is_cut():
    model = default_mlp(5, 20, 20, 2)
    slice_ = Slice.through(np.stack(ends(5)))
    p = compute_partition(model, slice_)
    line = compute_segment_partition(model, Segment(*ends(5)))
    way = shapely.LineString(slice_.anchors)
    crossed = p.polygons[shapely.intersects(p.polygons, way)]
    t = [
        way.project(shapely.Point(c), normalized=True)
        for piece in crossed
        for c in shapely.intersection(piece, way).coords
    ]
    assert line.n_pieces == len(crossed) > 5
    np.testing.assert_allclose(
        np.sort(np.repeat(line.breakpoints, 2)[1:-1]), np.sort(t), atol=1e-12
    )


def test_inputs_of_any_shape():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(12, 30), nn.ReLU(), nn.Linear(30, 2))
    segment = Segment(*ends(3, 2, 2))
    line = compute_segment_partition(model, segment)
    assert line.segment.input_shape == (3, 2, 2)
    assert line.layer_names == ("2",)
    assert_agrees_with_model(line, model)
    assert integrated_gradients(model, line, 1).shape == (3, 2, 2)


def test_one_input_suffices():
    model = nn.Sequential(linear([[1.0], [2.0]], [0.0, -1.0]), nn.ReLU())
    line = compute_segment_partition(model, Segment([-1.0], [1.0]))
    assert line.breakpoints.tolist() == [0, 0.5, 0.75, 1]
    assert line.breaks.units.tolist() == [0, 1]
    assert line.breaks.steps.tolist() == [1, 1]


# --- Degenerate networks ---------------------------------------------------------------------


def test_units_that_vanish_on_the_segment_do_not_break_it():
    # The first unit is zero along the segment, the third only on its second half.
    first = linear([[0, 1], [1, 0], [0, 3]], [0, 0, 0])
    second = linear([[1, 0, 1], [0, -1, 0]], [0, 0])
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), linear([[1, 1]]))
    line = compute_segment_partition(model, Segment([-1.0, 0.0], [1.0, 0.0]))
    assert line.breakpoints.tolist() == [0, 0.5, 1]
    assert line.patterns.tolist() == [[0, 0, 0, 0, 0], [0, 1, 0, 0, 0]]
    assert line.breaks == ([1], [0], [1], [1])
    assert line.slopes.tolist() == [[0], [0]]


def test_units_that_break_at_one_point():
    # Duplicated, opposite and scaled units, and a later layer that breaks at the same point.
    first = linear([[1, 0], [1, 0], [-1, 0], [3, 0], [1, 1]], [0, 0, 0, 0, 0])
    second = linear([[1, 0, -1, 0, 0], [0, 0, 0, 1, -2]], [0, 0])
    model = nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
    line = compute_segment_partition(model, Segment([-1.0, 0.0], [3.0, 0.0]))
    assert line.breakpoints.tolist() == [0, 0.25, 1]
    found = [array.tolist() for array in line.breaks]
    assert found[1:3] == [[0, 0, 0, 0, 0, 1, 1], [0, 1, 2, 3, 4, 0, 1]]
    assert found[3] == [1, 1, -1, 1, 1, 1, 1]


def test_breakpoints_at_the_ends_are_no_breaks():
    model = nn.Sequential(linear([[1.0], [1.0], [1.0]], [0, -1, 0.5]), nn.ReLU())
    line = compute_segment_partition(model, Segment([0.0], [1.0]))
    assert line.breakpoints.tolist() == [0, 1]
    assert line.patterns.tolist() == [[1, 0, 1]]
    back = compute_segment_partition(model, Segment([1.0], [0.0]))
    assert back.patterns.tolist() == [[1, 0, 1]]


def test_nearly_equal_breakpoints_are_told_apart():
    tiny = 2.0**-52
    model = nn.Sequential(linear([[1.0], [1.0], [1.0]], [-0.5, -0.5 - tiny, -0.5]), nn.ReLU())
    line = compute_segment_partition(model, Segment([0.0], [1.0]))
    assert line.patterns.tolist() == [[0, 0, 0], [1, 0, 1], [1, 1, 1]]
    np.testing.assert_allclose(np.diff(line.breakpoints)[1], tiny, rtol=0.6)


@settings(deadline=None, max_examples=25)
@given(integer_networks())
def test_integer_networks(model):
    line = compute_segment_partition(model, Segment([-2.0, -1.0], [2.0, 3.0]))
    middles = (line.breakpoints[:-1] + line.breakpoints[1:]) / 2
    assert_breaks(line)
    _, outputs = observe(model, line.segment.embed(middles))
    expected = line.values[:-1] + line.slopes * (middles - line.breakpoints[:-1])[:, None]
    scale = np.abs(outputs).max() + 1
    np.testing.assert_allclose(expected, outputs, rtol=0, atol=1e-11 * scale)
    for output in range(outputs.shape[1]):
        total = integrated_gradients(model, line, output).sum()
        change = line.values[-1, output] - line.values[0, output]
        np.testing.assert_allclose(total, change, rtol=0, atol=1e-11 * scale)


def test_model_without_units_is_one_piece():
    line = compute_segment_partition(linear([[1, 2]], [3.0]), Segment([0, 0], [1, 1]))
    assert line.breakpoints.tolist() == [0, 1]
    assert line.values.tolist() == [[3], [6]]
    assert line.slopes.tolist() == [[3]]
    assert repr(line) == "<SegmentPartition: 1 piece, 0 of 0 units' breakpoints>"
    assert integrated_gradients(linear([[1, 2]], [3.0]), line, 0).tolist() == [1, 2]


# --- Decisions -------------------------------------------------------------------------------


@pytest.mark.parametrize("n_outputs", [1, 2, 5])
def test_decisions_are_the_arg_max(n_outputs):
    model = default_mlp(4, 30, 30, n_outputs).double()
    start, stop = ends(4)
    segment = Segment(6 * start, 6 * stop)
    with torch.no_grad():  # all outputs are 0 near t = 0.4
        model[-1].bias -= model(torch.from_numpy(segment.embed([0.40007])))[0]
    line = compute_segment_partition(model, segment)
    breakpoints, classes = line.decisions
    assert breakpoints[[0, -1]].tolist() == [0, 1]
    assert len(breakpoints) == len(classes) + 1 > 2
    assert (classes[1:] != classes[:-1]).all()
    t = np.linspace(0, 1, 5001)
    _, outputs = observe(model, line.segment.embed(t))
    expected = outputs.argmax(axis=1) if n_outputs > 1 else outputs[:, 0] > 0
    found = classes[np.searchsorted(breakpoints, t, side="right").clip(1, len(classes)) - 1]
    np.testing.assert_array_equal(found, expected)
    _, at_changes = observe(model, line.segment.embed(breakpoints[1:-1]))
    lead = np.sort(at_changes, axis=1)[:, -2:]
    ties = lead[:, 1] - lead[:, 0] if n_outputs > 1 else at_changes[:, 0]
    np.testing.assert_allclose(ties, 0, atol=1e-12)


# --- Integrated gradients --------------------------------------------------------------------


def test_integrated_gradients_are_the_limit_of_sums():
    model = default_mlp(6, 25, 25, 3)
    start, stop = ends(6)
    segment = Segment(start, stop)
    line = compute_segment_partition(model, segment)
    copy = in_double(model)
    n = 20000
    x = torch.from_numpy(segment.embed((np.arange(n) + 0.5) / n)).requires_grad_()
    for output in range(3):
        (gradients,) = torch.autograd.grad(copy(x)[:, output].sum(), x)
        expected = gradients.mean(dim=0).numpy() * (stop - start)
        found = integrated_gradients(model, line, output)
        np.testing.assert_allclose(found, expected, atol=1e-3)
        change = line.values[-1, output] - line.values[0, output]
        np.testing.assert_allclose(found.sum(), change, rtol=1e-12)


def test_integrated_gradients_of_batches_of_pieces(monkeypatch):
    model = default_mlp(6, 25, 25, 3)
    line = compute_segment_partition(model, Segment(*ends(6)))
    expected = integrated_gradients(model, line, 2)
    monkeypatch.setattr("splinecam.measures.segments.GRADIENT_ENTRIES", 60)
    np.testing.assert_allclose(integrated_gradients(model, line, 2), expected, rtol=1e-13)


# --- Segments, refusals ----------------------------------------------------------------------


def test_segment_runs_from_its_start_to_its_stop():
    segment = Segment(torch.ones(2, 3), np.full((2, 3), 3, np.float32))
    assert segment.input_shape == (2, 3)
    assert segment.length == pytest.approx(2 * np.sqrt(6))
    np.testing.assert_array_equal(
        segment.embed([0, 0.25, 1]), np.array([1, 1.5, 3])[:, None, None] * np.ones((2, 3))
    )
    with pytest.raises(ValueError, match="read-only"):
        segment.start[0] = 1


@pytest.mark.parametrize(
    ("start", "stop", "message"),
    [
        ([0.0], [0.0, 1.0], r"start and stop have shapes \(1,\) and \(2,\); accepted: one shape"),
        ([1.0, 2.0], [1.0, 2.0], "start and stop are the same input"),
        ([np.nan], [1.0], "start holds nan"),
        ([1.0], ["a"], "stop has dtype"),
        ([], [], r"start and stop have shapes \(0,\)"),
    ],
)
def test_wrong_segments_are_refused(start, stop, message):
    with pytest.raises(InvalidSliceError, match=message):
        Segment(start, stop)


def test_wrong_arguments_are_refused():
    model, segment = default_mlp(2, 9, 3), Segment([0.0, 0.0], [1.0, 1.0])
    with pytest.raises(InvalidArgumentError, match="segment is a tuple; accepted: a Segment"):
        compute_segment_partition(model, ([0], [1]))  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnsupportedLayerError, match=r"^'1' \(Tanh\)"):
        compute_segment_partition(nn.Sequential(nn.Linear(2, 2), nn.Tanh()), segment)
    with pytest.raises(InvalidModelError):
        compute_segment_partition(nn.Linear(3, 2), segment)
    line = compute_segment_partition(model, segment)
    with pytest.raises(InvalidArgumentError, match="output is 3; accepted: an integer from 0 to 2"):
        integrated_gradients(model, line, 3)
    with pytest.raises(
        InvalidArgumentError, match=r"model has the layers .* \(\('1', 8\),\); accepted"
    ):
        integrated_gradients(default_mlp(2, 8, 3), line, 0)
    with pytest.raises(RegionLimitError):
        compute_segment_partition(default_mlp(2, 50, 1), segment, max_pieces=2)
    with pytest.raises(InvalidArgumentError, match="t holds inf"):
        segment.embed([np.inf])
