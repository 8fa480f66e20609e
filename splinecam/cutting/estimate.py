"""Deciding in float64 what the engine's bounds leave open, before integers are asked.

The bounds that hold on the whole polygon are loose in deep layers: nearly all that they leave open
is not close at all. Here the same questions are put to the functions of single regions (see
`splinecam.cutting.region_lines`); what these leave open too is left to exact arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np

from splinecam._kernels.arrays import Bounds, Cuts, Mesh
from splinecam._kernels.edges import BAD, UNBOUNDED
from splinecam._kernels.special import SpecialFace
from splinecam._kernels.words import BITS, unpack_set
from splinecam.cutting.mesh import places_within
from splinecam.cutting.region_lines import RegionLines, meet, value_at

AT_ONCE = 256
"""Regions whose functions are computed together."""

PAIRED = 3
"""Edges at a vertex that are looked at; two of them have different lines."""


class Estimator:
    """Decisions in one layer, on one mesh, as those of a `Resolver`.

    Parameters
    ----------
    lines : RegionLines
    mesh : Mesh
    bounds : Bounds
        Of the layer's values.
    rounding : float
        Error of computing one coordinate at most.
    patterns : callable
        Gives the patterns (n, units) of faces (n,).
    """

    def __init__(
        self,
        lines: RegionLines,
        mesh: Mesh,
        bounds: Bounds,
        rounding: float,
        patterns: Callable[[np.ndarray], np.ndarray],
    ):
        self._lines = lines
        self._mesh = mesh
        self._bounds = bounds
        self._rounding = rounding
        # What exact places have is added: together they stay below what a vertex may be off.
        self._largest = BAD * rounding / 4
        self._patterns = patterns
        self._announced = np.empty(0, np.int64)
        self._held: dict[int, tuple[np.ndarray, np.ndarray]] = {}

    def decide_signs(
        self,
        vertices: np.ndarray,
        edges: np.ndarray,
        values: np.ndarray,
        signs: np.ndarray,
        unsure: np.ndarray,
    ) -> None:
        """Set signs and values of unsure pairs, and take those that are decided out of `unsure`.

        Parameters
        ----------
        vertices : ndarray
            (n,) int64.
        edges : ndarray
            (n, k) int64: edges at each, -1 where there are no more.
        values : ndarray
            (V, H) float64.
        signs : ndarray
            (V, W) uint64.
        unsure : ndarray
            (n, W) uint64.
        """
        mesh, bounds, own = self._mesh, self._bounds, self._lines.first_hinge
        edges = edges[:, :PAIRED]
        for some in _parts(len(vertices), AT_ONCE // PAIRED):
            at, around = vertices[some], edges[some]
            faces, functions = self._functions(mesh.edge_faces[around, 0])
            points, radii = self._corners(at, around, faces, functions)
            asked = np.stack([unpack_set(row, values.shape[1]) for row in unsure[some]])
            rows, hinges = np.nonzero(asked)
            chosen = faces[rows, 0], own + hinges
            function, error = functions[0][chosen], functions[1][chosen]
            found, doubts = value_at(points[rows], function, error)
            doubts += np.hypot(function[:, 0], function[:, 1]) * np.minimum(radii[rows], UNBOUNDED)
            usual = bounds.reach[hinges] * mesh.radii[at[rows]] + bounds.noise[hinges]
            sure = np.flatnonzero((np.abs(found) > doubts) & (doubts <= usual))
            rows, hinges, found = rows[sure], hinges[sure], found[sure]
            values[at[rows], hinges] = found
            words, bits = hinges // BITS, np.uint64(1) << (hinges % BITS).astype(np.uint64)
            np.bitwise_and.at(unsure, (some.start + rows, words), ~bits)
            np.bitwise_or.at(signs, (at[rows], words), bits)
            negative = found < 0
            np.bitwise_and.at(signs, (at[rows[negative]], words[negative]), ~bits[negative])

    def _corners(
        self,
        vertices: np.ndarray,
        edges: np.ndarray,
        faces: np.ndarray,
        functions: tuple[np.ndarray, np.ndarray],
    ) -> tuple[np.ndarray, np.ndarray]:
        """Positions (n, 2) of vertices, and how far they are from the true ones (n,) at most."""
        near = self._mesh.vertices[vertices]
        labels = self._mesh.edge_labels[edges]
        lines, errors = zip(
            *(
                self._lines.edge_lines(functions, labels[:, k], faces[:, k])
                for k in range(edges.shape[1])
            ),
            strict=True,
        )
        points, radii = near, np.full(len(near), np.inf)
        for k in range(1, edges.shape[1]):
            doubts = np.where(edges[:, k] < 0, np.inf, errors[k])
            place, radius = meet(near, lines[0], errors[0], lines[k], doubts)
            closer = radius < radii
            points, radii = np.where(closer[:, None], place, points), np.minimum(radius, radii)
        return points, radii

    def order_cuts(self, edges: np.ndarray, cuts: Cuts) -> np.ndarray:
        """Place and order the cuts of some edges (n,); return which are decided, (n,) bool."""
        mesh = self._mesh
        decided = np.zeros(len(edges), bool)
        for some in _parts(len(edges), AT_ONCE):
            faces, functions = self._functions(mesh.edge_faces[edges[some], 0])
            lines, errors = self._lines.edge_lines(functions, mesh.edge_labels[edges[some]], faces)
            counts = cuts.offsets[edges[some] + 1] - cuts.offsets[edges[some]]
            stops = np.cumsum(counts)
            at = np.repeat(np.arange(len(counts)), counts)
            own = np.repeat(cuts.offsets[edges[some]], counts) + places_within(counts)
            hinges = self._lines.first_hinge + (cuts.codes[own] >> 1)
            start, end = mesh.vertices[mesh.edges[edges[some]]].transpose(1, 0, 2)
            along = (end - start)[at]
            near = start[at] + cuts.params[own, None] * along
            functions = functions[0][faces[at], hinges], functions[1][faces[at], hinges]
            points, radii = meet(near, lines[at], errors[at], *functions)
            lengths = np.hypot(along[:, 0], along[:, 1])
            fine = (radii <= self._largest) & (lengths > 0)
            lengths[~fine] = 1.0
            params = np.einsum("nc,nc->n", points - start[at], along) / lengths**2
            slacks = (radii + 2 * mesh.widths[edges[some]][at] + 4 * self._rounding) / lengths
            for i, (first, stop) in enumerate(zip(stops - counts, stops, strict=True)):
                if fine[first:stop].all():
                    decided[some.start + i] = _sort_along(
                        cuts, int(own[first]), params[first:stop], slacks[first:stop]
                    )
        return decided

    def announce(self, faces: np.ndarray) -> None:
        """Say on which faces (n,) there will be crossings to place."""
        self._announced = faces

    def place_crossings(self, face: int, special: SpecialFace, bad: np.ndarray) -> np.ndarray:
        """Place crossings of chords (n,) of an announced face; return those that are left."""
        rows, errors = self._functions_on(face)
        chords = np.stack([special.lower[bad], special.upper[bad]])
        hinges = self._lines.first_hinge + (special.members[special.member_offsets[chords]] >> 1)
        edge = self._mesh.face_halfedges[self._mesh.face_offsets[face]] >> 1
        near = np.tile(self._mesh.vertices[self._mesh.edges[edge, 0]], (len(bad), 1))
        one, other = ((rows[own], errors[own]) for own in hinges)
        points, radii = meet(near, *one, *other)
        fine = radii <= self._largest
        special.points[bad[fine]] = points[fine]
        radii += 2 * special.widths[chords].max(axis=0) + 4 * self._rounding
        special.radii[bad[fine]] = radii[fine]
        return bad[~fine]

    def _functions_on(self, face: int) -> tuple[np.ndarray, np.ndarray]:
        """The functions on an announced face; those of faces after it are computed with them."""
        if face not in self._held:
            place = int(np.flatnonzero(self._announced == face)[0])
            faces = self._announced[place : place + AT_ONCE]
            functions = self._lines.functions(self._patterns(faces))
            self._held = dict(zip(faces.tolist(), zip(*functions, strict=True), strict=True))
        return self._held[face]

    def _functions(self, faces: np.ndarray) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
        """The faces as numbers of rows, and the functions on them in these rows."""
        different, which = np.unique(faces, return_inverse=True)
        functions = self._lines.functions(self._patterns(different))
        return which.reshape(faces.shape), functions


def _parts(count: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, count)) for start in range(0, count, size))


def _sort_along(cuts: Cuts, first: int, params: np.ndarray, slacks: np.ndarray) -> bool:
    """Sort an edge's cuts by where they truly are; say if there is no doubt about the order."""
    order = np.argsort(params)
    params, slacks = params[order], slacks[order]
    reached = np.maximum.accumulate(params + slacks)
    if not (params[1:] - slacks[1:] > reached[:-1]).all():
        return False
    own = slice(first, first + len(params))
    for array in (cuts.codes, cuts.doubts, cuts.slopes):
        array[own] = array[own][order]
    cuts.params[own] = np.clip(params, 0.0, 1.0)
    cuts.slacks[own] = slacks
    return True
