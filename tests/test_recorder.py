"""Snapshots through training: what they hold, what is measured of them, what files keep."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from torch import nn

from comparison import assert_identical, default_mlp
from splinecam import (
    InvalidArgumentError,
    InvalidFileError,
    InvalidModelError,
    Probe,
    Recorder,
    Slice,
    compute_partition,
    edge_length,
    local_complexity,
    log_spaced_steps,
)

SQUARE = Slice.box((-1, 1), (-1, 1))
POINTS = {
    "train": np.random.default_rng(0).normal(size=(20, 2)),
    "random": np.random.default_rng(1).uniform(-1, 1, (5, 2)),
}
PROBE = Probe(slice_=SQUARE, points=POINTS, radius=0.2, n_directions=2)


def trained(n_steps: int = 6, **options) -> tuple[Recorder, list[nn.Module]]:
    """Train a small network; return what was recorded, and copies of the model at every step."""
    model = default_mlp(2, 12, 12, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    x = torch.from_numpy(POINTS["train"]).float()
    recorder, copies = Recorder(model, **options), []
    for step in range(n_steps):
        loss = (model(x) - x.prod(dim=1, keepdim=True)).square().mean()
        copies.append(copy.deepcopy(model))
        recorder(step, loss=loss, lr=0.5)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return recorder, copies


# --- Snapshots -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        (None, [0, 1, 2, 3, 4, 5]),
        (2, [0, 2, 4]),
        ([1, 4, 99], [1, 4]),
        (np.array([0, 5]), [0, 5]),
        (range(3, 5), [3, 4]),
        (log_spaced_steps(5, 3), [0, 1, 2, 5]),
    ],
    ids=str,
)
def test_snapshots_are_taken_at_the_chosen_steps(steps, expected):
    recorder, copies = trained(steps=steps)
    assert recorder.steps.tolist() == expected
    for i, step in enumerate(expected):
        weights, found = copies[step].state_dict(), recorder.snapshots[i].weights
        assert list(found) == list(weights)
        assert all(torch.equal(found[name], weights[name]) for name in weights)
        assert all(found[name].dtype == weights[name].dtype for name in weights)


def test_call_tells_whether_it_has_recorded():
    recorder = Recorder(default_mlp(2, 3, 1), steps=3)
    assert [recorder(step) for step in range(7)] == [True, False, False, True, False, False, True]
    recorder.record(8)
    assert recorder.steps.tolist() == [0, 3, 6, 8]
    assert (len(recorder), repr(recorder)) == (4, "<Recorder: 4 snapshots, steps 0 to 8>")
    assert repr(Recorder(default_mlp(2, 3, 1))) == "<Recorder: 0 snapshots>"


def test_snapshots_hold_buffers_and_keep_their_dtype():
    model = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3)).to(torch.bfloat16)
    recorder = Recorder(model)
    recorder.record(0)
    with torch.no_grad():
        model[1].running_mean += 1
        model[0].weight *= 2
    found = recorder.model_at(0)
    assert found[1].running_mean.tolist() == [0, 0, 0]
    assert found[0].weight.dtype == torch.bfloat16
    assert torch.equal(2 * found[0].weight, model[0].weight)
    assert recorder.snapshots[0].weights["1.num_batches_tracked"].dtype == torch.int64


def test_training_goes_on_as_if_nothing_was_recorded():
    _, copies = trained(steps=[], probe=PROBE)
    _, recorded = trained(probe=PROBE)
    for a, b in zip(copies, recorded, strict=True):
        assert all(torch.equal(s, t) for s, t in zip(a.parameters(), b.parameters(), strict=True))
        assert b.training


def test_model_of_a_snapshot_is_a_copy_of_its_own():
    recorder, copies = trained()
    model = recorder.model_at(2)
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    x = torch.randn(4, 2)
    assert torch.equal(model(x), copies[2](x))
    with torch.no_grad():
        model[0].weight.zero_()
    assert torch.equal(recorder.model_at(2)(x), copies[2](x))
    assert copies[5][0].weight.equal(recorder.snapshots[5].weights["0.weight"])


@pytest.mark.parametrize(
    ("last", "count", "expected"),
    [(1000, 4, (0, 1, 10, 100, 1000)), (4, 9, (0, 1, 2, 3, 4)), (1, 2, (0, 1))],
)
def test_log_spaced_steps(last, count, expected):
    assert log_spaced_steps(last, count) == expected
    assert all(type(step) is int for step in log_spaced_steps(last, count))


# --- Measures --------------------------------------------------------------------------------


def test_table_measures_each_snapshot():
    recorder, copies = trained(steps=2)
    table = recorder.table(PROBE)
    assert table["step"].tolist() == [0, 2, 4]
    assert table["step"].dtype == np.int64
    assert table["lr"].tolist() == [0.5] * 3
    assert (np.diff(table["loss"]) < 0).all()
    for i, model in enumerate(copies[::2]):
        p = compute_partition(model, SQUARE)
        assert table["n_regions"][i] == p.n_regions
        length = edge_length(p, [(0, 0)], radius=3)[0]
        np.testing.assert_allclose(table["edge_density"][i], length / 4)
        for name, points in POINTS.items():
            total = local_complexity(model, points, radius=0.2, n_directions=2).total
            assert table[f"{name}_complexity"][i] == total.mean()
            error = np.sqrt(((total - total.mean()) ** 2).sum() / (len(total) - 1) / len(total))
            np.testing.assert_allclose(table[f"{name}_complexity_error"][i], error)


def test_measuring_at_once_is_measuring_afterwards():
    at_once = trained(probe=PROBE)[0].table()
    afterwards = trained()[0].table(PROBE)
    assert list(at_once) == list(afterwards)
    for name, column in at_once.items():
        np.testing.assert_array_equal(column, afterwards[name])


def test_partitions_are_those_of_the_snapshots():
    recorder, copies = trained(steps=[0, 5])
    partitions = list(recorder.partitions(SQUARE))
    assert len(partitions) == 2
    for p, model in zip(partitions, copies[::5], strict=True):
        assert_identical(p, compute_partition(model, SQUARE))


def test_metrics_that_are_not_always_given_are_nan():
    recorder = Recorder(default_mlp(2, 3, 1))
    recorder(0, loss=1)
    recorder(1, accuracy=np.float32(0.5))
    table = recorder.table()
    np.testing.assert_array_equal(table["loss"], [1, np.nan])
    np.testing.assert_array_equal(table["accuracy"], [np.nan, 0.5])
    assert Recorder(default_mlp(2, 3, 1)).table()["step"].shape == (0,)


def test_one_point_has_no_error():
    measured = Probe(points={"x": [[0.0, 0.0]]}, n_directions=1)(default_mlp(2, 3, 1))
    assert list(measured) == ["x_complexity", "x_complexity_error"]
    assert np.isnan(measured["x_complexity_error"])


# --- Files -----------------------------------------------------------------------------------


def test_file_keeps_everything(tmp_path):
    recorder, copies = trained(probe=PROBE)
    recorder.save(tmp_path / "run.pt")
    found = Recorder.load(tmp_path / "run.pt", default_mlp(2, 12, 12, 1))
    for name, column in recorder.table().items():
        np.testing.assert_array_equal(found.table()[name], column)
    x = torch.randn(4, 2)
    assert torch.equal(found.model_at(3)(x), copies[3](x))
    found.record(6)
    assert found.steps.tolist() == [0, 1, 2, 3, 4, 5, 6]


def test_files_of_something_else_are_refused(tmp_path):
    path, model = tmp_path / "run.pt", default_mlp(2, 3, 1)
    recorder = Recorder(model)
    recorder.record(0, loss=1.0)
    recorder.save(path)
    with pytest.raises(InvalidFileError, match=r"step 0 has '0\.weight' of shape .*\[3, 2\]"):
        Recorder.load(path, default_mlp(2, 4, 1))
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(InvalidFileError, match="is no sound file of snapshots"):
        Recorder.load(path, model)
    torch.save({"format": "splinecam snapshots", "version": 9}, path)
    with pytest.raises(InvalidFileError, match="of version 9; this release reads 1"):
        Recorder.load(path, model)
    for content in (model.state_dict(), [1, 2], {"format": "splinecam snapshots", "version": 1}):
        torch.save(content, path)
        with pytest.raises(InvalidFileError, match="is no sound file"):
            Recorder.load(path, model)


class Dangerous:
    def __reduce__(self):
        return (pytest.fail, ("it was unpickled",))


def test_nothing_is_unpickled(tmp_path):
    path, model = tmp_path / "run.pt", default_mlp(2, 3, 1)
    for write in (torch.save, lambda content, file: file.write_bytes(pickle.dumps(content, 2))):
        write({"format": "splinecam snapshots", "version": Dangerous()}, path)
        with pytest.raises(InvalidFileError):
            Recorder.load(path, model)


# --- Refusals --------------------------------------------------------------------------------


class Stateful(nn.Linear):
    def get_extra_state(self) -> str:
        return "what is no tensor"


@pytest.mark.parametrize("steps", [0, -1, 1.5, "ab", [1.5], [-1], [0, "1"]], ids=str)
def test_wrong_steps_are_refused(steps):
    with pytest.raises(
        InvalidArgumentError, match=r"steps is .*; accepted: an integer >= 1, a coll"
    ):
        Recorder(default_mlp(2, 3, 1), steps=steps)


def test_wrong_arguments_are_refused():
    recorder = Recorder(default_mlp(2, 3, 1))
    recorder(4)
    for step in (4, 3):
        with pytest.raises(
            InvalidArgumentError, match=f"step is {step}; accepted: an integer >= 5"
        ):
            recorder(step)
    with pytest.raises(InvalidArgumentError, match="step is -1; accepted: an integer >= 0"):
        recorder(-1)
    with pytest.raises(InvalidModelError, match=r"model has to be an nn\.Module, got type"):
        Recorder(nn.Linear)  # pyright: ignore[reportArgumentType]
    with pytest.raises(InvalidModelError, match="the model's state holds '_extra_state', a str"):
        Recorder(Stateful(2, 2)).record(0)
    with pytest.raises(InvalidArgumentError, match="a Probe needs slice_ or points"):
        Probe()
    with pytest.raises(InvalidArgumentError, match="last is 0"):
        log_spaced_steps(0, 2)
    with pytest.raises(InvalidArgumentError, match="count is 1"):
        log_spaced_steps(9, 1)
