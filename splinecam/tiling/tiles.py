"""Cutting a slice into tiles, on each of which few units are unsteady.

The tiles are the leaves of a quadtree of axis-parallel cells. Where cells of different sizes meet,
the larger one gets the corners of the smaller ones too, so that every side of a tile is shared with
exactly one other or lies on a side of the slice.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from splinecam.cutting.patches import Patch
from splinecam.exact import Point, intersection, sign, turn

SHARE = 0.5077021318
"""Where a cell is split. Not in the middle: lines of a network with round weights could lie there,
and a hinge that vanishes all along a seam would have to be told from one that does not."""


class Cell(NamedTuple):
    """A convex part of the slice.

    Parameters
    ----------
    points : tuple of Point
        Its corners, counter-clockwise.
    sides : tuple of int
        The slice's side on which each side lies, or -1 for a seam; side i begins at corner i.
    low, high : tuple of float
        The axis-parallel box that it was cut out of.
    """

    points: tuple[Point, ...]
    sides: tuple[int, ...]
    low: tuple[float, float]
    high: tuple[float, float]

    @classmethod
    def whole(cls, polygon: np.ndarray) -> Cell:
        """The cell of a whole slice with these corners (n, 2)."""
        low, high = polygon.min(axis=0).tolist(), polygon.max(axis=0).tolist()
        points = Patch.of_polygon(polygon).points
        return cls(points, tuple(range(len(points))), tuple(low), tuple(high))

    @property
    def patch(self) -> Patch:
        """The cell as a patch."""
        return Patch(self.points)

    def without_flat_corners(self) -> tuple[np.ndarray, np.ndarray]:
        """Corners (m, 2) at which the cell turns, and on which side between them each side lies."""
        points, n = self.points, len(self.points)
        turning = [turn(points[i - 1], points[i], points[(i + 1) % n]) != 0 for i in range(n)]
        corners = self.patch.corners[turning]
        return corners, (np.cumsum(turning) - 1) % len(corners)

    def split(self) -> list[Cell]:
        """Up to four parts of the cell."""
        return [quarter for half in self._halves(0) for quarter in half._halves(1)]

    def _halves(self, axis: int) -> Iterator[Cell]:
        """The parts on both sides of a line across an axis."""
        place = self.low[axis] + SHARE * (self.high[axis] - self.low[axis])
        if not self.low[axis] < place < self.high[axis]:
            yield self
            return
        for is_above in (False, True):
            points, sides = _clipped(self.points, self.sides, axis, place, is_above)
            low, high = list(self.low), list(self.high)
            (low if is_above else high)[axis] = place
            if len(points) >= 3:
                yield Cell(points, sides, (low[0], low[1]), (high[0], high[1]))


def _clipped(
    points: Sequence[Point], sides: Sequence[int], axis: int, place: float, is_above: bool
) -> tuple[tuple[Point, ...], tuple[int, ...]]:
    """The part of a polygon on one side of a line across an axis."""
    top, bottom = place.as_integer_ratio()
    line = (bottom, 0, -top) if axis == 0 else (0, bottom, -top)
    direction = 1 if is_above else -1
    signs = [direction * sign(bottom * p[axis] - top * p[2]) for p in points]
    kept: list[Point] = []
    kept_sides: list[int] = []
    for i, (point, side) in enumerate(zip(points, sides, strict=True)):
        following, after = points[(i + 1) % len(points)], signs[(i + 1) % len(points)]
        if signs[i] >= 0:
            kept.append(point)
            kept_sides.append(-1 if signs[i] == 0 and after < 0 else side)
        if signs[i] * after < 0:
            meeting = intersection(line, _line(point, following))
            assert meeting is not None
            kept.append(meeting)
            kept_sides.append(side if after > 0 else -1)
    if not any(s > 0 for s in signs):
        return (), ()
    return tuple(kept), tuple(kept_sides)


def _line(p: Point, q: Point) -> tuple[int, int, int]:
    (a, b, c), (d, e, f) = p, q
    return (b * f - c * e, c * d - a * f, a * e - b * d)


def with_all_corners(cells: Iterable[Cell]) -> list[Cell]:
    """The cells with the corners of all others that lie on their sides."""
    cells = list(cells)
    lines = _Lines(cells)
    return [lines.completed(cell) for cell in cells]


class _Lines:
    """Corners of cells by the axis-parallel lines on which they lie."""

    def __init__(self, cells: Sequence[Cell]):
        corners = {point for cell in cells for point in cell.points}
        found: dict[tuple[int, Fraction], list[tuple[Fraction, Point]]] = defaultdict(list)
        for point in corners:
            x, y = (Fraction(value, point[2]) for value in point[:2])
            found[0, x].append((y, point))
            found[1, y].append((x, point))
        self._places = {}
        for line, members in found.items():
            members.sort()
            self._places[line] = ([place for place, _ in members], [p for _, p in members])

    def completed(self, cell: Cell) -> Cell:
        """The cell with all corners on its sides."""
        points: list[Point] = []
        sides: list[int] = []
        n = len(cell.points)
        for i, side in enumerate(cell.sides):
            between = self._between(cell.points[i], cell.points[(i + 1) % n])
            points += [cell.points[i], *between]
            sides += [side] * (1 + len(between))
        return cell._replace(points=tuple(points), sides=tuple(sides))

    def _between(self, p: Point, q: Point) -> list[Point]:
        """Corners strictly between two points, in this order."""
        for axis in range(2):
            if p[axis] * q[2] == q[axis] * p[2]:
                places, points = self._places[axis, Fraction(p[axis], p[2])]
                start, stop = (Fraction(end[1 - axis], end[2]) for end in (p, q))
                first = bisect_right(places, min(start, stop))
                last = bisect_left(places, max(start, stop))
                inside = points[first:last]
                return inside if start < stop else inside[::-1]
        return []


def number_corners(cells: Iterable[Cell]) -> dict[Point, int]:
    """Numbers of all corners of cells."""
    return {p: n for n, p in enumerate(dict.fromkeys(p for c in cells for p in c.points))}
