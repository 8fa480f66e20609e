"""Max groups as tournaments: the greatest of a window, by comparing two at a time.

A *node* compares two candidates of a window: it is positive where the later one is greater. Ties
thus go to the entry that comes first, as in torch. A candidate is an entry of the step's input or
the winner of an earlier node; windows that overlap share nodes.

A candidate's *code* is the number of a node, or ``-1 - entry``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Round:
    """Nodes that are decided together, for the windows that need them.

    Parameters
    ----------
    nodes : ndarray
        (n,) int64: the node of each entry of this table, counted within the round; a node that
        several windows share has an entry for each.
    groups : ndarray
        (n,) int64: the window.
    splits, stops : ndarray
        (n,) int64: the later candidate stands for the places ``split <= place < stop`` of the
        window.
    """

    nodes: Ints
    groups: Ints
    splits: Ints
    stops: Ints

    def wins(self, patterns: NDArray[np.unsignedinteger], n_nodes: int) -> NDArray[np.uint8]:
        """Whether the later candidate wins (k, n_nodes) where windows have patterns (k, groups).

        Nodes that do not matter for the winner are said to lose.
        """
        places = patterns[:, self.groups]
        later = (places >= self.splits) & (places < self.stops)
        won = np.zeros((len(patterns), n_nodes), np.uint8)
        np.maximum.at(won.T, self.nodes, later.T.astype(np.uint8))
        return won

    def keep(self, chosen: NDArray[np.bool_]) -> Round:
        """The round with some of its nodes (n_nodes,) only."""
        kept = chosen[self.nodes]
        numbers = np.cumsum(chosen) - 1
        parts = (numbers[self.nodes], self.groups, self.splits, self.stops)
        nodes, groups, splits, stops = (part[kept] for part in parts)
        return Round(nodes, groups, splits, stops)


@dataclass(frozen=True, eq=False)
class Tournament:
    """All rounds of one max step.

    Parameters
    ----------
    members : ndarray
        (groups, places) int64: the entries of each window; -1 in the padding.
    children : ndarray
        (nodes, 2) int64: codes of the earlier and the later candidate of each node.
    roots : ndarray
        (groups,) int64: codes of the windows' winners.

    Examples
    --------
    >>> window = Tournament(np.array([[4, 7]]), np.array([[-5, -8]]), np.array([0]))
    >>> window.place(0, [1]), window.place(0, [0])
    (1, 0)
    """

    members: Ints
    children: Ints
    roots: Ints

    @cached_property
    def child_lists(self) -> list[list[int]]:
        """`children` as lists."""
        return self.children.tolist()

    @cached_property
    def _member_lists(self) -> list[list[int]]:
        return self.members.tolist()

    def winner(self, code: int, won: Sequence[int], first: int = 0) -> int:
        """The entry that a candidate stands for.

        Node i is won by the later one where ``won[first + i]`` is 1.
        """
        while code >= 0:
            code = self.child_lists[code][won[first + code]]
        return -1 - code

    def winners(self, codes: Ints, won: NDArray[np.integer]) -> Ints:
        """The entries that candidates (n, k) stand for, each row where nodes (n, nodes) are won."""
        rows = np.arange(len(codes))[:, None]
        while (codes >= 0).any():
            nodes = np.maximum(codes, 0)
            codes = np.where(codes < 0, codes, self.children[nodes, won[rows, nodes]])
        return -1 - codes

    def place(self, group: int, won: Sequence[int]) -> int:
        """The place in its window of a group's winner."""
        return self.place_of(group, self.winner(int(self.roots[group]), won))

    def place_of(self, group: int, entry: int) -> int:
        """The place of an entry in a window."""
        return self._member_lists[group].index(entry)

    def brackets(self) -> tuple[Ints, NDArray[np.int32]]:
        """The groups (G,) whose winner is open, and their trees (G, n).

        Entry i of a tree is a node, whose earlier and later candidate are entries ``2 i + 1`` and
        ``2 i + 2``, or ``-1 - place``.
        """
        groups = np.flatnonzero(self.roots >= 0)
        level = self.roots[groups, None]
        levels = [level]
        while (level >= 0).any():
            below = self.children[np.maximum(level, 0)]
            below = np.where(level[:, :, None] >= 0, below, level[:, :, None])
            level = below.reshape(len(groups), -1)
            levels.append(level)
        trees = np.concatenate(levels, axis=1)
        places = np.zeros(trees.shape, np.int64)
        for place, members in enumerate(self.members[groups].T):
            places[trees == -1 - members[:, None]] = place
        return groups, np.where(trees < 0, -1 - places, trees).astype(np.int32)

    def places(self, entries: Ints) -> Ints:
        """Places (k, groups) in the windows of entries (k, groups)."""
        places = np.zeros(entries.shape, np.int64)
        for place, members in enumerate(self.members.T):
            places[entries == members] = place
        return places

    def settled(self) -> tuple[Ints, Ints]:
        """Groups whose winner is known, and its place."""
        groups = np.flatnonzero(self.roots < 0)
        entries = -1 - self.roots[groups]
        return groups, (self.members[groups] == entries[:, None]).argmax(axis=1)

    def keep(self, chosen: NDArray[np.bool_], won: NDArray[np.bool_]) -> Tournament:
        """The tournament with some of its nodes (nodes,); the others are known to be won or not."""
        numbers = np.cumsum(chosen) - 1
        # What each node comes to: itself, or the candidate that is known to win.
        codes = np.arange(len(chosen))
        codes[~chosen] = self.children[~chosen, won[~chosen].astype(int)]
        while len(open_ := np.flatnonzero((codes >= 0) & ~chosen[np.maximum(codes, 0)])):
            codes[open_] = codes[codes[open_]]
        codes = np.where(codes < 0, codes, numbers[np.maximum(codes, 0)])

        def looked_up(candidates: Ints) -> Ints:
            return np.where(candidates < 0, candidates, codes[np.maximum(candidates, 0)])

        return Tournament(self.members, looked_up(self.children[chosen]), looked_up(self.roots))
