"""Collections of very many paths look like matplotlib's own."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib import patheffects
from matplotlib.collections import LineCollection, PolyCollection

from pictures import SQUARE, blank_axes, classifier_partition, draw
from splinecam.plotting import _bulk, plot_partition
from splinecam.plotting._bulk import Lines, Polygons, joined_paths

rng = np.random.default_rng(0)
LINES = rng.uniform(-1, 1, (60, 3, 2))
CORNERS = rng.uniform(-0.05, 0.05, (60, 4, 2)) + rng.uniform(-0.9, 0.9, (60, 1, 2))
COLOURS = np.repeat(rng.random((5, 4)), 12, axis=0)
OFFSETS = np.arange(61) * 4


def pixels(collection) -> np.ndarray:
    ax = blank_axes()
    ax.set(xlim=(-1, 1), ylim=(-1, 1))
    ax.add_collection(collection, autolim=False)
    return draw(ax).astype(int)


@pytest.mark.parametrize(
    "look",
    [
        {"color": "black"},
        {"color": COLOURS[:, :3]},
        {"array": np.arange(60.0)},
        {"color": "red", "path_effects": [patheffects.Stroke(linewidth=5, foreground="blue")]},
        {"color": "black", "linestyle": "--", "alpha": 0.5},
        {"linewidth": np.linspace(0.1, 3, 60), "color": "green"},
        {"color": "black", "visible": False},
    ],
)
def test_joined_lines_are_drawn_as_single_ones(look, monkeypatch):
    expected = pixels(LineCollection(list(LINES), **look))
    monkeypatch.setattr(_bulk, "RASTERISE_ABOVE", 10)
    monkeypatch.setattr(_bulk, "JOINED_PATHS", 1)
    assert np.array_equal(pixels(Lines(LINES, **look)), expected)
    # Where lines cross, coverages of antialiased pixels add up to another number.
    monkeypatch.setattr(_bulk, "JOINED_PATHS", 7)
    found = pixels(Lines(LINES, **look))
    assert (np.abs(found - expected).max(axis=2) > 90).mean() < 0.03
    assert (found != 255).any() == (expected != 255).any()


@pytest.mark.parametrize("colours", [COLOURS, COLOURS[:1], COLOURS[rng.permutation(60)]])
def test_joined_polygons_are_drawn_as_single_ones(colours, monkeypatch):
    look = {"facecolor": colours, "edgecolor": "none"}
    expected = pixels(PolyCollection(list(CORNERS), **look))
    monkeypatch.setattr(_bulk, "RASTERISE_ABOVE", 10)
    found = pixels(Polygons(CORNERS.reshape(-1, 2), OFFSETS, **look))
    assert (np.abs(found - expected).max(axis=2) > 60).mean() < 0.03


def test_a_large_partition_looks_as_a_small_one(monkeypatch):
    p = classifier_partition()
    pictures = []
    for limit in (1_000_000, 10):
        monkeypatch.setattr(_bulk, "RASTERISE_ABOVE", limit)
        ax = blank_axes()
        plot_partition(p, ax=ax, linewidth=0.0)
        pictures.append(draw(ax, dpi=200).astype(int))
    assert SQUARE.area == 4
    assert np.abs(pictures[0] - pictures[1]).mean() < 0.5


def test_paths_of_one_colour_are_joined_in_the_order_of_their_first_parts():
    vertices = np.arange(20.0).reshape(10, 2)
    colours = np.array([[1, 0, 0, 1], [0, 1, 0, 1], [1, 0, 0, 1], [0, 0, 1, 1], [0, 1, 0, 1.0]])
    paths, found = joined_paths(vertices, np.arange(6) * 2, colours, closed=False)
    assert found.tolist() == colours[[0, 1, 3]].tolist()
    for path, parts in zip(paths, ((0, 2), (1, 4), (3,)), strict=True):
        assert path.codes is None
        assert not path.should_simplify
        expected = np.concatenate([[*vertices[2 * i : 2 * i + 2], (np.nan,) * 2] for i in parts])
        assert np.array_equal(path.vertices, expected, equal_nan=True)


def test_closed_paths_return_to_their_first_corner():
    vertices = np.array([(0, 0), (1, 0), (0, 1), (5, 5), (6, 5), (6, 6), (5, 6.0)])
    paths, _ = joined_paths(vertices, np.array([0, 3, 7]), np.ones((1, 4)), closed=True)
    expected = [
        *vertices[:3],
        vertices[0],
        (np.nan,) * 2,
        *vertices[3:],
        vertices[3],
        (np.nan,) * 2,
    ]
    assert len(paths) == 1
    assert np.array_equal(paths[0].vertices, expected, equal_nan=True)


def test_long_runs_are_cut(monkeypatch):
    monkeypatch.setattr(_bulk, "JOINED_PATHS", 4)
    paths, colours = joined_paths(LINES.reshape(-1, 2), np.arange(61) * 3, COLOURS, closed=False)
    assert len(paths) == len(colours) == 15
    assert [len(path.vertices) for path in paths] == [16] * 15


def test_parts_can_be_replaced(monkeypatch):
    monkeypatch.setattr(_bulk, "RASTERISE_ABOVE", 10)
    lines = Lines(LINES, color="black")
    assert np.array_equal(lines.get_segments(), LINES)
    lines.set_segments(LINES[:1])
    assert len(lines.get_segments()) == 1
    assert np.array_equal(pixels(lines), pixels(LineCollection(LINES[:1], color="black")))
    polygons = Polygons(CORNERS.reshape(-1, 2), OFFSETS, color="black")
    assert len(polygons.get_paths()) == 60
    polygons.set_verts([CORNERS[0]])
    assert len(polygons.get_paths()) == 1
