"""Special faces of a mesh that is cut: described, decided and subdivided, many at a time."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

import numpy as np

from splinecam._kernels.arrays import Chords, Cuts, FaceOffsets, Mesh, Zeros
from splinecam._kernels.crossings import cross_special
from splinecam._kernels.edges import BAD
from splinecam._kernels.special import (
    Crossings,
    Outlines,
    measure_special,
    outline_special,
    special_face,
)
from splinecam._kernels.subdivide import Nodes, build_special, join_special, record_special
from splinecam.common.workers import Workers
from splinecam.cutting.mesh import places_within
from splinecam.cutting.resolve import Resolver
from splinecam.errors import InvariantError

GRAIN = 512
"""Least number of special faces that is worth several threads."""


class Setting(NamedTuple):
    """What decides how faces are cut."""

    mesh: Mesh
    raw_codes: np.ndarray  # of all cuts, merged ones too
    targets: np.ndarray  # the cut that each became; empty if it is the same number
    cuts: Cuts
    signs: np.ndarray
    zeros: Zeros
    chosen: np.ndarray
    rounding: float


class _Batch(NamedTuple):
    """Special faces that were described together."""

    outlines: Outlines
    crossings: Crossings
    tied: np.ndarray  # bool: entries that are where the one before is
    nodes: Nodes


class SpecialFaces:
    """The special faces found so far.

    Parameters
    ----------
    setting : Setting
    resolver : callable
        Makes the `Resolver`, if one is needed.
    workers : Workers
    """

    def __init__(self, setting: Setting, resolver: Callable[[], Resolver], workers: Workers):
        self._setting = setting
        self._resolver = resolver
        self._workers = workers
        self._batches: list[_Batch] = []

    def describe(self, faces: np.ndarray) -> None:
        """Add faces (n,).

        Raises
        ------
        InvariantError
            If a hinge does not meet one of them in two places.
        """
        outlines = self._outline(faces)
        crossings = self._cross(outlines)
        n_entries = len(crossings.params)
        tied = np.zeros(n_entries, bool)
        self._decide(outlines, crossings, tied)
        nodes = Nodes(
            np.empty(len(faces), np.int64),
            np.empty(n_entries // 2, np.int32),
            np.empty(n_entries // 2, np.int32),
            np.empty(len(outlines.member_offsets), np.int32),
            np.empty(n_entries, np.int32),
        )
        self._batches.append(_Batch(outlines, crossings, tied, nodes))

    def count(self, counts: FaceOffsets) -> None:
        """Write what all faces become, one place to the right of each."""
        for outlines, crossings, tied, nodes in self._batches:
            self._run(join_special, outlines, crossings, tied, nodes, counts)

    def build(self, offsets: FaceOffsets, label: int, new: Mesh, chords: Chords | None) -> None:
        """Write the parts of all faces, and if asked for their chords.

        Raises
        ------
        InvariantError
            If a face contradicts itself.
        """
        old, cuts = self._setting.mesh, self._setting.cuts
        for outlines, crossings, _, nodes in self._batches:
            places = (outlines, crossings, nodes, old, cuts, offsets)
            wrong = max(self._run(build_special, *places, label, new))
            if wrong >= 0:
                raise InvariantError(f"face {wrong} cannot be subdivided: its chords contradict")
            if chords is not None:
                self._run(record_special, *places, chords)

    def shared(self, offsets: FaceOffsets) -> tuple[np.ndarray, np.ndarray]:
        """New edges and the codes of the hinges that they have beside their own, each (n,)."""
        nothing = (np.empty(0, np.int64), np.empty(0, np.int64))
        found = [nothing, *(self._shared_in(batch, offsets) for batch in self._batches)]
        edges, codes = (np.concatenate(parts) for parts in zip(*found, strict=True))
        return edges, codes

    def _shared_in(self, batch: _Batch, offsets: FaceOffsets) -> tuple[np.ndarray, np.ndarray]:
        """The same for one batch."""
        outlines, nodes = batch.outlines, batch.nodes
        n_faces = len(outlines.faces)
        which = np.repeat(np.arange(n_faces), outlines.n_chords)
        within = places_within(outlines.n_chords)
        slots = outlines.chord_starts[which] + which + within
        start, stop = (outlines.member_offsets[slots + i].astype(np.int64) for i in (0, 1))
        several = np.flatnonzero(stop - start > 1)
        which, within, slots = which[several], within[several], slots[several]
        members = outlines.chord_starts[which] + start[several]
        n_beside = stop[several] - start[several] - 1
        first = len(self._setting.mesh.edges) + len(self._setting.cuts.codes)
        first = first + offsets.edges[outlines.faces[which]] + within + nodes.offsets[slots]
        n_edges = nodes.offsets[slots + 1] - nodes.offsets[slots] + 1
        leading = outlines.members[members] & 1
        pairs = n_beside * n_edges
        beside, edge = np.divmod(places_within(pairs), np.repeat(n_edges, pairs))
        chord = np.repeat(np.arange(len(several)), pairs)
        codes = outlines.members[members[chord] + 1 + beside] ^ leading[chord]
        return first[chord] + edge, codes.astype(np.int64)

    def _outline(self, faces: np.ndarray) -> Outlines:
        mesh, codes, _, cuts, signs, zeros, chosen, _ = self._setting
        n_places, n_cutting = np.zeros((2, len(faces) + 1), np.int64)
        measured = (faces, mesh, cuts, signs, zeros, chosen, n_places, n_cutting)
        self._workers.run(measure_special, len(faces), *measured, grain=GRAIN)
        place_starts, chord_starts = np.cumsum(n_places), np.cumsum(n_cutting)
        n_hinges = int(chord_starts[-1])
        outlines = Outlines(
            *(faces, place_starts, chord_starts),
            *(np.empty(len(faces), np.int64), np.empty(len(faces), np.int64)),
            *(np.empty(place_starts[-1], np.int32), np.empty(place_starts[-1], np.int32)),
            *(np.empty(n_hinges, np.int32), np.empty(n_hinges, np.int32)),
            np.empty(n_hinges),
            np.empty(n_hinges + len(faces), np.int32),
            np.empty(n_hinges, np.int32),
        )
        walked = (mesh, cuts, codes, self._code_offsets, signs, zeros, chosen, self._placed[1])
        wrong = max(self._run(outline_special, outlines, *walked))
        if wrong >= 0:
            raise InvariantError(f"face {wrong}: a hinge does not meet it in two places")
        return outlines

    def _cross(self, outlines: Outlines) -> Crossings:
        starts = np.concatenate([[0], np.cumsum(outlines.n_crossings)])
        n = int(starts[-1])
        crossings = Crossings(
            starts,
            np.empty(len(outlines.member_offsets), np.int32),
            *(np.empty(2 * n), np.empty(2 * n, np.int32), np.empty(2 * n, bool)),
            *(np.empty(n, np.int32), np.empty(n, np.int32), np.empty((n, 2)), np.empty(n)),
        )
        placed = (self._placed[0], self._setting.rounding)
        self._run(cross_special, outlines, crossings, *placed)
        return crossings

    def _decide(self, outlines: Outlines, crossings: Crossings, tied: np.ndarray) -> None:
        """Place and order exactly what is bad or unsure."""
        rounding = self._setting.rounding
        worst = BAD * rounding
        bad = np.flatnonzero(crossings.radii > worst)
        unsure = np.flatnonzero(crossings.unsure)
        close = np.searchsorted(crossings.starts, np.concatenate([bad, unsure // 2]), "right") - 1
        if not len(close):
            return
        close = np.unique(close)
        resolver = self._resolver()
        resolver.gather_faces(outlines.faces[close])
        for i in close.tolist():
            face, special = int(outlines.faces[i]), special_face(outlines, crossings, i)
            resolver.place_crossings(face, special, self._placed[0], worst, rounding)
            own = slice(2 * crossings.starts[i], 2 * crossings.starts[i + 1])
            tied[own] = resolver.order_crossings(face, special)

    @cached_property
    def _placed(self) -> tuple[np.ndarray, np.ndarray]:
        """Positions and radii of old vertices and cuts."""
        mesh, cuts = self._setting.mesh, self._setting.cuts
        ends = mesh.vertices[mesh.edges[cuts.edges]]
        along = ends[:, 1] - ends[:, 0]
        points = ends[:, 0] + cuts.params[:, None] * along
        lengths = np.hypot(along[:, 0], along[:, 1])
        radii = mesh.widths[cuts.edges] + lengths * cuts.slacks + self._setting.rounding
        return np.concatenate([mesh.vertices, points]), np.concatenate([mesh.radii, radii])

    @cached_property
    def _code_offsets(self) -> np.ndarray:
        """Where the raw codes of each cut begin."""
        targets = self._setting.targets
        if not len(targets):
            return np.arange(len(self._setting.raw_codes) + 1)
        return np.searchsorted(targets, np.arange(len(self._setting.cuts.codes) + 1))

    def _run(self, kernel: Callable, outlines: Outlines, *args: object) -> list:
        return self._workers.run(kernel, len(outlines.faces), outlines, *args, grain=GRAIN)
