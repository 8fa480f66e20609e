"""Keys of classes."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.artist import getp
from matplotlib.colors import same_color, to_hex
from matplotlib.legend import Legend
from torch import nn

import splinecam as sc
from pictures import SQUARE, classifier_partition, draw
from splinecam.measures.boundary import decision_boundary
from splinecam.plotting import (
    _style,
    mark_classes,
    new_figure,
    plot_classes,
    plot_partition,
    plot_points,
)


@pytest.mark.parametrize("dark", [False, True])
def test_keys_show_the_classes_that_appear_in_their_colours(dark):
    found = decision_boundary(sc.compute_partition(nn.Linear(2, 9), SQUARE))
    shown = np.unique(found.piece_classes).tolist()
    assert 1 < len(shown) < 9
    _, (ax,) = new_figure(dark=dark)
    key = mark_classes(plot_classes(found, ax=ax))
    assert isinstance(key, Legend)
    assert ax.get_legend() is key
    assert [text.get_text() for text in key.get_texts()] == [str(k) for k in shown]
    theme = _style.DARK if dark else _style.LIGHT
    colours = [to_hex(getp(handle, "color")) for handle in key.legend_handles]
    assert colours == [theme.classes[k] for k in shown]
    assert same_color(key.get_texts()[0].get_color(), theme.ink)
    assert key.get_title().get_text() == "class"


def test_keys_lie_right_of_the_axes_and_in_the_figure():
    figure, axes = new_figure(panels=2, width="page")
    labels = np.arange(40)
    for ax in axes:
        key = mark_classes(plot_points(SQUARE, np.zeros((40, 2)), labels=labels, ax=ax))
        draw(ax)
    box = key.get_window_extent()
    assert axes[1].get_window_extent().x1 <= box.x0
    assert box.x1 <= figure.bbox.x1
    # As many columns as it takes.
    assert axes[1].get_window_extent().height >= box.height > 0


def test_classes_may_have_names():
    _, (ax,) = new_figure()
    dots = plot_points(SQUARE, np.zeros((2, 2)), labels=[2, 0], ax=ax)
    key = mark_classes(dots, names=["cat", "dog", "owl"])
    assert [text.get_text() for text in key.get_texts()] == ["cat", "owl"]
    with pytest.raises(sc.InvalidArgumentError, match="names are 2; accepted: one for each class"):
        mark_classes(dots, names=["cat", "dog"])


def test_what_shows_no_classes_is_refused():
    p = classifier_partition()
    _, (ax,) = new_figure()
    message = "classes is a .* that shows no classes; accepted: what plot_classes returned"
    for artist in (plot_partition(p, ax=ax, color="area"), plot_points(p, [(0, 0)], ax=ax), ax):
        with pytest.raises(sc.InvalidArgumentError, match=message):
            mark_classes(artist)
    none = plot_points(p, np.empty((0, 2)), labels=np.empty(0, int), ax=ax)
    with pytest.raises(sc.InvalidArgumentError, match="classes is empty; accepted: a picture of"):
        mark_classes(none)
