"""Exact lines of hinges and edges, looked up for a network's layers as the engine numbers them."""

from __future__ import annotations

from collections.abc import Sequence

from splinecam.cutting.labels import Labels
from splinecam.exact import ExactNetwork, Pattern, Row
from splinecam.network.planar import PlanarNetwork
from splinecam.network.reduced import ReducedNetwork
from splinecam.network.tournaments import Tournament


class HingeLines:
    """Rows of one layer's hinges, and the lines on which edges lie.

    A *pattern* here is that of all units, followed by one entry for each node of a
    tournament, 1 where the later candidate wins.

    Parameters
    ----------
    exact : ExactNetwork
    sides : sequence of Row
        The lines of the polygon's sides.
    network : PlanarNetwork or ReducedNetwork
    labels : Labels
        Of the network.
    """

    def __init__(
        self,
        exact: ExactNetwork,
        sides: Sequence[Row],
        network: PlanarNetwork | ReducedNetwork,
        labels: Labels,
    ):
        self._exact = exact
        self._sides = sides
        self._network = network
        self._labels = labels

    def power(self, layer: int) -> int:
        """The k for which the rows of a layer's hinges are their values times ``2**k``."""
        return self._exact.power(self._labels.steps[layer])

    def hinge(self, layer: int, hinge: int, pattern: Pattern) -> Row:
        """The row of a hinge of a layer where the units before it have a pattern."""
        return self._labelled(self._labels.of_hinge(layer, hinge), pattern)

    def edge(self, label: int, pattern: Pattern) -> Row:
        """The line of an edge with a label that has a region of this pattern on its left."""
        return self._sides[-1 - label] if label < 0 else self._labelled(label, pattern)

    def _labelled(self, label: int, pattern: Pattern) -> Row:
        units = self._labels.units
        if label >= units.n_hinges:
            return self._node_row(label - units.n_hinges, pattern)
        step = int(units.hinge_layers[label])
        number = label - units.first_hinges[step]
        if not units.are_groups[step]:
            return self._exact.hinges(step, pattern, [number])[0]
        unit, jump = divmod(number, units.highest[step])
        place = pattern[units.first_units[step] + unit]
        return self._exact.differences(step, pattern, [(unit, place, place - jump - 1)])[0]

    def _node_row(self, node: int, pattern: Pattern) -> Row:
        step, first = self._labels.step_of_node(node)
        tournament = self._tournament(step)
        first_won = self._labels.units.n_units + first
        group = self._labels.group_of_node(node)
        earlier, later = (
            tournament.place_of(group, tournament.winner(code, pattern, first_won))
            for code in tournament.child_lists[node - first]
        )
        return self._exact.differences(step, pattern, [(group, later, earlier)])[0]

    def _tournament(self, step: int) -> Tournament:
        assert isinstance(self._network, ReducedNetwork)
        return self._network.tournaments[step]
