"""Pictures of decision boundaries and classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.colors import same_color, to_hex
from matplotlib.figure import Figure
from torch import nn

import splinecam as sc
from pictures import (
    SQUARE,
    blank_axes,
    classifier_partition,
    draw,
    mlp,
)
from splinecam.measures.boundary import decision_boundary, level_set
from splinecam.plotting import (
    _style,
    plot_classes,
    plot_decision_boundary,
    plot_partition,
)

p = pytest.fixture(scope="module")(classifier_partition)
ax = pytest.fixture(blank_axes)


def test_draws_each_segment_of_the_boundary(p, ax):
    found = decision_boundary(p)
    line = plot_decision_boundary(found, ax=ax)
    assert isinstance(line, LineCollection)
    assert len(found.segments) > 10
    assert line.axes is ax
    assert np.array_equal(line.get_segments(), found.segments)
    assert (line.get_capstyle(), line.get_joinstyle()) == ("round", "round")
    assert line.get_path_effects()[0]._gc["linewidth"] > line.get_linewidth()[0]
    assert len(plot_decision_boundary(p, ax=ax).get_segments()) == len(found.segments)


def test_draws_level_sets_too(p, ax):
    found = level_set(p, 1, float(np.median(p.network(p.centroids)[:, 1])))
    assert len(plot_decision_boundary(found, ax=ax).get_segments()) == len(found.segments) > 0


def test_halo_is_wider_than_any_line(p, ax):
    for name in ("linewidth", "lw", "linewidths"):
        line = plot_decision_boundary(p, ax=ax, **{name: 5.0}, color="red")
        assert line.get_linewidth() == [5.0]
        assert line.get_path_effects()[0]._gc["linewidth"] > 7
        assert same_color(line.get_color()[0], "red")


def test_a_boundary_of_no_segments_is_drawn_as_nothing(ax):
    constant = nn.Linear(2, 2)
    with torch.no_grad():
        constant.weight.zero_()
    line = plot_decision_boundary(sc.compute_partition(constant, SQUARE), ax=ax)
    assert len(line.get_segments()) == 0
    draw(ax)


def test_overlays_lay_out_empty_axes_only(p, ax):
    line = plot_decision_boundary(p, ax=ax)
    assert ax.get_xlim() == (-1, 1)
    assert ax.get_aspect() == 1
    ax.set(xlim=(-0.1, 0.2), ylim=(0, 0.3))
    for again in (plot_decision_boundary(p, ax=ax), plot_decision_boundary(p, ax=ax)):
        assert again.axes is line.axes
    assert ax.get_xlim() == (-0.1, 0.2)
    plot_partition(p, ax=ax)
    assert ax.get_xlim() == (-1, 1)


def test_long_boundaries_are_thinner(ax):
    winding = sc.compute_partition(mlp(2, 30, 30, 9), SQUARE.with_box((-9, 9), (-9, 9)))
    small = Figure(figsize=(0.5, 0.5)).subplots()
    width = plot_decision_boundary(winding, ax=small).get_linewidth()[0]
    assert 0 < width < plot_decision_boundary(winding, ax=ax).get_linewidth()[0] <= 1.4


def test_classes_have_their_colours(p, ax):
    found = decision_boundary(p)
    pieces = plot_classes(found, ax=ax)
    assert isinstance(pieces, PolyCollection)
    assert len(pieces.get_paths()) == len(found.piece_classes)
    draw(ax)
    for colour, k in zip(pieces.get_facecolor(), found.piece_classes, strict=True):
        assert to_hex(colour) == _style.LIGHT.classes[k]
    corners = np.concatenate([path.vertices[:-1] for path in pieces.get_paths()])
    assert np.array_equal(corners, found.piece_vertices)


def test_the_eleventh_class_has_the_first_one_s_colour(ax):
    found = decision_boundary(sc.compute_partition(nn.Linear(2, 23), SQUARE))
    pieces = plot_classes(found, ax=ax)
    draw(ax)
    assert len(np.unique(found.piece_classes)) > 2
    for colour, k in zip(pieces.get_facecolor(), found.piece_classes, strict=True):
        assert to_hex(colour) == _style.LIGHT.classes[k % 10]
