"""Labels of edges: hinges of the network's units, and nodes of tournaments that are not over.

Label h is the network's hinge h (see `splinecam.network.units`), whatever units a reduced network
still has. Nodes come after all hinges; once a max group's tournament is over, the edges where its
winner changes are labelled with hinges instead, and nodes are gone.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from splinecam.network.planar import PlanarNetwork
from splinecam.network.reduced import ReducedLayer, ReducedNetwork


class Labels:
    """How the hinges of a network's layers are labelled.

    Parameters
    ----------
    network : PlanarNetwork or ReducedNetwork

    Attributes
    ----------
    units : Units
        Of the network.
    steps : list of int
        The piecewise-linear step of each layer.
    """

    def __init__(self, network: PlanarNetwork | ReducedNetwork):
        self._layers = network.layers
        self.units = network.units
        self.steps = [
            layer.step if isinstance(layer, ReducedLayer) else number
            for number, layer in enumerate(network.layers)
        ]
        counts = {}
        if isinstance(network, ReducedNetwork):
            counts = {s: len(t.children) for s, t in sorted(network.tournaments.items())}
        self._node_steps = list(counts)
        self._first_nodes = np.cumsum([0, *counts.values()]).tolist()

    @property
    def n_nodes(self) -> int:
        """Nodes of all tournaments."""
        return self._first_nodes[-1]

    @cached_property
    def _tables(self) -> list[np.ndarray]:
        """The labels of each layer's hinges."""
        tables = []
        played = dict(zip(self._node_steps, self._first_nodes, strict=False))
        for layer, step in zip(self._layers, self.steps, strict=True):
            if not isinstance(layer, ReducedLayer):
                first, stop = self.units.first_hinges[step : step + 2]
                table = np.arange(first, stop)
            elif layer.round is not None:
                table = self.units.n_hinges + played[step] + np.arange(layer.n_units)
                played[step] += layer.n_units
            else:
                m = layer.n_breakpoints
                first = self.units.first_hinges[step] + layer.units[:, None] * m
                table = (first + np.arange(m)).ravel()
            tables.append(table)
        return tables

    def base(self, layer: int) -> int:
        """The label that hinge 0 of a layer has while the layer cuts; greater than all others."""
        table = self._tables[layer]
        is_run = table[-1] - table[0] == len(table) - 1
        return int(table[0]) if is_run else self.n_labels

    def table(self, layer: int) -> np.ndarray | None:
        """The labels of a layer's hinges, (H,) int64; None if they follow the base."""
        table = self._tables[layer]
        return table if self.base(layer) > table[0] else None

    def entries(self, layer: int) -> np.ndarray:
        """Where a layer's units are in a pattern that nodes follow, (D,) int64."""
        shown, step = self._layers[layer], self.steps[layer]
        if not isinstance(shown, ReducedLayer):
            return np.arange(*self.units.first_units[step : step + 2])
        if shown.round is not None:
            return self.units.n_units - self.units.n_hinges + self._tables[layer]
        return self.units.first_units[step] + shown.units

    def of_hinge(self, layer: int, hinge: int) -> int:
        """The label of a hinge."""
        return int(self._tables[layer][hinge])

    def all_of(self, layer: int) -> np.ndarray:
        """The labels of a layer's hinges, (H,) int64."""
        return self._tables[layer]

    def of_units(self, layer: int) -> np.ndarray:
        """The labels of the first hinge of each unit of a layer, (D,) int64."""
        return self._tables[layer][:: self._layers[layer].n_breakpoints]

    @property
    def n_labels(self) -> int:
        """Number of labels: the network's hinges and all nodes."""
        return self.units.n_hinges + self.n_nodes

    def nodes(self, step: int) -> tuple[int, int]:
        """The first node of a step, and the one after its last, among all nodes."""
        place = self._node_steps.index(step)
        return self._first_nodes[place], self._first_nodes[place + 1]

    def step_of_node(self, node: int) -> tuple[int, int]:
        """The step that a node belongs to, and that step's first node."""
        place = int(np.searchsorted(self._first_nodes, node, side="right")) - 1
        return self._node_steps[place], self._first_nodes[place]

    def group_of_node(self, node: int) -> int:
        """A window that needs a node."""
        return int(self._groups[node])

    @cached_property
    def _groups(self) -> np.ndarray:
        groups = np.zeros(self.n_nodes, np.int64)
        for number, layer in enumerate(self._layers):
            if isinstance(layer, ReducedLayer) and layer.round is not None:
                first = int(self._tables[number][0]) - self.units.n_hinges
                groups[first + layer.round.nodes] = layer.round.groups
        return groups
