"""Hinges that vanish because all activations in them do, as between the zeros of a max group.

Where rectified units of a window are inactive, the differences that the window's tournament asks
for are zero on whole faces and along all their edges; in float64 they are zero up to rounding.
Their rows need no arithmetic: if a row consists, exactly, of activations and each of these is zero
at a vertex, then so is the hinge.

An activation f(z) with its one breakpoint at 0 and f(0) = 0 is zero at a vertex if some face there
has it on a flat piece, since it is continuous, or if faces there have it on both sides of its
breakpoint, since z is.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from splinecam._kernels.traversal import spread_pieces
from splinecam._kernels.vanishing import find_supported
from splinecam._kernels.words import pack_set
from splinecam.cutting.flips import choose_flips
from splinecam.cutting.labels import Labels
from splinecam.cutting.mesh import PatternedMesh
from splinecam.network.planar import Layer, PlanarNetwork
from splinecam.network.reduced import ReducedLayer, ReducedNetwork


class Supports(NamedTuple):
    """The activations of which a layer's hinges consist.

    Only hinges that nothing else is in, whose rows have no rounding, and whose units vanish at
    their breakpoints have any.
    """

    are_pure: np.ndarray  # (H,) bool: hinges that consist of activations
    offsets: np.ndarray  # (H + 1,) int64: into units
    units: np.ndarray  # int32: which of the labels
    labels: np.ndarray  # (k,) int64: the label that each unit's hinge has on edges
    entries: np.ndarray  # (k,) int64: where the unit is in a pattern that nodes follow
    is_flat: np.ndarray  # (2, W') uint64: words of the units that are flat below, and above
    n_labels: int

    def __call__(
        self, patterned: PatternedMesh, vertices: np.ndarray, unsure: np.ndarray
    ) -> np.ndarray:
        """Words (n, W) of those unsure hinges that vanish for this reason; a `Shortcut`."""
        words = np.zeros_like(unsure)
        found = (self.are_pure, self.offsets, self.units, unsure, words)
        find_supported(0, len(vertices), vertices, self._zero_units(patterned), *found)
        return words

    def _zero_units(self, patterned: PatternedMesh) -> np.ndarray:
        """Words (V, W') of the units that are zero at each vertex."""
        mesh, shared, root = patterned
        pieces = np.zeros((2, len(mesh.vertices), self.is_flat.shape[1]), np.uint64)
        spread_pieces(
            int(mesh.edge_faces[0, 0]),
            np.append(root[self.entries], root.dtype.type(0)),
            *(mesh.face_offsets, mesh.face_halfedges, mesh.edge_faces, mesh.edges),
            choose_flips(self.labels, self.n_labels, mesh.edge_labels, shared),
            *pieces,
        )
        low, high = pieces
        return (low & self.is_flat[0]) | (high & self.is_flat[1]) | (low & high)


def find_supports(
    network: PlanarNetwork | ReducedNetwork, labels: Labels, number: int
) -> Supports | None:
    """The activations of which the hinges of a layer consist; None if there are no such hinges."""
    layer = network.layers[number]
    if not isinstance(layer, ReducedLayer):
        return None
    weight, bias = layer.hinge_map
    errors = np.broadcast_to(layer.bias_errors, layer.n_units)[layer.hinge_units]
    old = weight[:, 2:]
    before = network.layers[:number]
    vanish = np.concatenate(
        [np.zeros(0, bool), *(_vanish_at_breakpoints(earlier, layer.step) for earlier in before)]
    )
    is_pure = (
        (errors == 0) & (bias == 0) & ~weight[:, :2].any(axis=1) & ~old[:, ~vanish].any(axis=1)
    )
    if not is_pure.any():
        return None
    hinges, columns = np.nonzero(old * is_pure[:, None])
    used, units = np.unique(columns, return_inverse=True)
    offsets = np.searchsorted(hinges, np.arange(layer.n_hinges + 1))
    # Where units have several breakpoints, none of their columns is used.
    none = np.zeros(0, np.intp)
    own = np.concatenate([none, *(labels.of_units(i) for i in range(number))])
    entries = np.concatenate([none, *(labels.entries(i) for i in range(number))])
    ends = [np.broadcast_to(x.slopes[:, [0, -1]], (x.n_units, 2)) for x in before]
    slopes = np.concatenate([np.zeros((0, 2)), *ends])
    return Supports(
        is_pure,
        offsets,
        units.reshape(-1).astype(np.int32),
        own[used],
        entries[used],
        np.stack([pack_set(slopes[used, side] == 0) for side in (0, 1)]),
        labels.n_labels,
    )


def _vanish_at_breakpoints(layer: Layer, step: int) -> np.ndarray:
    """Which units (D,) have 0 as their one breakpoint, and are zero there.

    Nodes of a tournament that was over before a step are no such units: the edges that would tell
    where they are won are gone.
    """
    is_over = isinstance(layer, ReducedLayer) and layer.round is not None and layer.step < step
    if layer.n_breakpoints > 1 or is_over:
        return np.zeros(layer.n_units, bool)
    vanish = (layer.breakpoints[:, 0] == 0) & (layer.anchors == 0)
    return np.broadcast_to(vanish, layer.n_units)
