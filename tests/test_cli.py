"""The command line: what it writes, prints and refuses."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch
from torch import nn

from splinecam import Partition, Slice, compute_partition
from splinecam.cli import main
from splinecam.demo import SHOWN_CLASSES, train_digit_classifier

FACTORY = """
import torch
from torch import nn

def make():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))

def make_planar():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 8), nn.ReLU(), nn.Linear(8, 1))

def make_curved():
    return nn.Sequential(nn.Linear(2, 8), nn.Tanh())

def make_list():
    return []

not_callable = 3
"""

FILES = ["boundary.pdf", "boundary.png", "partition.npz", "partition.pdf", "partition.png"]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "own_models.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("own_models", None)


def test_partition_of_a_model_with_weights_through_images(folder, capsys):
    torch.manual_seed(1)
    model = nn.Sequential(nn.Flatten(), nn.Linear(16, 8), nn.ReLU(), nn.Linear(8, 3))
    torch.save(model.state_dict(), "weights.pt")
    points = np.random.default_rng(0).random((3, 1, 4, 4)).astype(np.float32)
    np.save("points.npy", points)
    arguments = ["own_models:make", "--weights", "weights.pt", "--points", "points.npy"]
    assert main(["partition", *arguments, "--out", "out"]) == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == FILES
    saved = Partition.load(folder / "out" / "partition.npz")
    expected = compute_partition(model, Slice.through(points, pad=0.1))
    assert saved.n_regions == expected.n_regions
    np.testing.assert_array_equal(saved.vertices, expected.vertices)
    printed = capsys.readouterr()
    for word in ("regions", "edges", "classes", "boundary length", "regions a second"):
        assert word in printed.out
    assert f"{expected.n_regions:,}" in printed.out
    assert "cutting" in printed.err


def test_partition_of_a_box(folder, capsys):
    arguments = ["own_models:make_planar", "--box", "-1", "1", "-2", "2", "--out", "out"]
    assert main(["partition", *arguments]) == 0
    assert Partition.load(folder / "out" / "partition.npz").slice.area == 8
    assert (folder / "out" / "boundary.pdf").read_bytes().startswith(b"%PDF")
    assert (folder / "out" / "boundary.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["own_models", "--box", "0", "1", "0", "1"], "or package.module:factory"),
        (["no_such_module:make", "--box", "0", "1", "0", "1"], "No module named"),
        (["own_models:missing", "--box", "0", "1", "0", "1"], "has no attribute 'missing'"),
        (["own_models:not_callable", "--box", "0", "1", "0", "1"], "a int, not a factory"),
        (["own_models:make_list", "--box", "0", "1", "0", "1"], "makes a list; accepted"),
        (["own_models:make_curved", "--box", "0", "1", "0", "1"], "'1' (Tanh)"),
        (["own_models:make_planar", "--box", "1", "0", "0", "1"], "xlim"),
        (["own_models:make_planar", "--points", "text.npy"], "is not a .npy file of numbers"),
        (["own_models:make_planar", "--points", "objects.npy"], "is not a .npy file of numbers"),
        (["own_models:make_planar", "--points", "none.npy"], "No such file"),
        (
            ["own_models:make_planar", "--weights", "text.npy", "--box", "0", "1", "0", "1"],
            "is not a state dict of this model",
        ),
        (
            ["own_models:make_planar", "--box", "-9", "9", "-9", "9", "--max-regions", "2"],
            "max_regions is 2",
        ),
    ],
)
def test_refusals_are_one_line_and_status_2(folder, capsys, arguments, message):
    (folder / "text.npy").write_text("no numbers")
    np.save("objects.npy", np.array([{}], dtype=object))
    assert main(["partition", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert "Traceback" not in error
    assert not (folder / "splinecam-partition").exists()


def test_a_slice_has_to_be_named(folder, capsys):
    with pytest.raises(SystemExit) as caught:
        main(["partition", "own_models:make_planar"])
    assert caught.value.code == 2
    assert "--points" in capsys.readouterr().err


def test_demo_writes_its_figures(folder, capsys, monkeypatch):
    monkeypatch.setattr("splinecam.demo.EPOCHS", 4)
    assert main(["demo", "--out", "out"]) == 0
    assert sorted(path.name for path in (folder / "out").iterdir()) == FILES
    printed = capsys.readouterr()
    assert "test accuracy" in printed.out
    assert "training" in printed.err


def test_training_leaves_the_random_generators_alone(monkeypatch):
    monkeypatch.setattr("splinecam.demo.EPOCHS", 3)
    torch_state = torch.get_rng_state()
    numpy_state = np.random.get_state()[1].copy()  # noqa: NPY002
    first, second = train_digit_classifier(5), train_digit_classifier(5)
    assert torch.equal(torch.get_rng_state(), torch_state)
    np.testing.assert_array_equal(np.random.get_state()[1], numpy_state)  # noqa: NPY002
    assert first.labels == SHOWN_CLASSES
    np.testing.assert_array_equal(first.images, second.images)
    for a, b in zip(first.model.parameters(), second.model.parameters(), strict=True):
        assert torch.equal(a, b)
