"""Ordering exactly where the chords of a special face cross each other.

Many lines may meet in one point, as those do that the even parts of a picture make around it.
Their crossings, of which there are many more than lines, are told to be one from those along a
single line.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from fractions import Fraction
from functools import cache

import numpy as np

from splinecam._kernels.special import SpecialFace
from splinecam.errors import InvariantError
from splinecam.exact import Point, Row, intersection, sign


class ExactCrossings:
    """The crossings of a face's chords.

    Parameters
    ----------
    special : SpecialFace
        The order of its entries is changed.
    row : callable
        Looks up the exact line of a chord.
    """

    def __init__(self, special: SpecialFace, row: Callable[[int], Row]):
        self._special = special
        self._row = cache(row)
        self._points: dict[Point, int] = {}
        self._numbers = np.full(len(special.lower), -1)  # of each crossing's point

    def order(self) -> np.ndarray:
        """Sort chords where an order is unsure; say which entries are where the one before is."""
        special = self._special
        tied = np.zeros(len(special.params), bool)
        for chord in range(len(special.first)):
            own = slice(int(special.offsets[chord]), int(special.offsets[chord + 1]))
            if special.unsure[own].any():
                self._place(chord, own)
                order = self._ordered(chord, own)
                for array in (special.params, special.crossings):
                    array[own] = array[own][order]
                numbers = self._numbers[special.crossings[own]]
                tied[own.start + 1 : own.stop] = numbers[1:] == numbers[:-1]
            special.params[own] = np.maximum.accumulate(special.params[own])
        return tied

    def _place(self, chord: int, own: slice) -> None:
        """Find the points of a chord's crossings, and what other chords cross there."""
        crossings = self._special.crossings[own]
        unknown = crossings[self._numbers[crossings] < 0]
        found: dict[Point, list[tuple[int, int]]] = defaultdict(list)
        for crossing, other in zip(unknown, self._others(unknown, chord), strict=True):
            point = intersection(self._row(chord), self._row(int(other)))
            if point is None:
                raise InvariantError("two lines that cross are parallel")
            found[point].append((crossing, other))
        for point, members in found.items():
            number = self._points.setdefault(point, len(self._points))
            meeting, others = np.array(members).T
            self._numbers[meeting] = number
            if len(others) > 1:
                self._unite(others, number)

    def _unite(self, chords: np.ndarray, number: int) -> None:
        """Number the crossings of chords that all meet in one point."""
        special = self._special
        are_there = np.zeros(len(special.first), bool)
        are_there[chords] = True
        for chord in chords.tolist():
            crossings = special.crossings[special.offsets[chord] : special.offsets[chord + 1]]
            there = crossings[are_there[self._others(crossings, chord)]]
            self._numbers[there] = number

    def _ordered(self, chord: int, own: slice) -> np.ndarray:
        """The order (n,) of a chord's entries, those in one point as they are."""
        crossings = self._special.crossings[own]
        numbers, inverse = np.unique(self._numbers[crossings], return_inverse=True)
        a, b, _ = self._row(chord)
        axis = 0 if b else 1
        points = list(self._points)
        places = [Fraction(p[axis], p[2]) for p in (points[n] for n in numbers.tolist())]
        ranks = np.empty(len(numbers), np.int64)
        ranks[sorted(range(len(places)), key=places.__getitem__)] = np.arange(len(places))
        # Along (b, -a) a row changes by its cross product with the line; from the first end on it
        # has to change against its sign there.
        other = int(self._others(crossings[:1], chord)[0])
        c, d, _ = self._row(other)
        forward = -self._sign_where_begins(chord, other) * sign(b * c - a * d)
        direction = forward * (sign(b) if axis == 0 else -sign(a))
        return np.argsort(direction * ranks[inverse.reshape(-1)], kind="stable")

    def _others(self, crossings: np.ndarray, chord: int) -> np.ndarray:
        """The other chords of crossings (n,) of a chord."""
        lower, upper = self._special.lower[crossings], self._special.upper[crossings]
        return np.where(lower == chord, upper, lower)

    def _sign_where_begins(self, chord: int, other: int) -> int:
        """Sign of the other chord's first hinge at the first end of a chord that crosses it."""
        special = self._special
        is_between = special.first[other] < special.first[chord] < special.second[other]
        positive_between = bool(special.members[special.member_offsets[other]] & 1)
        return 1 if is_between == positive_between else -1
