"""Animations of training: what the frames show, and the files."""

from __future__ import annotations

import base64
import html
import io
import json
import re
import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib.colors import LogNorm
from PIL import Image
from torch import nn

from comparison import default_mlp
from splinecam import (
    InvalidArgumentError,
    Recorder,
    Slice,
    SplineCamError,
    animate_training,
    compute_partition,
    decision_boundary,
)
from splinecam.plotting._film import rasterise

SQUARE = Slice.box((-1, 1), (-1, 1))


def recorded(steps=(0, 3, 8)) -> Recorder:
    """Record a network that moves at random."""
    model = default_mlp(2, 6, 6, 2)
    generator = torch.Generator().manual_seed(0)
    recorder = Recorder(model)
    for index, step in enumerate(steps):
        recorder(step, loss=1 / (1 + step), accuracy=step / 10, **({"late": 1.0} if index else {}))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter += 0.5 * torch.randn(parameter.shape, generator=generator)
    return recorder


@pytest.fixture(scope="module")
def recorder() -> Recorder:
    return recorded()


@pytest.fixture(scope="module")
def animation(recorder):
    return animate_training(recorder, SQUARE)


def drawn(ax) -> list[np.ndarray]:
    return [line.get_xydata() for line in ax.lines]


# --- Frames ----------------------------------------------------------------------------------


def test_frames_show_the_partition_and_boundary_of_their_snapshot(recorder, animation):
    assert len(animation) == 3
    for index in range(3):
        p = compute_partition(recorder.model_at(index), SQUARE)
        picture = animation.frame(index).axes[0]
        regions, boundary = picture.collections
        assert len(regions.get_paths()) == p.n_regions
        corners = np.concatenate([path.vertices[:-1] for path in regions.get_paths()])
        np.testing.assert_array_equal(corners, p.vertices[p.region_vertices])
        segments = np.reshape(boundary.get_segments(), (-1, 2, 2))
        np.testing.assert_array_equal(segments, decision_boundary(p).segments)
        assert picture.get_title(loc="left") == f"step {[0, 3, 8][index]}"


def test_curves_are_strong_up_to_the_step_and_faint_beyond(recorder, animation):
    _, loss, regions = animation.frame(1).axes
    assert (loss.get_ylabel(), regions.get_ylabel()) == ("loss", "regions")
    whole, past, now = drawn(loss)
    np.testing.assert_array_equal(whole, [(0, 1), (3, 1 / 4), (8, 1 / 9)])
    np.testing.assert_array_equal(past, whole[:2])
    np.testing.assert_array_equal(now, whole[1:2])
    assert [line.get_alpha() for line in loss.lines] == [0.25, None, None]
    counts = [p.n_regions for p in recorder.partitions(SQUARE)]
    np.testing.assert_array_equal(drawn(regions)[0], list(zip([0, 3, 8], counts, strict=True)))


def test_metrics_choose_panels_and_may_share_them(recorder):
    metrics = [("loss", "accuracy"), "late"]
    axes = animate_training(recorder, SQUARE, metrics=metrics).frame(0).axes
    assert [ax.get_ylabel() for ax in axes[1:]] == ["", "late", "regions"]
    assert [text.get_text() for text in axes[1].get_legend().get_texts()] == ["loss", "accuracy"]
    colours = [line.get_color() for line in axes[1].lines]
    assert colours[0] == colours[2] != colours[3] == colours[5]
    # It is not known at the first step.
    whole, past = drawn(axes[2])
    assert (whole.tolist(), past.tolist()) == ([[3, 1], [8, 1]], [])
    alone = animate_training(recorder, SQUARE, metrics=[]).frame(0)
    assert [ax.get_ylabel() for ax in alone.axes] == ["", "regions"]


def test_scales_follow_the_spread_of_steps_and_values():
    figure = animate_training(recorded((0, 1, 10, 100, 1000)), SQUARE).frame(0)
    assert figure.axes[1].get_xscale() == "symlog"
    assert [ax.get_yscale() for ax in figure.axes[1:]] == ["log", "linear"]
    figure = animate_training(recorded((0, 5, 10)), SQUARE).frame(0)
    assert figure.axes[1].get_xscale() == "linear"
    assert figure.axes[1].get_yscale() == "linear"


def test_one_snapshot_is_an_animation(tmp_path):
    alone = animate_training(recorded((4,)), SQUARE)
    assert repr(alone) == "<TrainingAnimation: 1 frame, steps 4 to 4, 5 a second>"
    alone.save(tmp_path / "alone.gif", dpi=30)
    with Image.open(tmp_path / "alone.gif") as film:
        assert film.n_frames == 1


def test_pattern_keeps_its_colour_from_step_to_step():
    recorder = Recorder(default_mlp(2, 6, 2))
    recorder.record(0)
    with torch.no_grad():
        recorder._model[0].bias += 1e-6
    recorder.record(1)
    frames = animate_training(recorder, SQUARE, metrics=[])
    first, second = (frames.frame(i).axes[0].collections[0].get_facecolor() for i in (0, 1))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("color", ["area", "slope", "output", "depth"])
def test_scalars_have_one_scale_in_all_frames(recorder, color):
    frames = [animate_training(recorder, SQUARE, color=color).frame(i) for i in range(3)]
    pictures = [frame.axes[0].collections[0] for frame in frames]
    limits = {picture.get_clim() for picture in pictures}
    assert len(limits) == 1
    low, high = limits.pop()
    values = np.concatenate([picture.get_array() for picture in pictures])
    if color == "area":
        assert all(isinstance(picture.norm, LogNorm) for picture in pictures)
        assert high == values.max()
    else:
        assert low <= values.min() <= values.max() <= high
    assert len({str(picture.get_cmap()(np.linspace(0, 1, 9))) for picture in pictures}) == 1
    assert len({frame.axes[0].get_position().bounds for frame in frames}) == 1


def test_scale_of_outputs_is_diverging_in_all_frames_if_it_is_in_one():
    model = nn.Sequential(nn.Linear(2, 1))
    recorder = Recorder(model)
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, 0.0]]))
        for step, bias in enumerate((0.0, 5.0)):
            model[0].bias.fill_(bias)
            recorder.record(step)
    frames = animate_training(recorder, SQUARE, color="output", metrics=[])
    pictures = [frames.frame(i).axes[0].collections[0] for i in (0, 1)]
    # One region each, with the outputs 0 and 5 at its centroid: nothing is negative.
    assert [picture.get_clim() for picture in pictures] == [(0, 5), (0, 5)]


# --- Files -----------------------------------------------------------------------------------


def test_gif_holds_the_frames(animation, tmp_path):
    animation.save(tmp_path / "film.gif", dpi=50)
    with Image.open(tmp_path / "film.gif") as film:
        assert (film.n_frames, film.size, film.info["loop"]) == (3, (360, 170), 0)
        for index in range(3):
            film.seek(index)
            assert film.info["duration"] == (2000 if index == 2 else 200)
            found = np.asarray(film.convert("RGB"), np.int64)
            expected = np.asarray(rasterise(animation.frame(index), 50), np.int64)
            assert np.abs(found - expected).mean() < 1.5
            assert (found[expected.min(axis=2) == 255] == 255).all()


def test_html_holds_the_frames_and_loads_nothing(animation, tmp_path):
    animation.save(tmp_path / "film.html", dpi=50)
    page = (tmp_path / "film.html").read_text("utf-8")
    frames = json.loads(re.search(r"const frames = (\[.*\]);", page).group(1))
    assert len(frames) == 3
    for index, source in enumerate(frames):
        kind, data = source.split(",")
        assert kind == "data:image/png;base64"
        found = Image.open(io.BytesIO(base64.b64decode(data)))
        np.testing.assert_array_equal(found, rasterise(animation.frame(index), 50))
    assert "1000 / 5.0" in page
    assert re.search(r"https?:|{{|src=", page) is None


def test_notebooks_show_the_player(animation):
    shown = animation._repr_html_()
    assert shown.startswith('<iframe srcdoc="&lt;!doctype html&gt;')
    assert html.unescape(shown).count("data:image/png;base64,") == 3


def test_mp4_is_what_ffmpeg_makes_of_the_frames(animation, tmp_path):
    program = tmp_path / "ffmpeg"
    program.write_text(
        f"#!{sys.executable}\nimport sys\nopen(sys.argv[-1], 'wb').write(sys.stdin.buffer.read())\n"
    )
    program.chmod(0o755)
    with mpl.rc_context({"animation.ffmpeg_path": str(program)}):
        animation.save(tmp_path / "film.mp4", dpi=50)
    found = np.fromfile(tmp_path / "film.mp4", np.uint8).reshape(3, 170, 360, 4)
    for index in range(3):
        np.testing.assert_array_equal(found[index, ..., :3], rasterise(animation.frame(index), 50))


def test_files_are_the_same_each_time(recorder, tmp_path):
    for name in ("film.gif", "film.html"):
        contents = []
        for _ in range(2):
            animate_training(recorder, SQUARE, color="area").save(tmp_path / name, dpi=30)
            contents.append((tmp_path / name).read_bytes())
        assert contents[0] == contents[1]


def test_progress_is_shown_if_asked_for(recorder, tmp_path, capsys):
    animate_training(recorder, SQUARE).save(tmp_path / "film.gif", dpi=20)
    assert capsys.readouterr().err == ""
    film = animate_training(recorder, SQUARE, progress=True)
    film.save(tmp_path / "film.gif", dpi=20, progress=True)
    shown = capsys.readouterr().err
    assert "computing: 100%" in shown
    assert "drawing: 100%" in shown


# --- Refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["los"]}, r"metrics is \['los'\].*: 'loss', 'accuracy', 'late'"),
        ({"metrics": [("loss", "x")]}, "metrics is"),
        ({"metrics": [()]}, "metrics is"),
        ({"color": "patern"}, "color is 'patern'; accepted: 'pattern', 'area'"),
        ({"color": np.zeros(9)}, "color is array"),
        ({"fps": 0}, "fps is 0; accepted: a number > 0"),
    ],
    ids=str,
)
def test_wrong_options_are_refused(recorder, options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        animate_training(recorder, SQUARE, **options)


def test_wrong_arguments_are_refused(animation, tmp_path, monkeypatch):
    with pytest.raises(InvalidArgumentError, match="recorder has no snapshots"):
        animate_training(Recorder(default_mlp(2, 3, 1)), SQUARE)
    bare = Recorder(default_mlp(2, 3, 1))
    bare.record(0)
    with pytest.raises(InvalidArgumentError, match="none"):
        animate_training(bare, SQUARE)
    for index in (3, -1):
        with pytest.raises(InvalidArgumentError, match=f"index is {index}; accepted: .*from 0 to"):
            animation.frame(index)
    with pytest.raises(InvalidArgumentError, match=r"accepted: \.gif, \.html, \.mp4"):
        animation.save(tmp_path / "film.avi")
    with (
        mpl.rc_context({"animation.ffmpeg_path": str(tmp_path / "none")}),
        pytest.raises(SplineCamError, match=r"ffmpeg, which is not installed; .* \.gif or \.html"),
    ):
        animation.save(tmp_path / "film.mp4")
    assert list(tmp_path.iterdir()) == []
