"""A proof that a partition is exactly that of a network.

The network is the program with its stored coefficients taken as real numbers, on the plane of the
slice's stored floats. Taken from the partition is what is no float: which vertices, edges and
regions there are, their incidences, and the patterns q. Each vertex is *given* an exact place: a
corner of the slice; on a side of the slice, where an edge's line meets it; elsewhere, where the
lines of two of its edges meet. The line of an edge is the zero line of its hinge (a unit minus one
of its breakpoints), as the affine function that follows from the pattern of the region on the
edge's left. Shown is then:

1. *Outline*: the outer edges form one loop that visits the slice's corners in order.
2. *Places*: two lines meet at every vertex, and the stored vertex is near, by a stated bound.
3. *Tiling*: every region's loop turns strictly left at each corner and has one minimum along a
   fixed direction, so it is a strictly convex polygon. The outer edges run along the sides of the
   slice, never back. The winding numbers of all loops around a point sum up to that of the
   outer loop, since every other edge is run through once in each direction. So every point inside
   the slice that is on no edge is in exactly one region.
4. *Signs*: the sign of every hinge h at every vertex is known. In every region, h >= 0 at all
   corners and > 0 at one where the pattern says that the breakpoint is exceeded, and h <= 0 at all
   corners where it says it is not.

By induction over the layers, q is the pattern everywhere in the interior of each region: where it
is for the layers before, the hinges of this layer are affine on the region, and by continuity on
its closure; an affine function that is >= 0 at all corners and > 0 at one is > 0 inside; one that
is <= 0 at all corners is < 0 inside or zero throughout, which counts as not exceeded. As patterns
differ across every inner edge (the check *flips*), and as the points with one pattern form a
convex set, no two regions belong together: they are the linear regions. Each inner edge is where
the units that flip there are at their breakpoints.

One sign for each vertex and hinge is enough, though many regions share the vertex: given the
layers before, the affine functions that the regions around x have for h are all equal at x to the
network's own h(x), which is continuous. So h(x) may be bounded by running the network itself on a
box around x, or be computed in integers with the affine function of any region at x; and it is
zero without any computation for the two hinges whose lines define x.

All numbers are enclosed by `Ball`; where a ball does not decide, `ExactNetwork` does.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, groupby
from operator import itemgetter

import numpy as np
from numpy.typing import NDArray

from splinecam._types import Ints, Patterns
from splinecam.certificate import Record, batches, corner_regions, neighbours
from splinecam.enclosures import Ball, EnclosedNetwork
from splinecam.exact import sign_at
from splinecam.program import Program
from splinecam.sites import Sites


def prove(record: Record, program: Program, patterns: Patterns) -> None:
    """Add the checks of a proof to a record, each if those before it have passed.

    Parameters
    ----------
    record : Record
        Of a partition that is a sound subdivision, whose patterns differ across inner edges.
    program : Program
        The model, converted.
    patterns : ndarray
        (R, units) of all regions.

    Raises
    ------
    UnsupportedLayerError
        If exact arithmetic does not know a step.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        sites = Sites(record, program, patterns)
        if sites.check_outline() and sites.check_places() and _check_tiling(record, sites):
            _Signs(record, program, patterns, sites).check()


def _check_tiling(record: Record, sites: Sites) -> bool:
    p, fail = record.partition, record.failure
    here, (before, after) = p.region_vertices, neighbours(p)
    regions, units = corner_regions(p), record.edge_units[p.region_halfedges >> 1]
    bent = np.flatnonzero(sites.turns(here[before], here, here[after]) <= 0)
    climbs = sites.climbs(*p.edges.T)
    rises = climbs[p.region_halfedges >> 1] * np.where(p.region_halfedges & 1, -1, 1) > 0
    n_minima = np.add.reduceat((rises & ~rises[before]).astype(int), p.region_offsets[:-1])
    winding = np.flatnonzero(n_minima != 1)
    outer = np.flatnonzero(p.edge_hinges < 0)
    side_climbs = sites.climbs(sites.corners, np.roll(sites.corners, -1))
    backwards = outer[climbs[outer] != side_climbs[sites.sides[outer]]]
    failures = chain(
        (fail("tiling", f"no left turn at vertex {here[i]}", regions[i], units[i]) for i in bent),
        (fail("tiling", "the loop goes round more than once", region) for region in winding),
        (fail("tiling", f"edge {e} runs backwards", p.edge_regions[e, 0]) for e in backwards),
    )
    detail = "corners of regions: exact vertices make strictly convex loops that tile the slice"
    n_wrong = len(bent) + len(winding) + len(backwards)
    return record.add("tiling", len(here), detail, failures, n_wrong)


class _Signs:
    """The signs of all hinges at all vertices."""

    def __init__(self, record: Record, program: Program, patterns: Patterns, sites: Sites):
        layers = record.partition.network.layers
        self._record = record
        self._partition = record.partition
        self._patterns = patterns
        self._sites = sites
        self._enclosed_network = EnclosedNetwork(program, record.partition.slice)
        self._first_hinges = np.cumsum([0, *(layer.n_hinges for layer in layers)])

    def check(self) -> bool:
        """Check that they are those of the patterns."""
        record = self._record
        signs = self._enclosed_signs()
        record.n_interval = int(np.count_nonzero(signs))
        record.n_exact = signs.size - record.n_interval
        n_computed = self._compute(signs, *np.nonzero((signs == 0) & ~self._zero_by_definition()))
        wrong = np.concatenate([np.zeros((0, 2), int), *self._contradictions(signs)])
        failures = (
            record.failure("signs", "the exact signs at the corners are not the pattern's", *place)
            for place in zip(wrong[:, 0], record.hinge_units[wrong[:, 1]], strict=True)
        )
        detail = (
            f"pairs of a vertex and a hinge: {record.n_interval:,} by intervals, "
            f"{record.n_exact - n_computed:,} as the hinge defines the vertex, "
            f"{n_computed:,} in integers"
        )
        return record.add("signs", signs.size, detail, failures, len(wrong))

    def _enclosed_signs(self) -> NDArray[np.int8]:
        """Signs (V, H), 0 where they are not certain."""
        p = self._partition
        signs = np.empty((p.n_vertices, self._first_hinges[-1]), np.int8)
        for batch in batches(p.n_vertices, max(p.layer_sizes, default=1)):
            layers = self._enclosed_network.preactivations(self._sites.enclosed[batch])
            for (bend, z), start in zip(layers, self._first_hinges[:-1], strict=True):
                m, stop = len(bend.breakpoints), start + bend.breakpoints.size
                for rank, breakpoints in enumerate(bend.breakpoints):
                    signs[batch, start + rank : stop : m] = (z - Ball.of(breakpoints)).signs
        return signs

    def _zero_by_definition(self) -> NDArray[np.bool_]:
        """Which hinges have zero lines that define which vertices, (V, H)."""
        p, sites = self._partition, self._sites
        zero = np.zeros((p.n_vertices, self._first_hinges[-1]), bool)
        for edges in (sites.first, sites.second):
            hinges = np.where(sites.is_computed, -1, p.edge_hinges[edges])
            hinges[sites.corners] = -1
            crossings = np.flatnonzero(hinges >= 0)
            zero[crossings, hinges[crossings]] = True
        return zero

    def _compute(self, signs: NDArray[np.int8], vertices: Ints, hinges: Ints) -> int:
        """Write the exact signs of pairs of a vertex and a hinge; return how many there are."""
        regions = self._partition.edge_regions[self._sites.first[vertices], 0]
        layers = np.searchsorted(self._first_hinges, hinges, side="right") - 1
        # Pairs in the same region share most of the work.
        order = np.lexsort((hinges, vertices, regions))
        columns = (x[order].tolist() for x in (regions, vertices, layers, hinges))
        pairs = zip(*columns, strict=True)
        for (region, vertex, layer), group in groupby(pairs, key=itemgetter(0, 1, 2)):
            chosen = [hinge for *_, hinge in group]
            numbers = [int(hinge - self._first_hinges[layer]) for hinge in chosen]
            rows = self._sites.exact.hinges(layer, self._patterns[region], numbers)
            point = self._sites.point(vertex)
            signs[vertex, chosen] = [sign_at(row, point) for row in rows]
        return len(order)

    def _contradictions(self, signs: NDArray[np.int8]) -> Iterator[Ints]:
        """Pairs (n, 2) of a region and a hinge whose signs at the corners are not the pattern's."""
        p = self._partition
        for batch in batches(p.n_regions, 8 * signs.shape[1]):
            offsets = p.region_offsets[batch.start : batch.stop + 1]
            corners = signs[p.region_vertices[offsets[0] : offsets[-1]]]
            starts = offsets[:-1] - offsets[0]
            lowest = np.minimum.reduceat(corners, starts)
            highest = np.maximum.reduceat(corners, starts)
            exceeded = self._record.exceeded(self._patterns[batch])
            wrong = np.where(exceeded, (lowest < 0) | (highest <= 0), highest > 0)
            yield np.argwhere(wrong) + np.array([batch.start, 0])
