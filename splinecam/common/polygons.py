"""Convex polygons: their corners, and whether they are convex, decided without rounding.

Floats are rational numbers: multiplied by a power of two they become integers, of which all turns,
orders and areas are computed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from splinecam.common.arguments import as_float64, check_integer, refuse_repeated
from splinecam.common.types import Floats
from splinecam.errors import InvalidSliceError

Point = tuple[int, int]


def box_corners(xlim: ArrayLike, ylim: ArrayLike) -> Floats:
    """Return the corners, (4, 2), of the box between two pairs of limits."""
    left, right = _limits("xlim", xlim)
    low, high = _limits("ylim", ylim)
    return np.array([(left, low), (right, low), (right, high), (left, high)])


def _limits(name: str, limits: ArrayLike) -> tuple[float, float]:
    lower, upper = as_float64(name, limits, (2,)).tolist()
    if lower >= upper:
        raise InvalidSliceError(f"{name} is ({lower:g}, {upper:g}); accepted: lower < upper")
    return lower, upper


def square_around(anchors: Floats, pad: float) -> Floats:
    """Return the corners of the square of `Slice.through`, from plane coordinates."""
    alone = len(anchors) == 1
    padding = float(as_float64("pad", pad, ()))
    if padding < 0 or (alone and padding == 0):
        accepted = "a number > 0 for one point" if alone else "a number >= 0"
        raise InvalidSliceError(f"pad is {pad!r}; accepted: {accepted}")
    low, high = anchors.min(axis=0), anchors.max(axis=0)
    half = padding if alone else (1 + padding) * (high - low).max() / 2
    centre = (low + high) / 2
    return box_corners(*np.column_stack((centre - half, centre + half)))


def regular_corners(n: int, radius: float, center: ArrayLike) -> Floats:
    """Return the corners, (n, 2), of the regular polygon of `Slice.with_regular_polygon`."""
    n_corners = check_integer("n", n, 3, error=InvalidSliceError)
    length = as_float64("radius", radius, ())
    if length <= 0:
        raise InvalidSliceError(f"radius is {radius!r}; accepted: a number > 0")
    angles = 2 * np.pi * np.arange(n_corners) / n_corners
    directions = np.column_stack((np.cos(angles), np.sin(angles)))
    return as_float64("center", center, (2,)) + length * directions


def hull_corners(uv: ArrayLike) -> Floats:
    """Return the corners of points' convex hull, counter-clockwise.

    Andrew's monotone chain (A. M. Andrew, Information Processing Letters 9, 1979), in integers:
    the libraries' hulls lose corners when the coordinates' exponents differ much.
    """
    points = as_float64("uv", uv, ("n", 2))
    exact, _ = _as_integers(points)

    def chain(order: Iterable[int]) -> list[int]:
        kept: list[int] = []
        for i in order:
            while len(kept) > 1 and _turn(exact[kept[-2]], exact[kept[-1]], exact[i]) <= 0:
                kept.pop()
            kept.append(i)
        return kept[:-1]

    order = sorted(range(len(exact)), key=exact.__getitem__)
    corners = chain(order) + chain(reversed(order))
    if len(corners) < 3:
        raise InvalidSliceError(
            "uv: the hull has zero area; accepted: points that are not all on one line"
        )
    return points[corners]


def checked_polygon(polygon: ArrayLike) -> tuple[Floats, float]:
    """Return a strictly convex polygon counter-clockwise, and its area; refuse any other."""
    corners = as_float64("polygon", polygon, ("n", 2))
    if len(corners) < 3:
        raise InvalidSliceError(f"polygon has {len(corners)} vertices; accepted: at least 3")
    refuse_repeated("polygon", "vertex", corners)
    points, scale = _as_integers(corners)
    _check_convex(points)
    doubled = sum(_turn(points[0], a, b) for a, b in pairwise(points))
    area = float(Fraction(abs(doubled), 2 * scale**2))
    if area < sys.float_info.min:
        raise InvalidSliceError(f"polygon: the area {area:.3g} is too small for float64")
    return (corners if doubled > 0 else np.roll(corners[::-1], 1, axis=0)), area


def _check_convex(points: list[Point]) -> None:
    """Refuse a polygon that is not strictly convex.

    A closed polygon is convex iff it turns strictly to the same side at all vertices and goes
    round once (a pentagram goes round twice): then it climbs from a lowest vertex only once.
    """
    closed = [points[-1], *points, points[0]]
    turns = [_turn(*closed[i : i + 3]) for i in range(len(points))]
    if not any(turns):
        raise InvalidSliceError("polygon has zero area: its vertices are on one line")
    if 0 in turns:
        raise InvalidSliceError(
            f"polygon: vertex {turns.index(0)} lies on the line through its two neighbours;"
            " accepted: corners only"
        )
    to_left = [turn > 0 for turn in turns]
    if len(set(to_left)) > 1:
        raise InvalidSliceError(
            f"polygon is not convex: it turns left at vertex {to_left.index(True)}"
            f" and right at vertex {to_left.index(False)}"
        )
    climbs = [(ay, ax) < (by, bx) for (ax, ay), (bx, by) in pairwise(closed[:-1])]
    rounds = sum(climb and not climbs[i - 1] for i, climb in enumerate(climbs))
    if rounds > 1:
        raise InvalidSliceError(f"polygon crosses itself: it goes round {rounds} times")


def _as_integers(points: Floats) -> tuple[list[Point], int]:
    """Multiply points by a power of two, returned too, that makes all coordinates integers."""
    ratios = [coordinate.as_integer_ratio() for coordinate in points.ravel().tolist()]
    scale = max((denominator for _, denominator in ratios), default=1)
    integers = [numerator * (scale // denominator) for numerator, denominator in ratios]
    return list(zip(integers[::2], integers[1::2], strict=True)), scale


def _turn(a: Point, b: Point, c: Point) -> int:
    """Return twice the signed area of a triangle: > 0 iff a path over a, b, c turns left."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
