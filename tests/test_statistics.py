"""Summaries and histograms of regions, against scipy, numpy and sampling; data frames."""

import sys

import numpy as np
import pytest
import torch
from scipy import stats
from torch import nn

import splinecam as sc
from splinecam.errors import InvalidArgumentError, SplineCamError
from splinecam.measures.statistics import TOTALS, region_histogram, summarize_regions
from splinecam.measures.tables import to_frame


def random_partition(seed: int, width: int = 12) -> sc.Partition:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(2, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU())
    return sc.compute_partition(model, sc.Slice.box((-1, 1), (0, 1.5)))


def two_lines() -> nn.Sequential:
    """Units that vanish at u = 1 and u = 2."""
    layer = nn.Linear(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0, 0.0], [1.0, 0.0]]))
        layer.bias.copy_(torch.tensor([-1.0, -2.0]))
    return nn.Sequential(layer, nn.ReLU())


@pytest.fixture(scope="module")
def partitions() -> list[sc.Partition]:
    return [random_partition(seed) for seed in range(5)]


def test_summary_of_one_partition_is_the_mean_over_its_regions(partitions):
    partition = partitions[0]
    summary = summarize_regions(partition)
    found = dict(zip(summary.names, summary.mean, strict=True))
    assert found["n_regions"] == partition.n_regions
    assert found["region_density"] == pytest.approx(partition.n_regions / 3)
    inner = partition.edge_regions[:, 1] >= 0
    assert found["edge_density"] == pytest.approx(partition.edge_lengths[inner].sum() / 3)
    for name, values in sc.region_statistics(partition).items():
        if values.ndim == 1:
            assert found[name] == pytest.approx(values.mean()), name
    assert np.isnan(summary.low).all()
    assert np.isnan(summary.high).all()


def test_weighting_by_area_is_the_mean_over_the_slice(partitions):
    partition = partitions[1]
    summary = summarize_regions(partition, by_area=True)
    rng = np.random.default_rng(0)
    points = np.stack([rng.uniform(-1, 1, 20000), rng.uniform(0, 1.5, 20000)], axis=1)
    regions = partition.locate(points)
    for name in ("area", "perimeter", "inradius", "n_sides"):
        sampled = sc.region_statistics(partition)[name][regions]
        error = 5 * sampled.std() / np.sqrt(len(points))
        assert summary.mean[summary.names.index(name)] == pytest.approx(sampled.mean(), abs=error)


@pytest.mark.parametrize("confidence", [0.5, 0.95, 0.99])
def test_intervals_are_students(partitions, confidence):
    summary = summarize_regions(partitions, confidence=confidence)
    rows = np.array([summarize_regions(p).mean for p in partitions])
    np.testing.assert_array_equal(summary.values, rows)
    varied = rows.std(axis=0) > 0
    low, high = stats.t.interval(
        confidence, len(rows) - 1, rows.mean(axis=0)[varied], stats.sem(rows[:, varied])
    )
    np.testing.assert_allclose(summary.low[varied], low)
    np.testing.assert_allclose(summary.high[varied], high)
    assert repr(summary) == f"<RegionSummary: {len(summary.names)} quantities of 5 partitions>"


def test_infinite_measures_are_left_out_of_means(monkeypatch):
    measures = {"aspect": np.array([2.0, np.inf, 4.0]), "width": np.array([np.nan] * 3)}
    monkeypatch.setattr(
        "splinecam.measures.statistics.region_statistics", lambda partition: measures
    )
    three = sc.compute_partition(two_lines(), sc.Slice.box((0, 3), (0, 1)))
    assert three.n_regions == 3
    summary = summarize_regions(three)
    assert summary.mean[3] == 3
    assert np.isnan(summary.mean[4])


@pytest.mark.parametrize("by_area", [False, True])
@pytest.mark.parametrize("log", [False, True])
def test_histogram_counts_every_region_once(partitions, by_area, log):
    histogram = region_histogram(partitions, "area", bins=7, log=log, by_area=by_area)
    np.testing.assert_allclose(histogram.values.sum(axis=1), 1)
    widths = np.diff(np.log(histogram.edges) if log else histogram.edges)
    np.testing.assert_allclose(widths, widths[0])
    for partition, shares in zip(partitions, histogram.values, strict=True):
        weights = partition.areas / 3 if by_area else np.full(partition.n_regions, 1.0)
        for k, (low, high) in enumerate(
            zip(histogram.edges[:-1], histogram.edges[1:], strict=True)
        ):
            inside = (partition.areas >= low) & (partition.areas < high)
            if k == 6:
                inside |= partition.areas == high
            assert shares[k] == pytest.approx(weights[inside].sum() / weights.sum())
    np.testing.assert_allclose(histogram.mean, histogram.values.mean(axis=0))
    np.testing.assert_allclose((histogram.density * np.diff(histogram.edges)).sum(), 1)


def test_histogram_of_one_value_has_bins_around_it():
    partition = sc.compute_partition(nn.Linear(2, 1), sc.Slice.box((0, 2), (0, 1)))
    for log in (False, True):
        histogram = region_histogram(partition, "area", bins=3, log=log)
        assert histogram.values.tolist() == [[0, 1, 0]]
        assert (histogram.edges > 0).all()


def test_what_is_outside_the_limits_is_in_no_bin(partitions):
    limits = (0.01, 0.1)
    histogram = region_histogram(partitions[0], "area", limits=limits)
    inside = (partitions[0].areas >= 0.01) & (partitions[0].areas <= 0.1)
    assert histogram.values.sum() == pytest.approx(inside.mean())
    assert tuple(histogram.edges[[0, -1]]) == limits


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"partitions": []}, r"partitions is \[\]; accepted: a Partition, or a list"),
        ({"partitions": [1]}, r"partitions is \[1\]"),
        ({"measure": "centroid"}, "measure is 'centroid'; accepted: 'area', 'perimeter'"),
        ({"bins": 0}, "bins is 0; accepted: an integer of 1 or more"),
        ({"limits": (1, 1)}, r"limits is \(1, 1\); accepted: two ascending numbers$"),
        ({"limits": (0, 1), "log": True}, "both positive for logarithmic bins"),
        ({"confidence": 1}, "confidence is 1; accepted: a number between 0 and 1"),
    ],
)
def test_wrong_arguments_are_refused(partitions, arguments, message):
    given = {"partitions": partitions, "measure": "area", **arguments}
    with pytest.raises(InvalidArgumentError, match=message):
        region_histogram(given.pop("partitions"), given.pop("measure"), **given)


# --- Data frames -------------------------------------------------------------------------------


def test_frames_have_a_column_for_each_component(partitions):
    columns = sc.region_statistics(partitions[0])
    frame = to_frame(columns)
    assert len(frame) == partitions[0].n_regions
    assert list(frame.columns[:5]) == ["area", "perimeter", "centroid_0", "centroid_1", "n_sides"]
    np.testing.assert_array_equal(frame["centroid_1"], partitions[0].centroids[:, 1])
    frame.loc[:, "area"] = 0.0
    assert partitions[0].areas.min() > 0


def test_a_summary_is_a_frame(partitions):
    summary = summarize_regions(partitions)
    frame = to_frame(summary.columns()).set_index("quantity")
    assert frame.loc["n_regions", "mean"] == summary.mean[0]
    assert list(frame.index[:3]) == list(TOTALS)


def test_columns_of_other_shapes_are_refused():
    with pytest.raises(InvalidArgumentError, match="columns has arrays of the shapes"):
        to_frame({"a": np.zeros(2), "b": np.zeros(3)})
    with pytest.raises(InvalidArgumentError, match=r"accepted: \(n,\) or \(n, k\)"):
        to_frame({"a": np.zeros((2, 2, 2))})


def test_frames_without_pandas_are_refused(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(SplineCamError, match=r"pip install 'splinecam\[pandas\]'"):
        to_frame({"a": np.zeros(1)})
