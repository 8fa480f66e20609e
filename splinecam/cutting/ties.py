"""Differences in a max group that vanish where others do, since candidates tie there.

Along an edge of a tournament's node its two candidates are equal. Where edges of several nodes
meet, any two candidates that a chain of ties connects are equal too, and a later node that
compares them vanishes at that vertex.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from splinecam._kernels.traversal import incident_edges
from splinecam._kernels.words import BITS, unpack_set
from splinecam.cutting.flips import patterns_in
from splinecam.cutting.labels import Labels
from splinecam.cutting.mesh import PatternedMesh, places_within
from splinecam.network.planar import PlanarNetwork
from splinecam.network.reduced import ReducedLayer, ReducedNetwork
from splinecam.network.tournaments import Tournament

INCIDENT = 8
"""Edges at a vertex that are looked at; ties that only others show are left to arithmetic."""


class Ties(NamedTuple):
    """The nodes of a max group, of which those of one layer are to be decided."""

    tournament: Tournament
    first_hinge: int  # the node that is the layer's hinge 0
    first_entry: int  # where node 0 is in a pattern that nodes follow
    first_label: int  # the label of node 0 on edges
    n_labels: int

    def __call__(
        self, patterned: PatternedMesh, vertices: np.ndarray, unsure: np.ndarray
    ) -> np.ndarray:
        """Words (n, W) of those unsure hinges that vanish for this reason; a `Shortcut`."""
        mesh = patterned.mesh
        words = np.zeros_like(unsure)
        edges = np.empty((len(vertices), INCIDENT), np.int64)
        wanted = np.full(len(mesh.vertices), -1, np.int32)
        wanted[vertices] = np.arange(len(vertices))
        incident_edges(wanted, mesh.edges, edges)
        places, touching, nodes = self._nodes_at(patterned, edges)
        asked, hinges = np.nonzero(unpack_bits(unsure))
        beside = np.concatenate([touching, edges[asked, 0]])
        won = self._won(patterned, mesh.edge_faces[beside, 0])
        candidates = self.tournament.children[np.concatenate([nodes, self.first_hinge + hinges])]
        pairs = self.tournament.winners(candidates, won)
        # Entries of the step's input at vertices, connected where they are equal.
        at = np.concatenate([places, asked])
        keys = at[:, None] * (pairs.max(initial=0) + 1) + pairs
        _, numbers = np.unique(keys, return_inverse=True)
        numbers = numbers.reshape(-1, 2)
        ties = numbers[: len(places)]
        n = int(numbers.max(initial=-1)) + 1
        graph = coo_array((np.ones(len(ties)), (ties[:, 0], ties[:, 1])), shape=(n, n))
        _, classes = connected_components(graph, directed=False)
        equal = classes[numbers[len(places) :]]
        vanishing = equal[:, 0] == equal[:, 1]
        asked, hinges = asked[vanishing], hinges[vanishing]
        bits = np.uint64(1) << (hinges % BITS).astype(np.uint64)
        np.bitwise_or.at(words, (asked, hinges // BITS), bits)
        return words

    def _nodes_at(
        self, patterned: PatternedMesh, edges: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Nodes on edges (n, m) at vertices: the row of each, its edge, and the node."""
        mesh, shared, _ = patterned
        n_nodes = len(self.tournament.children)
        rows, columns = np.nonzero(edges >= 0)
        touching = edges[rows, columns]
        nodes = mesh.edge_labels[touching].astype(np.int64) - self.first_label
        own = (nodes >= 0) & (nodes < n_nodes)
        others = (shared.codes >> 1) - self.first_label
        of_step = (others >= 0) & (others < n_nodes)
        beside, others = shared.edges[of_step], others[of_step]
        start, stop = (np.searchsorted(beside, touching, side) for side in ("left", "right"))
        counts = stop - start
        which = np.repeat(np.arange(len(touching)), counts)
        within = places_within(counts)
        return (
            np.concatenate([rows[own], rows[which]]),
            np.concatenate([touching[own], touching[which]]),
            np.concatenate([nodes[own], others[start[which] + within]]),
        )

    def _won(self, patterned: PatternedMesh, faces: np.ndarray) -> np.ndarray:
        """Which nodes (n, nodes) the later candidate wins in faces (n,)."""
        mesh, shared, root = patterned
        n_nodes = len(self.tournament.children)
        chosen, inverse = np.unique(faces, return_inverse=True)
        own = root[self.first_entry : self.first_entry + n_nodes]
        labels = np.arange(self.first_label, self.first_label + n_nodes)
        patterns = patterns_in(mesh, shared, own, labels, self.n_labels, chosen)
        return patterns[inverse.reshape(-1)]


def find_ties(network: PlanarNetwork | ReducedNetwork, labels: Labels, number: int) -> Ties | None:
    """The nodes of a layer; None if it is no round of a tournament."""
    layer = network.layers[number]
    if isinstance(network, PlanarNetwork) or not isinstance(layer, ReducedLayer):
        return None
    if layer.round is None:
        return None
    first, _ = labels.nodes(layer.step)
    first_label = labels.units.n_hinges + first
    return Ties(
        network.tournaments[layer.step],
        labels.of_hinge(number, 0) - first_label,
        labels.units.n_units + first,
        first_label,
        labels.n_labels,
    )


def unpack_bits(words: np.ndarray) -> np.ndarray:
    """Words (n, W) as a mask (n, 64 W) of hinges."""
    return unpack_set(np.ascontiguousarray(words).reshape(-1), BITS * words.size).reshape(
        len(words), BITS * words.shape[1]
    )
