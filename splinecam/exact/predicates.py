"""Rational predicates: signs, orders and meetings of lines and points in integers.

- A *row* ``(a, b, c)`` is the affine function ``a u + b v + c`` on the plane, up to a positive
  factor; it stands for the line where it vanishes, directed so that it is positive on its left.
- A *point* ``(x, y, w)`` with ``w > 0`` and without a common divisor is ``(x / w, y / w)``, so
  that equal points are equal tuples.
- A sign is -1, 0 or 1.

Examples
--------
>>> half = point_at(0.5, 0.0)
>>> vertical, horizontal = (2, 0, -1), (0, 1, 0)
>>> intersection(vertical, horizontal) == half, sign_at(vertical, point_at(0.25, 7.0))
(True, -1)
"""

from __future__ import annotations

from math import gcd, inf, nextafter

Row = tuple[int, int, int]
Point = tuple[int, int, int]


def sign(number: int) -> int:
    """The sign of an integer: -1, 0 or 1."""
    return (number > 0) - (number < 0)


def sign_at(row: Row, point: Point) -> int:
    """The sign of an affine function at a point."""
    a, b, c = row
    x, y, w = point
    return sign(a * x + b * y + c * w)


def order_along(row: Row, p: Point, q: Point) -> int:
    """1 where `q` comes after `p` along a line, -1 where before, 0 where beside each other.

    The line of a row runs in direction ``(b, -a)``, which has the positive side on its left. The
    points may lie off the line: compared are their feet on it.
    """
    a, b, _ = row
    along = b * (q[0] * p[2] - p[0] * q[2]) - a * (q[1] * p[2] - p[1] * q[2])
    return sign(along)


def turn(p: Point, q: Point, r: Point) -> int:
    """1 where the way from `p` over `q` to `r` turns left, -1 where right, 0 on a line."""
    return sign_at(line_through(p, q), r)


def line_through(p: Point, q: Point) -> Row:
    """The line from `p` through `q`, zero on both and positive on its left."""
    return p[1] * q[2] - p[2] * q[1], p[2] * q[0] - p[0] * q[2], p[0] * q[1] - p[1] * q[0]


def intersection(row: Row, other: Row) -> Point | None:
    """The point that two lines share; None for parallel ones, and where a row is constant."""
    x, y, w = line_through(row, other)  # the same cross product: points and lines are dual
    if w == 0:
        return None
    divisor = gcd(x, y, w) * sign(w)
    return x // divisor, y // divisor, w // divisor


def point_at(u: float, v: float) -> Point:
    """The point with these plane coordinates."""
    (x, p), (y, q) = float(u).as_integer_ratio(), float(v).as_integer_ratio()
    w = max(p, q)  # both are powers of two
    return x * (w // p), y * (w // q), w


def distance_bound(p: Point, q: Point) -> float:
    """The larger difference of two points' coordinates, rounded up."""
    numerator = max(abs(p[i] * q[2] - q[i] * p[2]) for i in (0, 1))
    denominator = p[2] * q[2]
    if not numerator:
        return 0.0
    if numerator.bit_length() - denominator.bit_length() > 1000:
        return inf
    return nextafter(numerator / denominator, inf)
