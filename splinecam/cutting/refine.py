"""Refining a mesh by the zero lines of hinges.

Signs at vertices and orders along lines are the only decisions. Float64 takes them where error
bounds allow it; a `Resolver` takes the others exactly, before any face looks. Faces that a hinge
cuts through a corner, where hinges share a cut, or crossings are too close are *special*:
`splinecam.cutting.special` subdivides them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property

import numpy as np

from splinecam._kernels.arrays import (
    Bounds,
    Chords,
    Cuts,
    FaceOffsets,
    FaceSigns,
    Mesh,
    Zeros,
)
from splinecam._kernels.edges import count_cuts, find_cuts, split_edges
from splinecam._kernels.faces import build_faces, count_faces
from splinecam._kernels.room import (
    empty_chords,
    empty_cuts,
    empty_mesh,
    to_offsets,
    zero_counts,
)
from splinecam._kernels.special import mark_cut_corners, mark_merged
from splinecam._kernels.vanishing import collect_signs, vanishing_edges
from splinecam._kernels.words import mark_unsure, pack_signs, sign_limits, unpack_set
from splinecam.common.workers import Workers
from splinecam.cutting.mesh import FACE_GRAIN, VALUE_GRAIN, Refinement, Shared, places_within
from splinecam.cutting.resolve import Resolver
from splinecam.cutting.special import Setting, SpecialFaces
from splinecam.cutting.twins import Twins
from splinecam.errors import InvariantError

EDGE_GRAIN = 16384
"""Least number of edges that is worth several threads where their cuts are found."""

CHEAP = 8
"""How many times as many edges it takes where they are only counted or split."""

USUAL = 2.0**16
"""Vertices whose radius is more roundings than this are compared hinge by hinge, for speed."""


class Cutter:
    """Refines one mesh by chosen hinges.

    Parameters
    ----------
    mesh : Mesh
    shared : Shared
        Of its edges.
    values : ndarray
        (V, hinges) float64: the hinges' values at the vertices. Those that turn out unsure are
        replaced by exact ones.
    bounds : Bounds
        Of the values' errors.
    chosen : ndarray
        (words,) uint64: the hinges that may cut.
    label : int
        The label of hinge 0; new edges are labelled with their hinge.
    rounding : float
        Error of computing one coordinate at most.
    resolver : callable
        Makes the `Resolver`, if one is needed.
    workers : Workers
    """

    def __init__(
        self,
        mesh: Mesh,
        shared: Shared,
        values: np.ndarray,
        bounds: Bounds,
        chosen: np.ndarray,
        label: int,
        rounding: float,
        resolver: Callable[[], Resolver],
        workers: Workers,
    ):
        self._mesh = mesh
        self._shared = shared
        self._values = values
        self._bounds = bounds
        self._chosen = chosen
        self._label = label
        self._rounding = rounding
        self._resolver = cache(resolver)
        self._workers = workers
        self._signs, self._zeros = self._decide_signs()
        self._raw_cuts, unsure = self._find_cuts()
        self._cuts, self._targets, self._special = self._order_cuts(unsure)
        self._special_faces = SpecialFaces(
            Setting(
                *(mesh, self._raw_cuts.codes, self._targets, self._cuts),
                *(self._signs, self._zeros, chosen, rounding),
            ),
            self._resolver,
            workers,
        )
        self._offsets = self._count_faces(self._special)

    @property
    def n_faces(self) -> int:
        """Faces of the refined mesh."""
        return int(self._offsets.faces[-1])

    @property
    def n_vertices(self) -> int:
        """Vertices of the refined mesh."""
        n_cuts = len(self._cuts.codes)
        return len(self._mesh.vertices) + n_cuts + int(self._offsets.crossings[-1])

    @property
    def n_bytes(self) -> int:
        """Size of the refined mesh and of the chords along which values are carried."""
        offsets = self._offsets
        n_edges = len(self._mesh.edges) + len(self._cuts.codes) + int(offsets.edges[-1])
        mesh = 24 * self.n_vertices + 28 * n_edges + 4 * (int(offsets.halfedges[-1]) + self.n_faces)
        return mesh + 16 * int(offsets.chords[-1]) + 16 * int(offsets.entries[-1])

    @property
    def root_signs(self) -> np.ndarray:
        """Signs of all hinges on the face left of edge 0 at its origin, (hinges,) int8."""
        mesh, n_hinges = self._mesh, self._values.shape[1]
        root = mesh.edge_faces[0, 0]
        loop = mesh.face_halfedges[mesh.face_offsets[root] : mesh.face_offsets[root + 1]]
        corners = mesh.edges[loop >> 1, loop & 1]
        # A hinge that vanishes at the origin has, next to edge 0, the sign of the first corner
        # from there on where it does not.
        signs = np.zeros(n_hinges, np.int8)
        for corner in np.roll(corners, -int(np.flatnonzero(corners == 0)[0])).tolist():
            undecided = signs == 0
            if not undecided.any():
                break
            there = np.where(unpack_set(self._signs[corner], n_hinges), 1, -1)
            if len(self._zeros.rows) and self._zeros.rows[corner] >= 0:
                words = self._zeros.words[self._zeros.rows[corner]]
                there[unpack_set(words, n_hinges)] = 0
            signs[undecided] = there[undecided]
        return signs

    def refine(self, twins: Twins, *, with_chords: bool) -> Refinement:
        """Cut the mesh.

        Parameters
        ----------
        twins : Twins
            Hinges that do not cut, because others lead them; they share the others' edges.
        with_chords : bool
            Whether values are to be carried afterwards.

        Raises
        ------
        InvariantError
            If the result contradicts itself, which should not happen.
        """
        while True:
            new, chords, unsure = self._build(with_chords=with_chords)
            if not unsure.any():
                break
            self._special |= unsure
            self._offsets = self._count_faces(unsure)
        self._special_faces.build(self._offsets, self._label, new, chords if with_chords else None)
        shared = self._share(new, twins)
        return Refinement(new, shared, self._raw_cuts, self._targets, self._cuts, chords)

    # -- signs --------------------------------------------------------------------------------

    def _decide_signs(self) -> tuple[np.ndarray, Zeros]:
        values, bounds, mesh = self._values, self._bounds, self._mesh
        n_vertices, n_hinges = values.shape
        signs = np.empty((n_vertices, len(self._chosen)), np.uint64)
        counts = np.empty(n_vertices, np.int32)
        usual_radius = USUAL * self._rounding
        limits = sign_limits(bounds, self._chosen, usual_radius)
        grain = VALUE_GRAIN // n_hinges + 1
        self._workers.run(
            pack_signs,
            n_vertices,
            *(values, mesh.radii, bounds, limits, usual_radius, signs, counts),
            grain=grain,
        )
        vertices = np.flatnonzero(counts)
        if not len(vertices):
            return signs, Zeros(np.empty(0, np.int32), np.empty((0, len(self._chosen)), np.uint64))
        unsure = np.empty((len(vertices), len(self._chosen)), np.uint64)
        self._workers.run(
            mark_unsure,
            len(vertices),
            *(vertices, values, mesh.radii, bounds, limits, unsure),
            grain=grain,
        )
        return signs, self._resolver().decide_signs(vertices, values, signs, unsure)

    # -- cuts ---------------------------------------------------------------------------------

    def _find_cuts(self) -> tuple[Cuts, np.ndarray]:
        """Cuts, and which edges have some that float64 leaves open."""
        mesh, n_edges = self._mesh, len(self._mesh.edges)
        arguments = (mesh, self._signs, self._zeros, self._values, self._bounds, self._chosen)
        arguments = (*arguments, self._rounding)
        offsets = np.zeros(n_edges + 1, np.int64)
        counted = (mesh.edges, self._signs, self._zeros, self._chosen, offsets)
        self._workers.run(count_cuts, n_edges, *counted, grain=CHEAP * EDGE_GRAIN)
        cuts = empty_cuts(offsets)
        unsure = np.zeros(n_edges, bool)
        self._workers.run(find_cuts, n_edges, *arguments, cuts, unsure, grain=EDGE_GRAIN)
        return cuts, unsure

    def _order_cuts(self, unsure: np.ndarray) -> tuple[Cuts, np.ndarray, np.ndarray]:
        """Order close cuts exactly and join those at one point; mark faces that are special."""
        mesh, raw = self._mesh, self._raw_cuts
        edges = np.flatnonzero(unsure)
        joined = np.zeros(len(raw.codes), bool)
        if len(edges):
            joined = self._resolver().order_cuts(edges, raw, self._rounding)
        special = np.zeros(len(mesh.face_offsets) - 1, bool)
        cuts, targets = raw, np.empty(0, np.int64)
        if joined.any():
            merged = np.zeros(len(mesh.edges), bool)
            merged[raw.edges[joined]] = True
            mark_merged(0, len(special), mesh, merged, special)
            kept = ~joined
            targets = np.cumsum(kept) - 1
            offsets = np.concatenate([[0], np.cumsum(kept)])[raw.offsets]
            cuts = Cuts(offsets, *(array[kept] for array in raw[1:]))
        if len(self._zeros.rows):
            marked = (mesh, self._face_signs, self._zeros, special)
            self._workers.run(mark_cut_corners, len(special), *marked, grain=FACE_GRAIN)
        return cuts, targets, special

    @cached_property
    def _face_signs(self) -> FaceSigns:
        n_faces = len(self._mesh.face_offsets) - 1
        faces = FaceSigns(*np.empty((2, n_faces, len(self._chosen)), np.uint64))
        collected = (self._mesh, self._signs, self._zeros, faces)
        self._workers.run(collect_signs, n_faces, *collected, grain=FACE_GRAIN)
        return faces

    # -- faces --------------------------------------------------------------------------------

    def _count_faces(self, newly_special: np.ndarray) -> FaceOffsets:
        """Count what faces become; some of those that are special are not described yet."""
        mesh, n_hinges = self._mesh, self._values.shape[1]
        counts = zero_counts(len(self._special))
        self._workers.run_balanced(
            count_faces,
            mesh.face_offsets,
            *(mesh, self._cuts, n_hinges, self._special, counts),
            grain=FACE_GRAIN,
        )
        if newly_special.any():
            self._special_faces.describe(np.flatnonzero(newly_special))
        self._special_faces.count(counts)
        return to_offsets(counts)

    # -- building -----------------------------------------------------------------------------

    def _build(self, *, with_chords: bool) -> tuple[Mesh, Chords, np.ndarray]:
        """All but the special faces; and which others turn out to be special."""
        mesh, cuts, offsets = self._mesh, self._cuts, self._offsets
        unsure = np.zeros(len(self._special), bool)
        sizes = (self._values.shape[1], self._label, self._rounding)
        new = empty_mesh(mesh, cuts, offsets)
        chords = empty_chords(offsets, with_chords)
        pieces = (mesh, cuts, self._rounding, new)
        self._workers.run(split_edges, len(mesh.edges), *pieces, grain=CHEAP * EDGE_GRAIN)
        arguments = (*sizes, self._special, unsure, new, chords, with_chords)
        n_wrong = sum(
            self._workers.run_balanced(
                build_faces,
                offsets.halfedges,
                *(mesh, cuts, offsets, *arguments),
                grain=FACE_GRAIN,
            )
        )
        if n_wrong and not unsure.any():
            raise InvariantError(f"{n_wrong} faces do not close up")
        return new, chords, unsure

    def _share(self, new: Mesh, twins: Twins) -> Shared:
        """What the refined mesh's edges share: old edges pass theirs on to all pieces."""
        edges, codes = self._shared
        chords, members = self._special_faces.shared(self._offsets)
        if not (len(edges) or len(chords) or len(self._zeros.rows) or len(twins.followers)):
            return self._shared
        if len(self._zeros.rows):
            more_edges, more_codes = self._vanishing(twins)
            edges = np.concatenate([edges, more_edges])
            codes = np.concatenate([codes, 2 * self._label + more_codes])
        offsets = self._cuts.offsets
        counts = offsets[edges + 1] - offsets[edges] + 1
        pieces = np.repeat(edges + offsets[edges], counts) + places_within(counts)
        made = np.arange(len(self._mesh.edges) + len(self._cuts.codes), len(new.edges))
        leading = 2 * (new.edge_labels[made].astype(np.int64) - self._label)
        which, following = twins.follow_codes(np.concatenate([leading, members]))
        edges = np.concatenate([pieces, chords, np.concatenate([made, chords])[which]])
        own = np.concatenate([members, following]) + 2 * self._label
        codes = np.concatenate([np.repeat(codes, counts), own])
        order = np.lexsort([codes, edges])
        return Shared(edges[order], codes[order])

    def _vanishing(self, twins: Twins) -> tuple[np.ndarray, np.ndarray]:
        """Old edges along which hinges vanish but are positive on one side, with their codes.

        Nothing is positive right of outer edges.
        """
        room = 1024
        while True:
            edges, hinges = np.empty(room, np.int64), np.empty(room, np.int64)
            sides = np.empty((room, 2), np.int8)
            found = vanishing_edges(
                *(self._mesh, self._face_signs, self._zeros, self._chosen, edges, hinges, sides)
            )
            if found <= room:
                break
            room = found
        edges, hinges, sides = edges[:found], hinges[:found], sides[:found]
        which, followers, turned = twins.follow(hinges)
        edges = np.concatenate([edges, edges[which]])
        hinges = np.concatenate([hinges, followers])
        positive = np.concatenate([sides, sides[which] * turned[:, None]]) > 0
        changed = positive[:, 0] != positive[:, 1]
        return edges[changed], (2 * hinges + positive[:, 1])[changed]
