"""Pictures of points: anchors, thumbnails, data."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import same_color, to_hex
from torch import nn

import splinecam as sc
from pictures import (
    SQUARE,
    blank_axes,
    draw,
    mlp,
)
from splinecam.plotting import (
    _style,
    mark_anchors,
    new_figure,
    plot_partition,
    plot_points,
    plot_thumbnails,
)

ax = pytest.fixture(blank_axes)


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(0).random((3, 8, 6))


@pytest.fixture(scope="module")
def through(images: np.ndarray) -> sc.Slice:
    return sc.Slice.through(images)


def test_anchors_are_points(through, ax):
    points = mark_anchors(through, ax=ax)
    assert isinstance(points, PathCollection)
    assert np.array_equal(points.get_offsets(), through.anchors)
    assert ax.get_xlim() == (through.polygon[0, 0], through.polygon[1, 0])
    assert not ax.texts


def test_anchors_of_a_partition_are_its_slice_s(through, images, ax):
    p = sc.compute_partition(nn.Sequential(nn.Flatten(), mlp(48, 4, 2)), through)
    plot_partition(p, ax=ax)
    ax.set_xlim(-0.5, 0.5)
    points = mark_anchors(p, ax=ax, s=99, color="red")
    assert np.array_equal(points.get_offsets(), through.anchors)
    assert points.get_sizes() == [99]
    assert same_color(points.get_facecolor()[0], "red")
    assert ax.get_xlim() == (-0.5, 0.5)


def test_labels_stand_beside_anchors(through, ax):
    mark_anchors(through, ax=ax, labels=["a", "b", "c"])
    draw(ax)
    assert [text.get_text() for text in ax.texts] == ["a", "b", "c"]
    for text, place in zip(ax.texts, ax.transData.transform(through.anchors), strict=True):
        box = text.get_window_extent()
        assert box.y0 < place[1] < box.y1
        assert not box.x0 <= place[0] <= box.x1
        assert ax.bbox.x0 < box.x0
        assert box.x1 < ax.bbox.x1


def test_wrong_anchors_and_labels_are_refused(through, ax):
    with pytest.raises(sc.InvalidArgumentError, match="slice_ has no anchors; accepted: a slice"):
        mark_anchors(SQUARE, ax=ax)
    message = "labels are 2; accepted: one for each of the 3 anchors"
    with pytest.raises(sc.InvalidArgumentError, match=message):
        mark_anchors(through, ax=ax, labels=["a", "b"])


@pytest.mark.parametrize("channels", [(), (3,), (4,)])
def test_thumbnails_fit_and_leave_their_points_free(through, ax, channels):
    images = np.random.default_rng(1).random((3, 8, 6, *channels))
    mark_anchors(through, ax=ax)
    thumbnails = plot_thumbnails(images, through.anchors, ax=ax)
    draw(ax)
    assert len(thumbnails) == 3
    places = ax.transData.transform(through.anchors)
    for thumbnail, image, place in zip(thumbnails, images, places, strict=True):
        assert np.array_equal(thumbnail.offsetbox.get_data(), image)
        box = thumbnail.get_window_extent()
        assert ax.bbox.x0 <= box.x0 < box.x1 <= ax.bbox.x1
        assert ax.bbox.y0 <= box.y0 < box.y1 <= ax.bbox.y1
        assert not any(box.contains(*other) for other in places)
        middle = (box.min + box.max) / 2
        assert np.linalg.norm(middle - place) < box.height


def test_grey_thumbnails_share_a_scale(ax):
    images = np.stack([np.zeros((4, 4)), np.full((4, 4), 2.0), np.eye(4)])
    mark_anchors(sc.Slice.through(images), ax=ax)
    thumbnails = plot_thumbnails(images, np.zeros((3, 2)), ax=ax, cmap="gray_r", zoom=7)
    for thumbnail in thumbnails:
        assert thumbnail.offsetbox.image.get_clim() == (0, 2)
        assert thumbnail.offsetbox.image.cmap.name == "gray_r"
        assert thumbnail.offsetbox.get_zoom() == 7


@pytest.mark.parametrize("shape", [(8, 8), (3, 8, 8, 2), (3, 0, 8), (0, 8, 8)])
def test_other_than_images_are_refused(ax, shape):
    accepted = r"accepted: \(k, height, width\), \(k, height, width, 3\) or"
    with pytest.raises(sc.InvalidArgumentError, match=f"images has shape .*; {accepted}"):
        plot_thumbnails(np.zeros(shape), np.zeros((3, 2)), ax=ax)


def test_thumbnails_need_a_place_each(ax):
    with pytest.raises(sc.InvalidArgumentError, match=r"uv has shape \(2, 2\); accepted: \(3, 2\)"):
        plot_thumbnails(np.zeros((3, 8, 8)), np.zeros((2, 2)), ax=ax)
    with pytest.raises(sc.InvalidArgumentError, match="images holds nan"):
        plot_thumbnails(np.full((1, 8, 8), np.nan), np.zeros((1, 2)), ax=ax)


def test_thumbnails_know_the_room_that_a_colour_bar_leaves(through, images):
    p = sc.compute_partition(nn.Sequential(nn.Flatten(), mlp(48, 4, 2)), through)
    _, (ax,) = new_figure()
    plot_partition(p, ax=ax, color="area")
    thumbnails = plot_thumbnails(images, through.anchors, ax=ax)
    draw(ax)
    for thumbnail in thumbnails:
        box = thumbnail.offsetbox.get_window_extent()
        assert max(box.width, box.height) == pytest.approx(0.15 * ax.bbox.width, rel=0.02)


# plot_points


def test_inputs_lie_at_their_plane_coordinates(through, images, ax):
    rng = np.random.default_rng(2)
    weights = rng.dirichlet(np.ones(3), 20)
    inputs = np.tensordot(weights, images, 1)
    dots = plot_points(through, inputs, ax=ax)
    assert np.allclose(dots.get_offsets(), weights @ through.anchors)
    assert ax.get_xlim() == (through.polygon[0, 0], through.polygon[1, 0])
    assert dots.get_array() is None


def test_inputs_of_a_partition_are_on_its_slice(ax):
    p = sc.compute_partition(mlp(2, 4, 2), SQUARE)
    plot_partition(p, ax=ax)
    dots = plot_points(p, [(0.25, 0.5)], ax=ax, s=99, color="red")
    assert dots.get_offsets().tolist() == [[0.25, 0.5]]
    assert dots.get_sizes() == [99]
    assert same_color(dots.get_facecolor()[0], "red")


def test_classes_of_inputs_have_their_colours(ax):
    labels = np.array([0, 9, 10, 1])
    dots = plot_points(SQUARE, np.zeros((4, 2)), labels=labels, ax=ax)
    draw(ax)
    series = _style.LIGHT.series
    expected = [series[0], series[9], series[0], series[1]]
    assert [to_hex(colour) for colour in dots.get_facecolor()] == expected


def test_many_inputs_are_smaller(ax):
    sizes = [plot_points(SQUARE, np.zeros((n, 2)), ax=ax).get_sizes()[0] for n in (10, 900, 9000)]
    assert np.all(np.diff(sizes) < 0)
    assert plot_points(SQUARE, np.zeros((0, 2)), ax=ax).get_offsets().shape == (0, 2)


@pytest.mark.parametrize("labels", [[0], [0.0, 1.0], [0, -1], ["a", "b"]])
def test_other_than_classes_are_refused(ax, labels):
    accepted = r"accepted: \(2,\) integers >= 0"
    with pytest.raises(sc.InvalidArgumentError, match=f"labels has shape .*; {accepted}"):
        plot_points(SQUARE, np.zeros((2, 2)), labels=labels, ax=ax)
    with pytest.raises(sc.InvalidArgumentError, match=r"x has shape \(2, 3\); accepted: \(n, 2\)"):
        plot_points(SQUARE, np.zeros((2, 3)), ax=ax)
