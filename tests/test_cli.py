"""The command line: what it writes, prints and refuses."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from splinecam import Partition, Slice, compute_partition, decision_boundary
from splinecam.cli import main
from splinecam.demo import SHOWN_CLASSES, train_digit_classifier
from splinecam.plotting.gallery import FIGURES, NAMES, PAGES, Subject, write

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

BOX = ["--box", "-1", "1", "-1", "1"]

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


def test_figures_are_chosen_by_name(folder, capsys):
    chosen = "classes,edges,layers,slope,explorer"
    arguments = ["own_models:make_planar", *BOX, "--figure", chosen, "--out", "out"]
    assert main(["partition", *arguments]) == 0
    expected = ["explorer.html", "partition.npz"]
    for name in ("classes", "edges", "layers", "slope"):
        expected += [f"{name}.pdf", f"{name}.png"]
    assert sorted(path.name for path in (folder / "out").iterdir()) == sorted(expected)
    printed = capsys.readouterr()
    for name in expected:
        assert f"  {Path('out') / name}\n" in printed.out
    assert "drawing: 100%" in printed.err


def test_help_tells_the_names_of_all_figures(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["partition", "--help"])
    assert caught.value.code == 0
    told = re.findall(r"\w+", capsys.readouterr().out)
    assert set(NAMES) <= set(told)


@pytest.mark.parametrize("name", NAMES)
def test_every_figure_can_be_drawn(name, tmp_path, subject):
    for path in write(name, subject, tmp_path):
        assert path.stem == name
        assert path.stat().st_size > 1000


@pytest.fixture(scope="module")
def subject() -> Subject:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 3))
    points = np.random.default_rng(0).random((3, 4))
    boundary = decision_boundary(compute_partition(model, Slice.through(points, pad=0.5)))
    return Subject(model, boundary, points.reshape(3, 2, 2))


@pytest.mark.parametrize("figures", ["partition,pie", "", "partition,", "Partition"])
def test_unknown_figures_are_refused_before_anything_is_computed(folder, capsys, figures):
    assert main(["partition", "own_models:make_planar", *BOX, "--figure", figures]) == 2
    printed = capsys.readouterr()
    assert "accepted: partition, boundary, classes" in printed.err
    assert "loading kernels" not in printed.err
    assert not (folder / "splinecam-partition").exists()


def test_explore_writes_a_page_and_says_where(folder, capsys):
    assert main(["explore", "own_models:make_planar", *BOX]) == 0
    page = (folder / "splinecam-explorer.html").read_text("utf-8")
    assert page.startswith("<!doctype html>")
    printed = capsys.readouterr()
    assert "written: splinecam-explorer.html" in printed.out
    assert "regions a second" in printed.out
    assert main(["explore", "own_models:make_planar", *BOX, "--out", "other.html"]) == 0
    assert (folder / "other.html").read_text("utf-8") == page


def test_demo_writes_the_gallery(folder, capsys, monkeypatch):
    monkeypatch.setattr("splinecam.demo.EPOCHS", 8)
    monkeypatch.setattr("splinecam.demo.WIDTHS", (64, 24, 24, 10))
    assert main(["demo", "--out", "out"]) == 0
    expected = {"partition.npz"} | {f"{name}.html" for name in PAGES}
    expected |= {f"{name}{suffix}" for name in FIGURES for suffix in (".png", ".pdf")}
    assert {path.name for path in (folder / "out").iterdir()} == expected
    printed = capsys.readouterr()
    assert "test accuracy" in printed.out
    assert "training" in printed.err


def test_training_does_not_depend_on_the_number_of_threads(monkeypatch):
    monkeypatch.setattr("splinecam.demo.EPOCHS", 1)
    counts: list[int] = []
    monkeypatch.setattr("torch.set_num_threads", counts.append)
    monkeypatch.setattr("torch.get_num_threads", lambda: 7)
    train_digit_classifier(0)
    assert counts == [1, 7]


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
