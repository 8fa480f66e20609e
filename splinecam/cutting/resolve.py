"""Deciding exactly what float64 leaves open: signs at vertices, and orders along lines.

Only what an error bound cannot decide comes here. Every decision is made once, for a vertex or an
edge that several faces share, so that neighbouring faces cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from functools import cached_property

import numpy as np

from splinecam._kernels.arrays import Cuts, Zeros
from splinecam._kernels.edges import BAD, UNBOUNDED
from splinecam._kernels.special import SpecialFace
from splinecam._kernels.traversal import Flips, collect_patterns, incident_edges
from splinecam._kernels.vanishing import clear_hinges
from splinecam._kernels.words import BITS, unpack_set
from splinecam.cutting.crossings import ExactCrossings
from splinecam.cutting.flips import find_flips
from splinecam.cutting.hinge_lines import HingeLines
from splinecam.cutting.labels import Labels
from splinecam.cutting.mesh import PatternedMesh
from splinecam.errors import InvariantError
from splinecam.exact import Pattern, Point, Row, intersection, line_through, pattern_of, sign

INCIDENT = 4
"""Edges at a vertex that are looked at; two of any three have different lines."""


Shortcut = Callable[[PatternedMesh, np.ndarray, np.ndarray], np.ndarray]
"""Takes vertices (n,) and words (n, W) of unsure hinges; returns words of some that vanish."""


class Resolver:
    """Exact decisions in one layer, on one mesh.

    Parameters
    ----------
    lines : HingeLines
    labels : Labels
    patterned : PatternedMesh
    shortcuts : sequence of Shortcut
        What may show that hinges vanish without arithmetic, in the order of their cost.
    layer : int
        The layer whose hinges cut.
    points : dict
        Exact positions of vertices, as far as they are known; more are added.
    """

    def __init__(
        self,
        lines: HingeLines,
        labels: Labels,
        patterned: PatternedMesh,
        shortcuts: Sequence[Shortcut],
        layer: int,
        points: dict[int, Point],
    ):
        self._lines = lines
        self._labels = labels
        self._patterned = patterned
        self._mesh = patterned.mesh
        self._shortcuts = shortcuts
        self._layer = layer
        self._points = points
        self._prefixes: dict[int, Pattern] = {}

    @cached_property
    def _flips(self) -> Flips:
        labels = self._labels
        return find_flips(
            labels.units, labels.n_nodes, self._mesh.edge_labels, self._patterned.shared
        )

    # -- signs --------------------------------------------------------------------------------

    def decide_signs(
        self, vertices: np.ndarray, values: np.ndarray, signs: np.ndarray, unsure: np.ndarray
    ) -> Zeros:
        """Set the signs and values of unsure pairs; return where hinges vanish.

        The positions of vertices that need exact arithmetic are made exact on the way, up to
        rounding.

        Parameters
        ----------
        vertices : ndarray
            (n,) int64.
        values : ndarray
            (V, H) float64.
        signs : ndarray
            (V, W) uint64.
        unsure : ndarray
            (n, W) uint64: the hinges in question; those that are decided are taken out.
        """
        words = np.zeros_like(unsure)
        for shortcut in self._shortcuts:
            left = np.flatnonzero(unsure.any(axis=1))
            if not len(left):
                break
            found = np.zeros_like(unsure)
            found[left] = shortcut(self._patterned, vertices[left], unsure[left])
            clear_hinges(vertices, found, values, signs, unsure)
            words |= found
        left = np.flatnonzero(unsure.any(axis=1))
        if len(left):
            words[left] |= self._compute_signs(vertices[left], values, signs, unsure[left])
        vanishing = np.flatnonzero(words.any(axis=1))
        if not len(vanishing):
            return Zeros(np.empty(0, np.int32), words[:0])
        rows = np.full(len(values), -1, np.int32)
        rows[vertices[vanishing]] = np.arange(len(vanishing))
        return Zeros(rows, words[vanishing])

    def _compute_signs(
        self, vertices: np.ndarray, values: np.ndarray, signs: np.ndarray, unsure: np.ndarray
    ) -> np.ndarray:
        """Decide by exact arithmetic; return words (n, W) of the hinges that vanish."""
        words = np.zeros_like(unsure)
        edges = self._edges_at(vertices)
        self._gather(self._mesh.edge_faces[edges[edges >= 0], 0])
        for row, v in enumerate(vertices.tolist()):
            at = [e for e in edges[row].tolist() if e >= 0]
            point = self._point(v, at)
            face = int(self._mesh.edge_faces[at[0], 0])
            for h in np.flatnonzero(unpack_set(unsure[row], values.shape[1])).tolist():
                value = self._exact_value(self._row(h, face), point)
                values[v, h] = _rounded(value)
                word, bit = h // BITS, np.uint64(1) << np.uint64(h % BITS)
                signs[v, word] = signs[v, word] | bit if value > 0 else signs[v, word] & ~bit
                if value == 0:
                    words[row, word] |= bit
        return words

    def _edges_at(self, vertices: np.ndarray) -> np.ndarray:
        wanted = np.full(len(self._mesh.vertices), -1, np.int32)
        wanted[vertices] = np.arange(len(vertices))
        found = np.empty((len(vertices), INCIDENT), np.int64)
        incident_edges(wanted, self._mesh.edges, found)
        return found

    def _point(self, vertex: int, edges: list[int]) -> Point:
        """The exact position of a vertex, which the mesh then holds rounded."""
        point = self._points.get(vertex)
        if point is None:
            line = self._line(edges[0])
            point = next(p for e in edges[1:] if (p := intersection(line, self._line(e))))
            self._points[vertex] = point
            moved = _rounded_point(point)
            # Values of hinges that were sure stay those of the old position.
            self._mesh.widths[edges] += np.hypot(*(moved - self._mesh.vertices[vertex]))
            self._mesh.vertices[vertex] = moved
        return point

    def _exact_value(self, row: Row, point: Point) -> Fraction:
        (a, b, c), (x, y, w) = row, point
        return Fraction(a * x + b * y + c * w, w << self._lines.power(self._layer))

    # -- orders -------------------------------------------------------------------------------

    def order_cuts(self, edge: int, cuts: Cuts, rounding: float) -> list[bool]:
        """Sort an edge's cuts exactly; say which are at the same point as the one before."""
        own = slice(int(cuts.offsets[edge]), int(cuts.offsets[edge + 1]))
        face = int(self._mesh.edge_faces[edge, 0])
        line = self._line(edge)
        rows = [self._row(code >> 1, face) for code in cuts.codes[own].tolist()]
        start, end = self._mesh.vertices[self._mesh.edges[edge]]
        slack = 2 * self._mesh.widths[edge] + 4 * rounding
        bad = cuts.slacks[own] * max(float(np.hypot(*(end - start))), rounding) > BAD * rounding
        for k in (own.start + np.flatnonzero(bad)).tolist():
            point = _rounded_point(intersection(line, rows[k - own.start]))
            cuts.params[k], cuts.slacks[k] = _project(point, start, end, slack)
        order, tied = _order_along(line, rows, [1 - 2 * (c & 1) for c in cuts.codes[own].tolist()])
        for array in (cuts.codes, cuts.params, cuts.slacks, cuts.doubts, cuts.slopes):
            array[own] = array[own][order]
        cuts.params[own] = np.maximum.accumulate(cuts.params[own])
        return tied

    def place_crossings(
        self, face: int, special: SpecialFace, points: np.ndarray, worst: float, rounding: float
    ) -> None:
        """Compute crossings exactly that float64 places worse than `worst`, and round once.

        `points` are the positions of the face's places.
        """
        bad = np.flatnonzero(special.radii > worst)
        for x in bad.tolist():
            chords = int(special.lower[x]), int(special.upper[x])
            rows = (self._chord_row(face, special, chord) for chord in chords)
            special.points[x] = _rounded_point(intersection(*rows))
            special.radii[x] = 2 * special.widths[list(chords)].max() + 4 * rounding
        for entry in np.flatnonzero(np.isin(special.crossings, bad)).tolist():
            chord = int(np.searchsorted(special.offsets, entry, side="right")) - 1
            start = points[special.places[special.first[chord]]]
            end = points[special.places[special.second[chord]]]
            point = special.points[special.crossings[entry]]
            special.params[entry], _ = _project(point, start, end, 0.0)

    def order_crossings(self, face: int, special: SpecialFace) -> np.ndarray:
        """Sort unsure crossings along chords exactly; say which are where the one before is."""
        crossings = ExactCrossings(special, lambda chord: self._chord_row(face, special, chord))
        return crossings.order()

    def _chord_row(self, face: int, special: SpecialFace, chord: int) -> Row:
        return self._row(int(special.members[special.member_offsets[chord]]) >> 1, face)

    # -- rows ---------------------------------------------------------------------------------

    def gather_edges(self, edges: np.ndarray) -> None:
        """Prepare for questions about edges."""
        self._gather(self._mesh.edge_faces[edges, 0])

    def gather_faces(self, faces: np.ndarray) -> None:
        """Prepare for questions about faces."""
        self._gather(faces)

    def _gather(self, faces: np.ndarray) -> None:
        """Find the patterns of faces."""
        missing = np.array([f for f in np.unique(faces).tolist() if f not in self._prefixes], int)
        if not len(missing):
            return
        rows = np.full(len(self._mesh.face_offsets) - 1, -1, np.int32)
        rows[missing] = np.arange(len(missing))
        root = self._patterned.root
        patterns = np.empty((len(missing), len(root)), root.dtype)
        collect_patterns(
            int(self._mesh.edge_faces[0, 0]),
            root.copy(),
            *(self._mesh.face_offsets, self._mesh.face_halfedges, self._mesh.edge_faces),
            *(self._flips, rows, patterns, 0),
        )
        self._prefixes.update(zip(missing.tolist(), map(pattern_of, patterns), strict=True))

    def _row(self, hinge: int, face: int) -> Row:
        return self._lines.hinge(self._layer, hinge, self._prefixes[face])

    def _line(self, edge: int) -> Row:
        """The line that an edge lies on."""
        label, face = int(self._mesh.edge_labels[edge]), int(self._mesh.edge_faces[edge, 0])
        return self._lines.edge(label, self._prefixes[face])


def _order_along(
    line: Row, rows: Sequence[Row], at_start: Sequence[int]
) -> tuple[list[int], list[bool]]:
    """Order in which a directed line meets others, given their signs where it starts.

    Returns the order, and for each in that order whether it is met where the one before was.
    """
    axis = 0 if line[1] else 1
    places = []
    for row in rows:
        meeting = line_through(line, row)
        places.append(Fraction(meeting[axis], meeting[2]))
    # Along (b, -a) a row changes by its cross product with the line; from the start on it has to
    # change against its sign there.
    turning = line[1] * rows[0][0] - line[0] * rows[0][1]
    forward = -at_start[0] * sign(turning)
    direction = forward * (sign(line[1]) if axis == 0 else -sign(line[0]))
    places = [direction * place for place in places]
    order = sorted(range(len(places)), key=places.__getitem__)
    tied = [n > 0 and places[i] == places[order[n - 1]] for n, i in enumerate(order)]
    return order, tied


def _project(
    point: np.ndarray, start: np.ndarray, end: np.ndarray, error: float
) -> tuple[float, float]:
    """Parameter of a point between two others, and what an error of its position makes of it."""
    along = end - start
    square = float(along @ along)
    if square == 0:
        return 0.5, UNBOUNDED
    param = float(np.clip((point - start) @ along / square, 0.0, 1.0))
    return param, error / square**0.5


def _rounded_point(point: Point | None) -> np.ndarray:
    """Coordinates to the nearest floats."""
    if point is None:
        raise InvariantError("two lines that cross are parallel")
    x, y, w = point
    return np.array([x / w, y / w])


def _rounded(value: Fraction) -> float:
    """The nearest float, but never zero for a number that is not."""
    nearest = float(value)
    if nearest == 0 and value:
        return 5e-324 if value > 0 else -5e-324
    return nearest
