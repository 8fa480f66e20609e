"""Slices: degenerate arguments first, then properties of the plane, the polygon and the seed."""

import dataclasses
import math
import re
from fractions import Fraction
from itertools import combinations
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from splinecam.common.arguments import as_float64
from splinecam.errors import InvalidArgumentError, InvalidSliceError
from splinecam.slices import Slice

EYE = np.eye(3)[:2]
SQUARE = np.array([(0.0, 0.0), (1.0, 0.0), (1.0, 1.0), (0.0, 1.0)])
TRIANGLE = np.array([(0.0, 0.0), (1.0, 0.0), (0.0, 1.0)])
UNIT_BOX = Slice.box((-1, 1), (-1, 1))


def make(
    origin: Any = (0, 0, 0),
    basis: Any = EYE,
    polygon: Any = SQUARE,
    input_shape: Any = None,
    **options: Any,
) -> Slice:
    return Slice(origin, basis, polygon, input_shape, **options)


def star(points, step):
    """Return the corners of a regular star polygon, every `step`-th of `points` on a circle."""
    angles = 2 * np.pi * step * np.arange(points) / points
    return np.column_stack((np.cos(angles), np.sin(angles)))


def doubled_area(polygon):
    """Return twice the signed area of a polygon in rational arithmetic."""
    exact = [(Fraction(x), Fraction(y)) for x, y in polygon.tolist()]
    following = exact[1:] + exact[:1]
    return sum(ax * by - ay * bx for (ax, ay), (bx, by) in zip(exact, following, strict=True))


# --- Polygons that are refused ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("polygon", "message"),
    [
        (np.empty((0, 2)), "polygon has 0 vertices; accepted: at least 3"),
        (SQUARE[:2], "polygon has 2 vertices; accepted: at least 3"),
        ([(0, 0), (1, 0), (1, 1), (1, 0)], "polygon: vertex 1 and vertex 3 are the same"),
        ([(0, 0), (1, 0), (-0.0, 0.0)], "polygon: vertex 0 and vertex 2 are the same"),
        ([(0, 0), (1, 1), (3, 3), (2, 2)], "polygon has zero area: its vertices are on one line"),
        ([(0, 0), (1, 0), (2, 0), (2, 2)], "vertex 1 lies on the line through its two neighbours"),
        ([(1, 0), (2, 0), (2, 2), (0, 0)], "vertex 0 lies on the line through its two neighbours"),
        ([(0, 0), (3, 0), (2, 0), (2, 2)], "vertex 1 lies on the line through its two neighbours"),
        (
            [(0, 0), (4, 0), (1, 1), (0, 4)],
            "polygon is not convex: it turns left at vertex 0 and right at vertex 2",
        ),
        (
            [(0, 4), (1, 1), (4, 0), (0, 0)],
            "polygon is not convex: it turns left at vertex 1 and right at vertex 0",
        ),
        (SQUARE[[0, 2, 1, 3]], "polygon is not convex: it turns left at vertex 0"),
        (star(5, 2), "polygon crosses itself: it goes round 2 times"),
        (star(5, 2)[::-1], "polygon crosses itself: it goes round 2 times"),
        (star(7, 3), "polygon crosses itself: it goes round 3 times"),
        (SQUARE * 1e-155, "polygon: the area 1e-310 is too small for float64"),
        (SQUARE * 1e-320, "polygon: the area 0 is too small for float64"),
        (
            SQUARE * 1.1e150,
            "polygon holds 1.1e+150; accepted: finite numbers (no NaN) up to 1e+150",
        ),
        (SQUARE.T, "polygon has shape (2, 4); accepted: (n, 2)"),
        (SQUARE[0], "polygon has shape (2,); accepted: (n, 2)"),
    ],
)
def test_refuses_polygon(polygon, message):
    with pytest.raises(InvalidSliceError, match=re.escape(message)):
        make(polygon=polygon)
    with pytest.raises(InvalidSliceError, match=re.escape(message)):
        UNIT_BOX.with_polygon(polygon)


def test_convexity_is_decided_without_rounding():
    # In float64 the turn at (0.1, 0.3) over (0.3, 0.9) rounds to zero or to either side.
    above = [(0, 0), (1, 0), (1, 3), (0.1, np.nextafter(0.3, 1))]
    below = [(0, 0), (1, 0), (1, 3), (0.1, np.nextafter(0.3, 0))]
    assert len(make(polygon=above).polygon) == 4
    with pytest.raises(InvalidSliceError, match="right at vertex 3"):
        make(polygon=below)


@given(hnp.arrays(np.float64, (3, 2), elements=st.integers(-3, 3).map(lambda k: k * 0.1)))
def test_triangle_is_refused_iff_its_exact_area_is_zero(corners):
    doubled = doubled_area(corners)
    if doubled == 0:
        with pytest.raises(InvalidSliceError, match=r"zero area|are the same"):
            make(polygon=corners)
    else:
        assert make(polygon=corners).area == float(abs(doubled) / 2)


def test_clockwise_polygon_is_stored_counter_clockwise_from_the_same_corner():
    clockwise = SQUARE[[0, 3, 2, 1]]
    np.testing.assert_array_equal(make(polygon=clockwise).polygon, SQUARE)
    np.testing.assert_array_equal(make(polygon=SQUARE[[1, 2, 3, 0]]).polygon[0], SQUARE[1])


# --- Other arguments that are refused --------------------------------------------------------

CALLS = {
    "origin": lambda bad: make(origin=[0.0, bad, 0.0]),
    "basis": lambda bad: make(basis=[(1, 0, 0), (0, bad, 0)]),
    "polygon": lambda bad: make(polygon=[(0, 0), (1, bad), (0, 1)]),
    "anchors": lambda bad: make(anchors=[(0, bad)]),
    "points": lambda bad: Slice.through([(0, bad, 0), (1, 0, 0)]),
    "pad": lambda bad: Slice.through([(0, 0, 0), (1, 0, 0)], pad=bad),
    "at": lambda bad: Slice.axes(0, 1, at=[0, 0, bad], xlim=(0, 1), ylim=(0, 1)),
    "xlim": lambda bad: Slice.box((0, bad), (0, 1)),
    "ylim": lambda bad: UNIT_BOX.with_box((0, 1), (bad, 1)),
    "radius": lambda bad: UNIT_BOX.with_regular_polygon(3, bad),
    "center": lambda bad: UNIT_BOX.with_regular_polygon(3, 1.0, center=(bad, 0)),
    "uv": lambda bad: UNIT_BOX.with_hull([(0, 0), (1, 0), (0, bad)]),
}


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, -1e151])
def test_refuses_numbers_that_are_not_finite_or_too_large(name, bad):
    with pytest.raises(
        InvalidSliceError, match=f"^{name} holds {re.escape(f'{bad:g}')}; accepted: finite"
    ):
        CALLS[name](bad)


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.parametrize(
    ("bad", "kind"), [(1j, "complex128"), (None, "object"), ("1", "<U"), (10**30, "object")]
)
def test_refuses_what_is_not_a_real_number(name, bad, kind):
    with pytest.raises(InvalidSliceError, match=f"^{name} has dtype {kind}.*; accepted: integers"):
        CALLS[name](bad)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.ones(3, dtype=bool), "origin has dtype bool; accepted: integers or floats"),
        (torch.ones(3, dtype=torch.bool), "origin has dtype bool; accepted: integers or floats"),
        (torch.ones(3, dtype=torch.complex64), "origin has dtype complex64"),
        (np.ones(3, dtype=np.longdouble), "origin has dtype (longdouble|float128)"),
        ([[0, 1], [0]], "origin is not an array of numbers: .*inhomogeneous"),
        (torch.ones(3, dtype=torch.complex64).conj(), "origin is not an array of numbers"),
        (torch.ones(3, device="meta"), "origin is not an array of numbers"),
        (torch.ones(3).to_sparse(), "origin is not an array of numbers"),
    ],
)
def test_refuses_arrays_of_other_kinds(values, message):
    with pytest.raises(InvalidSliceError, match=message):
        make(origin=values)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: make(origin=np.zeros((1, 3))), "origin has shape (1, 3); accepted: (D,)"),
        (lambda: make(origin=0.0), "origin has shape (); accepted: (D,)"),
        (lambda: make(basis=np.eye(3)), "basis has shape (3, 3); accepted: (2, 3)"),
        (lambda: make(basis=np.eye(2)), "basis has shape (2, 2); accepted: (2, 3)"),
        (lambda: make(anchors=[0, 0]), "anchors has shape (2,); accepted: (k, 2)"),
        (
            lambda: make(basis=EYE * (1 + 1e-8)),
            "basis is not orthonormal: basis @ basis.T differs from the identity by 2e-08",
        ),
        (
            lambda: make(basis=[(1, 0, 0), (0.6, 0.8, 0)]),
            "basis is not orthonormal: basis @ basis.T differs from the identity by 0.6",
        ),
        (lambda: make(basis=[(1, 0, 0), (1, 0, 0)]), "basis is not orthonormal"),
        (lambda: make(basis=[(1, 0, 0), (0, 1e150, 0)]), "differs from the identity by 1e+300"),
        (lambda: Slice([0], [[1], [0]], SQUARE), "origin: the input space has D = 1 coordinates"),
        (lambda: make(input_shape=(2, 2)), "input_shape is (2, 2); accepted: a tuple of positive"),
        (lambda: make(input_shape=(-1, -3)), "whose product is D = 3"),
        (lambda: make(input_shape=3), "input_shape is 3; accepted"),
        (lambda: make(input_shape=(3.0,)), "input_shape is (3.0,); accepted"),
        (lambda: make(input_shape=()), "input_shape is (); accepted"),
        (lambda: Slice.box((1, 1), (0, 1)), "xlim is (1, 1); accepted: lower < upper"),
        (lambda: Slice.box((0, 1), (1, -2)), "ylim is (1, -2); accepted: lower < upper"),
        (lambda: Slice.box((0, 1, 2), (0, 1)), "xlim has shape (3,); accepted: (2,)"),
        (lambda: UNIT_BOX.with_hull([(0, 0), (1, 2), (2, 4)]), "uv: the hull has zero area"),
        (lambda: UNIT_BOX.with_hull([(1, 1)]), "uv: the hull has zero area"),
        (lambda: UNIT_BOX.with_hull(np.empty((0, 2))), "uv: the hull has zero area"),
        (lambda: UNIT_BOX.with_hull([1, 2, 3]), "uv has shape (3,); accepted: (n, 2)"),
    ],
)
def test_refuses_argument(call, message):
    with pytest.raises(InvalidSliceError, match=re.escape(message)):
        call()


@pytest.mark.parametrize(
    ("n", "radius", "center", "message"),
    [
        (2, 1.0, (0, 0), "n is 2; accepted: an integer >= 3"),
        (3.0, 1.0, (0, 0), "n is 3.0; accepted: an integer >= 3"),
        (3, 0.0, (0, 0), "radius is 0.0; accepted: a number > 0"),
        (3, -1, (0, 0), "radius is -1; accepted: a number > 0"),
        (3, (1.0, 2.0), (0, 0), "radius has shape (2,); accepted: ()"),
        (3, 1.0, 0.0, "center has shape (); accepted: (2,)"),
    ],
)
def test_refuses_regular_polygon(n, radius, center, message):
    with pytest.raises(InvalidSliceError, match=re.escape(message)):
        UNIT_BOX.with_regular_polygon(n, radius, center=center)


def test_refuses_regular_polygon_that_float64_cannot_hold():
    with pytest.raises(InvalidSliceError, match=r"^polygon"):
        UNIT_BOX.with_regular_polygon(1000, 1e-8, center=(1e6, 1e6))


@pytest.mark.parametrize(
    ("i", "j", "message"),
    [
        (
            3,
            0,
            "i is 3; accepted: a flat index from 0 to 2 or an index tuple into the shape (3, 1)",
        ),
        (-1, 0, "i is -1; accepted"),
        (0, 1.0, "j is 1.0; accepted"),
        (0, (1,), "j is (1,); accepted"),
        (0, (1, 1), "j is (1, 1); accepted"),
        (0, (-1, 0), "j is (-1, 0); accepted"),
        (0, "1", "j is '1'; accepted"),
        (2, 2, "i = 2 and j = 2 are the same coordinate"),
        (2, (2, 0), "i = 2 and j = (2, 0) are the same coordinate"),
    ],
)
def test_axes_refuses_index(i, j, message):
    with pytest.raises(InvalidSliceError, match=re.escape(message)):
        Slice.axes(i, j, at=np.zeros((3, 1)), xlim=(0, 1), ylim=(0, 1))


@pytest.mark.parametrize("at", [0.0, [0.0], np.empty((2, 0))])
def test_axes_refuses_an_input_of_fewer_than_two_coordinates(at):
    with pytest.raises(InvalidSliceError, match=f"at: the input space has D = {np.size(at)} "):
        Slice.axes(0, 1, at=at, xlim=(0, 1), ylim=(0, 1))


# --- Anchors that are refused ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((0, 3)), "points has shape (0, 3); accepted: (k, *input_shape) with k = 1, 2"),
        (np.eye(4), "points has shape (4, 4); accepted: (k, *input_shape) with k = 1, 2 or 3"),
        (np.zeros(3), "points has shape (3,); accepted: (k, *input_shape)"),
        ([[1.0], [2.0]], "points: the input space has D = 1 coordinates; accepted: D >= 2"),
        (np.ones((2, 4)), "points: point 0 and point 1 are the same"),
        (np.eye(3)[[0, 1, 0]], "points: point 0 and point 2 are the same"),
        (np.eye(3)[[0, 1, 1]], "points: point 1 and point 2 are the same"),
        ([(0.0, -0.0), (-0.0, 0.0)], "points: point 0 and point 1 are the same"),
        ([(0, 0), (1, 1), (3, 3)], "points are collinear: their triangle is"),
        ([(0, 0), (1, 0), (0.5, 1e-13)], "points are collinear: their triangle is 1e-13 times"),
        ([(0, 0), (0.5, 1e-13), (1, 0)], "accepted: more than 1e-12"),
        ([(0.5, 1e-13), (1, 0), (0, 0)], "accepted: more than 1e-12"),
        ([(0, 0), (1e-13, 1e-13), (1, 0)], "points are collinear"),
        ([(0, 0), (1, 0), (1, 1e-13)], "points are collinear"),
    ],
)
def test_through_refuses_points(points, message):
    with pytest.raises(InvalidSliceError, match=re.escape(message)):
        Slice.through(points)


@pytest.mark.parametrize("apex", [0, 1, 2])
def test_collinearity_is_relative_to_the_longest_side(apex):
    flat = np.array([(0, 1.5e-12), (-1, 0), (1, 0)])
    with pytest.raises(InvalidSliceError, match=r"7\.5e-13 times as high as long; accepted: more"):
        Slice.through(np.roll(flat, apex, axis=0))
    assert len(Slice.through(np.roll(flat * (1, 1.5), apex, axis=0)).anchors) == 3


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_points_that_are_collinear_to_the_rounding_of_their_dtype_are_refused(dtype):
    first, second = torch.rand(2, 64, generator=torch.Generator().manual_seed(0)).to(dtype)
    with pytest.raises(InvalidSliceError, match="points are collinear"):
        Slice.through(torch.stack([first, second, (0.3 * first + 0.7 * second).to(dtype)]))


@pytest.mark.parametrize("scale", [1e-300, 1e-9, 1.0, 1e9, 1e149])
def test_collinearity_does_not_depend_on_scale(scale):
    with pytest.raises(InvalidSliceError, match="points are collinear"):
        Slice.through(np.array([(0, 0, 0), (1, 1, 1), (2, 2, 2 + 1e-13)]) * scale)
    if scale > 1e-150:
        triangle = np.array([(0, 0, 0), (1, 1, 1), (2, 2, 2 + 1e-11)]) * scale
        assert len(Slice.through(triangle).anchors) == 3


@pytest.mark.parametrize(
    ("k", "pad", "message"),
    [
        (1, 0.0, "pad is 0.0; accepted: a number > 0 for one point"),
        (1, -0.1, "pad is -0.1; accepted: a number > 0 for one point"),
        (2, -0.1, "pad is -0.1; accepted: a number >= 0"),
        (3, -1, "pad is -1; accepted: a number >= 0"),
        (3, (1, 2), "pad has shape (2,); accepted: ()"),
        (3, True, "pad has dtype bool"),
    ],
)
def test_through_refuses_pad(k, pad, message):
    with pytest.raises(InvalidSliceError, match=re.escape(message)):
        Slice.through(np.eye(3)[:k], pad=pad)


@pytest.mark.parametrize("seed", [-1, 0.5, None, "0"])
def test_through_refuses_seed(seed):
    message = re.escape(f"seed is {seed!r}; accepted: an integer >= 0")
    with pytest.raises(InvalidSliceError, match=message):
        Slice.through(np.eye(3), seed=seed)


# --- embed and project -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda sl: sl.embed([0, 1]), "uv has shape (2,); accepted: (n, 2)"),
        (lambda sl: sl.embed(np.zeros((1, 3))), "uv has shape (1, 3); accepted: (n, 2)"),
        (
            lambda sl: sl.embed([(0, np.nan)]),
            "uv holds nan; accepted: finite",
        ),
        (lambda sl: sl.embed([(0, 1j)]), "uv has dtype complex128; accepted: integers or floats"),
        (lambda sl: sl.project(np.zeros((2, 3))), "x has shape (2, 3); accepted: (n, 2, 3)"),
        (lambda sl: sl.project(np.zeros((1, 6))), "x has shape (1, 6); accepted: (n, 2, 3)"),
        (lambda sl: sl.project(torch.full((1, 2, 3), np.inf)), "x holds inf; accepted: finite"),
    ],
)
def test_embed_and_project_refuse(call, message):
    sl = Slice.through(np.arange(6.0).reshape(1, 2, 3))
    with pytest.raises(InvalidArgumentError, match=re.escape(message)):
        call(sl)


def test_embed_and_project_of_no_points():
    sl = Slice.through(np.arange(6.0).reshape(1, 2, 3))
    assert sl.embed(np.empty((0, 2))).shape == (0, 2, 3)
    assert sl.project(np.empty((0, 2, 3))).shape == (0, 2)


coordinates = st.floats(-100, 100).map(lambda x: round(x, 3))


@st.composite
def slices(draw):
    """Draw a slice through one to three points of any input shape, offset and size."""
    shape = draw(st.sampled_from([(2,), (3,), (50,), (2, 1), (3, 4, 4)]))
    k = draw(st.integers(1, 3))
    points = draw(hnp.arrays(np.float64, (k, *shape), elements=coordinates))
    # Moved apart, so that they are neither repeated nor collinear.
    flat = points.reshape(k, -1)
    flat[1:, 0] += 1000
    flat[2:, 1] += 1000
    size = draw(st.sampled_from([1e-9, 1.0, 1e9]))
    offset = draw(st.sampled_from([0.0, 1e6]))
    return Slice.through(size * points + offset, seed=draw(st.integers(0, 99)))


@given(slices(), hnp.arrays(np.float64, (5, 2), elements=st.floats(-1, 1)))
def test_project_inverts_embed(sl, weights):
    uv = weights * sl.polygon.max()
    x = sl.embed(uv)
    assert x.shape == (5, *sl.input_shape)
    assert x.dtype == np.float64
    scale = np.abs(sl.origin).max() + np.abs(uv).max()
    np.testing.assert_allclose(sl.project(x), uv, rtol=0, atol=1e-14 * sl.dim * scale)


@given(slices(), st.integers(0, 99))
def test_projection_is_orthogonal(sl, seed):
    x = np.random.default_rng(seed).standard_normal((4, *sl.input_shape))
    rest = (x - sl.embed(sl.project(x))).reshape(4, -1)
    scale = np.abs(x).max() + np.abs(sl.origin).max()
    np.testing.assert_allclose(rest @ sl.basis.T, 0, rtol=0, atol=1e-13 * sl.dim * scale)


@given(slices())
def test_basis_is_orthonormal_to_rounding(sl):
    np.testing.assert_allclose(sl.basis @ sl.basis.T, np.eye(2), rtol=0, atol=1e-14)


def test_embed_is_origin_plus_combination_of_the_basis():
    sl = Slice([1, 2, 3, 4], [(0, 1, 0, 0), (0, 0, 0, -1)], SQUARE, (2, 2))
    np.testing.assert_array_equal(sl.embed([(10, 20)]), [[(1, 12), (3, -16)]])
    np.testing.assert_array_equal(sl.project([[(9, 12), (9, -16)]]), [(10, 20)])


def test_project_inverts_embed_for_a_basis_within_the_tolerance():
    tilted = np.array([(1, 0, 0), (5e-10, 1, 0)])
    sl = make(basis=tilted)
    np.testing.assert_allclose(sl.project(sl.embed(1e3 * SQUARE)), 1e3 * SQUARE, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.int64])
def test_tensors_are_taken_with_their_exact_values(dtype):
    points = (10 * torch.eye(3, 6) + 0.1).to(dtype).reshape(3, 2, 3)
    exact = points.double().numpy()
    if dtype.is_floating_point:
        points.requires_grad_()
    sl = Slice.through(points)
    reference = Slice.through(exact)
    np.testing.assert_array_equal(sl.origin, reference.origin)
    np.testing.assert_array_equal(sl.anchors, reference.anchors)
    np.testing.assert_array_equal(sl.project(points), reference.project(exact))
    listed = Slice.through(list(points))
    np.testing.assert_array_equal(listed.basis, sl.basis)
    assert listed.input_shape == (2, 3)
    assert all(type(length) is int for length in listed.input_shape)


# --- Constructors ----------------------------------------------------------------------------


def test_box():
    sl = Slice.box((-1, 2), (0.5, 0.75))
    np.testing.assert_array_equal(sl.origin, [0, 0])
    np.testing.assert_array_equal(sl.basis, np.eye(2))
    np.testing.assert_array_equal(sl.polygon, [(-1, 0.5), (2, 0.5), (2, 0.75), (-1, 0.75)])
    assert (sl.dim, sl.input_shape, sl.area) == (2, (2,), 0.75)
    assert sl.anchors.shape == (0, 2)


def test_axes_has_input_coordinates_as_plane_coordinates():
    at = np.arange(24.0).reshape(2, 3, 4)
    sl = Slice.axes((1, 0, 2), 3, at=torch.tensor(at), xlim=(-5, 5), ylim=(1, 2))
    x = sl.embed([(-2.5, 1.5)])
    expected = at.copy()
    expected[1, 0, 2], expected[0, 0, 3] = -2.5, 1.5
    np.testing.assert_array_equal(x, expected[None])
    np.testing.assert_array_equal(sl.project(at[None]), [(14.0, 3.0)])
    np.testing.assert_array_equal(sl.polygon, [(-5, 1), (5, 1), (5, 2), (-5, 2)])
    assert sl.input_shape == (2, 3, 4)
    assert sl.anchors.shape == (0, 2)
    assert at[1, 0, 2] == 14.0


@given(slices())
def test_through_holds_its_points_in_a_square(sl):
    low, high = sl.polygon.min(axis=0), sl.polygon.max(axis=0)
    width, height = high - low
    assert len(sl.polygon) == 4
    assert math.isclose(width, height, rel_tol=1e-9)
    assert (sl.anchors > low).all()
    assert (sl.anchors < high).all()
    extent = np.ptp(sl.anchors, axis=0).max()
    if len(sl.anchors) > 1:
        assert math.isclose(width, 1.1 * extent, rel_tol=1e-9)
    else:
        assert math.isclose(width, 0.2)


def test_through_three_points():
    points = np.array([(0.0, 0.0, 5.0), (3.0, 0.0, 5.0), (0.0, 6.0, 5.0)])
    sl = Slice.through(points, pad=0.5)
    np.testing.assert_allclose(sl.origin, (1, 2, 5))
    np.testing.assert_allclose(sl.basis, [(1, 0, 0), (0, 1, 0)], atol=1e-15)
    np.testing.assert_allclose(sl.anchors, [(-1, -2), (2, -2), (-1, 4)], atol=1e-14)
    np.testing.assert_allclose(sl.polygon, [(-4, -3.5), (5, -3.5), (5, 5.5), (-4, 5.5)], atol=1e-14)
    np.testing.assert_array_equal(sl.basis, Slice.through(points, seed=7).basis)
    mirrored = Slice.through(points * (-1, -1, 1))
    np.testing.assert_allclose(mirrored.basis, [(-1, 0, 0), (0, -1, 0)], atol=1e-15)


def test_through_two_points_runs_from_the_first_to_the_second():
    points = np.array([(1.0, 1.0, 1.0, 1.0), (1.0, 1.0, 5.0, 4.0)])
    sl = Slice.through(points, pad=0)
    np.testing.assert_allclose(sl.basis[0], (0, 0, 0.8, 0.6), atol=1e-15)
    np.testing.assert_allclose(sl.anchors, [(-2.5, 0), (2.5, 0)], atol=1e-14)
    np.testing.assert_allclose(sl.area, 25)
    np.testing.assert_allclose(sl.embed(sl.anchors), points, atol=1e-14)


def test_through_one_point_is_centred_with_pad_as_half_width():
    point = np.array([[[3.0, -7.0, 1e6]]])
    sl = Slice.through(point, pad=1e-3)
    np.testing.assert_array_equal(sl.embed(sl.anchors), point)
    np.testing.assert_array_equal(sl.polygon, 1e-3 * np.array([(-1, -1), (1, -1), (1, 1), (-1, 1)]))


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("size", [1e-140, 1e-9, 1e9, 1e140])
def test_through_points_of_any_size(k, size):
    points = size * np.array([(0.0, 0.0), (1.0, 2.0), (0.5, -1.0)])[:k]
    sl = Slice.through(points, pad=size if k == 1 else 0.1)
    np.testing.assert_allclose(sl.embed(sl.anchors), points, rtol=0, atol=1e-15 * size)
    np.testing.assert_allclose(sl.basis @ sl.basis.T, np.eye(2), rtol=0, atol=1e-15)


def test_through_tiny_triangle_far_away():
    points = 1e6 + 1e-9 * np.array([(0.0, 0.0, 0.0), (1.0, 0.0, 0.0), (0.0, 1.0, 0.0)])
    sl = Slice.through(points)
    np.testing.assert_allclose(sl.embed(sl.anchors), points, rtol=2.3e-16)
    np.testing.assert_array_equal(np.abs(sl.basis), np.eye(3)[:2])


def test_random_directions_are_uniform():
    # Var of one coordinate of a uniform unit vector is 1/D; 4 sigma of 2000 draws is below 0.04.
    first, second = np.array([(0.0, 0.0, 0.0), (0.0, 0.0, 1.0)])
    second_axes = [Slice.through([first, second], seed=seed).basis[1] for seed in range(2000)]
    np.testing.assert_allclose(np.mean(second_axes, axis=0), 0, atol=0.07)
    np.testing.assert_allclose(np.mean(np.square(second_axes), axis=0), (0.5, 0.5, 0), atol=0.04)


@pytest.mark.parametrize("k", [1, 2])
def test_the_seed_decides_the_random_directions(k):
    points = np.arange(2 * 9.0).reshape(2, 3, 3)[:k] ** 2
    once, again, other = (Slice.through(points, seed=seed) for seed in (3, 3, 4))
    np.testing.assert_array_equal(once.basis, again.basis)
    np.testing.assert_array_equal(once.polygon, again.polygon)
    assert np.abs(once.basis - other.basis).max() > 0.01


def test_global_random_states_are_untouched():
    numpy_state = np.random.get_state(legacy=False)  # noqa: NPY002 - the global state is the subject
    torch_state = torch.get_rng_state()
    Slice.through(np.eye(3)[:1])
    Slice.through(torch.eye(3)[:2])
    after = np.random.get_state(legacy=False)  # noqa: NPY002
    np.testing.assert_array_equal(after["state"]["key"], numpy_state["state"]["key"])
    assert after["state"]["pos"] == numpy_state["state"]["pos"]
    assert torch.equal(torch.get_rng_state(), torch_state)


# --- Polygons on the same plane --------------------------------------------------------------


def test_with_polygon_keeps_the_plane_and_the_anchors():
    sl = Slice.through(np.arange(8.0).reshape(2, 2, 2) ** 2)
    other = sl.with_polygon(TRIANGLE)
    for name in ("origin", "basis", "anchors"):
        np.testing.assert_array_equal(getattr(other, name), getattr(sl, name))
    assert other.input_shape == sl.input_shape
    np.testing.assert_array_equal(other.polygon, TRIANGLE)
    assert sl.polygon.shape == (4, 2)


def test_with_box_far_from_the_origin():
    sl = UNIT_BOX.with_box((1e6, 1e6 + 1e-9), (-1e9, 1e9))
    assert math.isclose(sl.area, (1e6 + 1e-9 - 1e6) * 2e9, rel_tol=1e-15)


@pytest.mark.parametrize("n", [3, 4, 5, 6, 8, 12, 97, 100, 1000])
@pytest.mark.parametrize(("radius", "center"), [(1, (0, 0)), (1e-9, (0, 0)), (1e9, (1e6, 0.3))])
def test_with_regular_polygon(n, radius, center):
    sl = UNIT_BOX.with_regular_polygon(n, radius, center=center)
    assert sl.polygon.shape == (n, 2)
    np.testing.assert_array_equal(sl.polygon[0], np.add(center, (radius, 0)))
    expected = n / 2 * radius**2 * math.sin(2 * math.pi / n)
    assert math.isclose(sl.area, expected, rel_tol=1e-12)


grid = st.integers(-4, 4).map(lambda k: k * 0.1)
messy = st.one_of(grid, st.floats(-1, 1), st.sampled_from([1e-300, 5e-324, 1e6, 1e6 + 1e-9, 1e9]))


@settings(max_examples=200)
@given(hnp.arrays(np.float64, st.tuples(st.integers(3, 12), st.just(2)), elements=messy))
def test_with_hull_holds_all_points_exactly(uv):
    widest = max(abs(doubled_area(uv[[0, i, j]])) for i, j in combinations(range(len(uv)), 2))
    assume(widest == 0 or widest > 1e-306)
    if widest == 0:
        with pytest.raises(InvalidSliceError, match="uv: the hull has zero area"):
            UNIT_BOX.with_hull(uv)
        return
    corners = UNIT_BOX.with_hull(uv).polygon
    assert set(map(tuple, corners.tolist())) <= set(map(tuple, uv.tolist()))
    for side in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        assert all(doubled_area(np.array([*side, point])) >= 0 for point in uv)


def test_with_hull_of_many_points_on_a_circle():
    circle = star(1000, 1)
    shuffled = np.random.default_rng(0).permutation(np.concatenate((circle, circle, circle / 2)))
    sl = UNIT_BOX.with_hull(torch.tensor(shuffled))
    start = np.flatnonzero((circle == sl.polygon[0]).all(axis=1)).item()
    np.testing.assert_array_equal(sl.polygon, np.roll(circle, -start, axis=0))


# --- The object ------------------------------------------------------------------------------


def test_arrays_are_read_only_copies():
    given_arrays = [np.zeros(3), EYE.copy(), SQUARE.copy(), np.zeros((1, 2))]
    sl = Slice(*given_arrays[:3], anchors=given_arrays[3])
    for name, array in zip(("origin", "basis", "polygon", "anchors"), given_arrays, strict=True):
        stored = getattr(sl, name)
        assert stored.dtype == np.float64
        assert not stored.flags.writeable
        assert array.flags.writeable
        assert not np.shares_memory(stored, array)


def test_is_frozen_and_equal_only_to_itself():
    with pytest.raises(dataclasses.FrozenInstanceError):
        UNIT_BOX.area = 2.0  # pyright: ignore[reportAttributeAccessIssue]
    assert Slice.box((-1, 1), (-1, 1)) != UNIT_BOX
    assert len({UNIT_BOX, UNIT_BOX}) == 1


def test_repr():
    assert repr(
        Slice.axes((0, 1), (1, 1), at=np.zeros((2, 2)), xlim=(-1, 0.125), ylim=(0, 1e6))
    ) == ("<Slice of R^4, input shape (2, 2): 4 corners in [-1, 0.125] x [0, 1e+06]>")


def test_as_float64_names_the_shape_that_is_accepted():
    with pytest.raises(InvalidSliceError, match=re.escape("w has shape (2,); accepted: (m, n, 3)")):
        as_float64("w", [1, 2], ("m", "n", 3))
    with pytest.raises(InvalidArgumentError, match=re.escape("w has shape (2,); accepted: ()")):
        as_float64("w", [1, 2], (), InvalidArgumentError)
