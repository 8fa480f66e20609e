"""The units of a network, and the hinges by which their patterns change.

Units are numbered through the network, step by step; so are hinges, unit by unit. Edges of a
partition are labelled with hinges, patterns have one entry for each unit.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Units:
    """The piecewise-linear steps of a network.

    A unit with m breakpoints has m hinges, one for each breakpoint: across it the unit's pattern
    rises by one. A max group over a window of m + 1 entries has m hinges too: across hinge j the
    index of its greatest entry rises by j + 1.

    Parameters
    ----------
    names : tuple of str
        The steps, named as in the model.
    sizes : tuple of int
        Units of each step.
    highest : tuple of int
        The greatest pattern of each step's units, which is also the number of their hinges.
    are_groups : tuple of bool
        Which steps are max groups.

    Examples
    --------
    >>> units = Units(("clamp", "pool"), (1, 2), (2, 3), (False, True))
    >>> units.n_units, units.n_hinges
    (3, 8)
    >>> units.hinge_units.tolist(), units.hinge_steps.tolist()
    ([0, 0, 0, 0, 0, 1, 1, 1], [1, 1, 1, 2, 3, 1, 2, 3])
    """

    names: tuple[str, ...]
    sizes: tuple[int, ...]
    highest: tuple[int, ...]
    are_groups: tuple[bool, ...]

    @property
    def n_units(self) -> int:
        """Number of units."""
        return sum(self.sizes)

    @property
    def n_hinges(self) -> int:
        """Number of hinges."""
        return self.first_hinges[-1]

    @cached_property
    def first_units(self) -> list[int]:
        """The first unit of each step, and the number of all."""
        return _starts(self.sizes)

    @cached_property
    def first_hinges(self) -> list[int]:
        """The first hinge of each step, and the number of all."""
        return _starts(n * m for n, m in zip(self.sizes, self.highest, strict=True))

    @cached_property
    def hinge_layers(self) -> NDArray[np.intp]:
        """The step of each hinge."""
        return np.repeat(np.arange(len(self.sizes)), np.diff(self.first_hinges))

    @cached_property
    def hinge_units(self) -> NDArray[np.intp]:
        """The unit, within its step, of each hinge."""
        per_step = zip(self.sizes, self.highest, strict=True)
        parts = [np.repeat(np.arange(n), m) for n, m in per_step]
        return np.concatenate(parts) if parts else np.zeros(0, np.intp)

    @cached_property
    def hinge_steps(self) -> NDArray[np.int16]:
        """By how much the unit's pattern rises across each hinge."""
        parts = [
            np.tile(np.arange(1, m + 1) if is_group else np.ones(m), n)
            for n, m, is_group in zip(self.sizes, self.highest, self.are_groups, strict=True)
        ]
        return np.concatenate([np.zeros(0), *parts]).astype(np.int16)

    @cached_property
    def hinge_floors(self) -> NDArray[np.int64]:
        """(H, 2): the least and greatest pattern of each hinge's unit where it is not positive."""
        parts = [np.zeros((0, 2), np.int64)]
        for n, m, is_group in zip(self.sizes, self.highest, self.are_groups, strict=True):
            ranks = np.arange(m)
            floors = (np.zeros_like(ranks), m - 1 - ranks) if is_group else (ranks, ranks)
            parts.append(np.tile(np.stack(floors, axis=1), (n, 1)))
        return np.concatenate(parts)

    def head(self, n_steps: int) -> Units:
        """The first steps only."""
        return Units(
            self.names[:n_steps],
            self.sizes[:n_steps],
            self.highest[:n_steps],
            self.are_groups[:n_steps],
        )


def _starts(counts: Iterable[int]) -> list[int]:
    return np.cumsum([0, *counts]).tolist()
