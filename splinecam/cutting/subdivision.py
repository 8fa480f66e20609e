"""Cutting a patch by all layers of a network, one after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch

from splinecam._kernels.arrays import Bounds, Mesh
from splinecam._kernels.layer import cut_layer
from splinecam._kernels.words import pack_set
from splinecam.common.workers import Workers
from splinecam.cutting.estimate import Estimator
from splinecam.cutting.hinge_lines import HingeLines
from splinecam.cutting.labels import Labels
from splinecam.cutting.mesh import NOTHING_SHARED, PatternedMesh, Shared, carry
from splinecam.cutting.patches import Patch
from splinecam.cutting.refine import USUAL, Cutter
from splinecam.cutting.region_lines import RegionLines
from splinecam.cutting.resolve import Patterns, Resolver
from splinecam.cutting.settle import settle
from splinecam.cutting.twins import NO_TWINS, Twins
from splinecam.cutting.vanishing import find_supports
from splinecam.exact import ExactNetwork, Point
from splinecam.network.planar import PlanarNetwork
from splinecam.network.propagate import propagate
from splinecam.network.reduced import ReducedLayer, ReducedNetwork

SMALL_VALUES = 2**18
"""Values at vertices up to which a mesh is not worth threads."""

FIRST_BATCH = 32
"""Hinges of a wide first layer that cut alone, so that the others find many faces to share out."""


class Context(NamedTuple):
    """What all parts of one computation share."""

    exact: Callable[[], ExactNetwork]
    device: torch.device
    workers: Workers
    check: Callable[[int, Cutter, int], None] = lambda layer, cutter, n_carried: None
    """Told the layer, a plan of its cut, and how many values are carried; may refuse."""
    is_too_many: Callable[[int], bool] = lambda n_regions: False
    """Whether so many regions will be refused."""


class Finished(NamedTuple):
    """A patch as it is cut by whole steps of the network."""

    n_layers: int
    mesh: Mesh
    shared: Shared
    """Outer edges still have the hinges that vanish along them and are positive inside; for a max
    group the one across which the place of the greatest entry rises from that on the edge, where
    several are, to that inside."""
    root_pattern: np.ndarray
    """(n_units,) unsigned: the pattern of the region left of edge 0."""


class Subdivision:
    """A patch, as it is cut by the layers of a network.

    Parameters
    ----------
    network : PlanarNetwork or ReducedNetwork
    bounds : sequence of Bounds
        Of the errors of each layer's hinges on the patch.
    patch : Patch
    context : Context
    twins : sequence of Twins, optional
        Of each layer. Default: none.

    Attributes
    ----------
    finished : Finished
        What has been done so far.
    """

    def __init__(
        self,
        network: PlanarNetwork | ReducedNetwork,
        bounds: Sequence[Bounds],
        patch: Patch,
        context: Context,
        twins: Sequence[Twins] | None = None,
    ):
        self._network = network
        self._labels = Labels(network)
        self._bounds = bounds
        self._twins = [NO_TWINS] * len(network.layers) if twins is None else twins
        self._patch = patch
        self._context = context
        self._rounding = patch.rounding
        self._mesh: Mesh = patch.mesh()
        self._shared: Shared = NOTHING_SHARED
        nodes = np.zeros(self._labels.n_nodes, np.uint8)
        self._root = np.concatenate([network.rest, nodes])
        self._points: dict[int, Point] = dict(enumerate(patch.points))
        self._first_batch: tuple[np.ndarray, np.ndarray] | None = None
        self.finished = self._finished(0)

    def cut(self, report: Callable[[int], None]) -> None:
        """Cut by all layers; `report` is told the number of regions after each."""
        layers = self._network.layers
        carried = np.empty((0, 0))
        for number, layer in enumerate(layers):
            leading = np.ones(layer.n_hinges, bool)
            leading[self._twins[number].followers] = False
            if number == 0:
                leading &= ~self._cut_first_batch(leading)
                carried = self._network.start(self._mesh.vertices)
            values, ahead = carried, None
            if carried.shape[1] > layer.n_hinges:
                values = np.ascontiguousarray(carried[:, : layer.n_hinges])
                ahead = carried[:, layer.n_hinges :]
            carried = self._cut(number, values, ahead, pack_set(leading))
            if isinstance(layer, ReducedLayer) and self._ends_tournament(number):
                carried = self._settle(layer.step, carried)
            if self._labels.steps[number] not in self._labels.steps[number + 1 :]:
                self.finished = self._finished(number + 1)
            report(len(self._mesh.face_offsets) - 1)

    def _finished(self, n_layers: int) -> Finished:
        pattern = self._root[: self._network.units.n_units].copy()
        return Finished(n_layers, self._mesh, self._shared, pattern)

    def _cut_first_batch(self, leading: np.ndarray) -> np.ndarray:
        """Cut by a few hinges of a wide first layer; return by which."""
        n_hinges = len(leading)
        batch = np.zeros(n_hinges, bool)
        if np.count_nonzero(leading) <= 2 * FIRST_BATCH:
            return batch
        values = np.ascontiguousarray(self._network.start(self._mesh.vertices)[:, :n_hinges])
        positive = values > 0
        cutting = np.flatnonzero(positive.any(axis=0) & ~positive.all(axis=0) & leading)
        batch[cutting[:FIRST_BATCH]] = True
        cutter = self._cutter(0, values, pack_set(batch), 0)
        refinement = cutter.refine(self._twins[0], with_chords=False)
        self._first_batch = (batch, cutter.root_signs)
        self._mesh, self._shared = refinement.mesh, refinement.shared
        self._relabel(0)
        return batch

    def _cut(
        self, number: int, values: np.ndarray, ahead: np.ndarray | None, chosen: np.ndarray
    ) -> np.ndarray:
        """Cut by the chosen hinges of a layer; return the values that later layers need."""
        layer, twins = self._network.layers[number], self._twins[number]
        weight, bias = self._network.onward(number)
        kinks = twins.follow_kinks(layer.kink_columns(weight))
        base = bias if ahead is None else ahead
        carried = None
        if self._is_small(values, twins):
            carried = self._cut_at_once(number, values, base, chosen, kinks)
            signs = np.where(values[0] > 0, 1, -1)
        if carried is None:
            signs, carried = self._cut_by_steps(number, values, base, chosen, kinks)
        self._relabel(number)
        own = layer.count_exceeded(twins.follow_signs(signs) > 0)
        self._root[self._labels.entries(number)] = own
        return carried

    def _is_small(self, values: np.ndarray, twins: Twins) -> bool:
        """Whether a layer is worth no threads, as far as can be told before it cuts."""
        is_large = self._first_batch or values.size > SMALL_VALUES
        return not (is_large or len(self._shared.edges) or len(twins.followers))

    def _cut_at_once(
        self,
        number: int,
        values: np.ndarray,
        base: np.ndarray,
        chosen: np.ndarray,
        kinks: np.ndarray,
    ) -> np.ndarray | None:
        """Cut a small mesh in one call; None if that takes an exact decision or makes it large."""
        known = np.empty((len(values), kinks.shape[1]))
        self._propagate(number, values, base, known)
        done, mesh, carried = cut_layer(
            *(self._mesh, values, self._bounds[number], chosen, self._labels.base(number)),
            *(self._rounding, USUAL * self._rounding),
            *(SMALL_VALUES // max(16, kinks.shape[1]), known, kinks),
        )
        if not done or self._context.is_too_many(len(mesh.face_offsets) - 1):
            return None
        self._mesh = mesh
        return carried

    def _cut_by_steps(
        self,
        number: int,
        values: np.ndarray,
        base: np.ndarray,
        chosen: np.ndarray,
        kinks: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Cut with threads and exact decisions; return the root's signs and the carried values."""
        old, n_carried = self._mesh, kinks.shape[1]
        cutter = self._cutter(number, values, chosen, n_carried)
        refinement = cutter.refine(self._twins[number], with_chords=n_carried > 0)
        self._mesh, self._shared = refinement.mesh, refinement.shared
        signs = cutter.root_signs
        if number == 0 and self._first_batch:
            signs = np.where(*self._first_batch, signs)
        carried = np.empty((len(self._mesh.vertices), n_carried))
        if n_carried:
            self._propagate(number, values, base, carried)
            carry(old, refinement, values, kinks, carried, self._context.workers)
        return signs, carried

    def _propagate(
        self, number: int, values: np.ndarray, base: np.ndarray, carried: np.ndarray
    ) -> None:
        if carried.shape[1]:
            layer, (weight, _) = self._network.layers[number], self._network.onward(number)
            device, workers = self._context.device, self._context.workers
            propagate(layer, weight, base, values, carried, device, workers)

    def _cutter(
        self, number: int, values: np.ndarray, chosen: np.ndarray, n_carried: int
    ) -> Cutter:
        cutter = Cutter(
            *(self._mesh, self._shared, values, self._bounds[number], chosen),
            *(self._labels.base(number), self._rounding),
            lambda: self._resolver(number),
            self._context.workers,
        )
        self._context.check(number, cutter, n_carried)
        return cutter

    def _relabel(self, number: int) -> None:
        """Give new edges their labels, where these do not follow each other."""
        table = self._labels.table(number)
        if table is None:
            return
        base = self._labels.base(number)
        new = np.flatnonzero(self._mesh.edge_labels >= base)
        self._mesh.edge_labels[new] = table[self._mesh.edge_labels[new] - base]
        new = np.flatnonzero(self._shared.codes >= 2 * base)
        if len(new):
            codes = self._shared.codes
            codes[new] = 2 * table[(codes[new] >> 1) - base] + (codes[new] & 1)

    def _resolver(self, number: int) -> Resolver:
        """Exact decisions in one layer, on the mesh as it is."""
        from splinecam.cutting.ties import find_ties  # which takes scipy, and long to import

        lines = HingeLines(self._context.exact(), self._patch.sides, self._network, self._labels)
        found = (find(self._network, self._labels, number) for find in (find_supports, find_ties))
        return Resolver(
            *(lines, self._labels, PatternedMesh(self._mesh, self._shared, self._root.copy())),
            *(tuple(filter(None, found)), number, self._points),
            self._estimate(number),
        )

    def _estimate(self, number: int) -> Callable[[Patterns], Estimator] | None:
        """What decides in float64 before a resolver does."""
        network, mesh = self._network, self._mesh
        if not isinstance(network, ReducedNetwork):
            return None
        if any(layer.round for layer in network.layers[: number + 1]):
            return None
        lines = RegionLines(network, self._labels, number, self._patch.corners, self._patch.sides)
        known = (lines, mesh, self._bounds[number], self._rounding)
        return lambda patterns: Estimator(*known, patterns)

    # -- max groups ---------------------------------------------------------------------------

    def _ends_tournament(self, number: int) -> bool:
        """Whether a layer is the last round of a max group."""
        layers, steps = self._network.layers, self._labels.steps
        layer = layers[number]
        is_round = isinstance(layer, ReducedLayer) and layer.round is not None
        return is_round and steps[number] not in steps[number + 1 :]

    def _settle(self, step: int, carried: np.ndarray) -> np.ndarray:
        """Replace the nodes of a tournament that is over by its winners."""
        assert isinstance(self._network, ReducedNetwork)
        tournament = self._network.tournaments[step]
        settled = settle(
            self._mesh,
            self._shared,
            self._root,
            tournament,
            self._labels,
            step,
            len(self._patch.points),
            self._context.workers,
        )
        self._mesh, self._shared = settled.mesh, settled.shared
        self._points = {
            int(settled.vertices[v]): point
            for v, point in self._points.items()
            if settled.vertices[v] >= 0
        }
        return carried[settled.vertices >= 0]
