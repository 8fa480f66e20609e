"""A proof that a partition is exactly that of a network.

The network is the program with its stored coefficients taken as real numbers, on the plane of the
slice's stored floats. Taken from the partition is what is no float: which vertices, edges and
regions there are, their incidences, and the patterns q. Each vertex is *given* an exact place: a
corner of the slice; on a side of the slice, where an edge's line meets it; elsewhere, where the
lines of two of its edges meet. The line of an edge is the zero line of its hinge (a unit minus one
of its breakpoints, or the difference of the two members of a group that are largest on its sides),
as the affine function that follows from the pattern of the region on the edge's left. Shown is
then:

1. *Outline*: the outer edges form one loop that visits the slice's corners in order.
2. *Places*: two lines meet at every vertex, and the stored vertex is near, by a stated bound.
3. *Tiling*: every region's loop turns strictly left at each corner and has one minimum along a
   fixed direction, so it is a strictly convex polygon. The outer edges run along the sides of the
   slice, never back. The winding numbers of all loops around a point sum up to that of the
   outer loop, since every other edge is run through once in each direction. So every point inside
   the slice that is on no edge is in exactly one region.
4. *Signs*: the sign of every hinge h at every vertex is known. In every region, h >= 0 at all
   corners and > 0 at one where the pattern says that the breakpoint is exceeded, and h <= 0 at all
   corners where it says it is not. The member of a group that is largest by the pattern, minus any
   other one, is >= 0 at all corners, and > 0 at one if the other one comes first.

By induction over the layers, q is the pattern everywhere in the interior of each region: where it
is for the layers before, the hinges of this layer are affine on the region, and by continuity on
its closure; an affine function that is >= 0 at all corners and > 0 at one is > 0 inside; one that
is <= 0 at all corners is < 0 inside or zero throughout, which counts as not exceeded; and of equal
members the first one counts. As patterns
differ across every inner edge (the check *flips*), and as the points with one pattern form a
convex set, no two regions belong together: they are the linear regions. Each inner edge is where
the units that flip there are at their breakpoints, and the largest members of groups change.

One sign for each vertex and hinge is enough, though many regions share the vertex: given the
layers before, the affine functions that the regions around x have for h are all equal at x to the
network's own h(x), which is continuous. So h(x) may be bounded by running the network itself on a
box around x, or be computed in integers with the affine function of any region at x; and it is
zero without any computation for the two hinges whose lines define x.

All numbers are enclosed by `Ball`; where a ball does not decide, `ExactNetwork` does.
"""

from __future__ import annotations

from itertools import chain

import numpy as np

from splinecam.exact import ExactNetwork
from splinecam.program import Program
from splinecam.proof.certificate import Record, corner_regions, neighbours
from splinecam.proof.enclosures import EnclosedNetwork
from splinecam.proof.signs import Signs
from splinecam.proof.sites import Sites


def prove(record: Record, program: Program) -> None:
    """Add the checks of a proof to a record, each if those before it have passed.

    Parameters
    ----------
    record : Record
        Of a partition that is a sound subdivision, whose patterns differ across inner edges.
    program : Program
        The model, converted.

    Raises
    ------
    UnsupportedLayerError
        If exact arithmetic does not know a step.
    """
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        exact = ExactNetwork(program, record.partition.slice)
        enclosed = EnclosedNetwork(program, record.partition.slice)
        sites = Sites(record, exact, enclosed)
        if sites.check_outline() and sites.check_places() and _check_tiling(record, sites):
            Signs(record, exact, enclosed, sites).check()


def _check_tiling(record: Record, sites: Sites) -> bool:
    p, fail = record.partition, record.failure
    here, (before, after) = p.region_vertices, neighbours(p)
    regions, units = corner_regions(p), record.edge_units[p.region_halfedges >> 1]
    bent = np.flatnonzero(sites.turns(here[before], here, here[after]) <= 0)
    climbs = sites.climbs(*p.edges.T)
    rises = climbs[p.region_halfedges >> 1] * np.where(p.region_halfedges & 1, -1, 1) > 0
    n_minima = np.add.reduceat((rises & ~rises[before]).astype(int), p.region_offsets[:-1])
    winding = np.flatnonzero(n_minima != 1)
    outer = np.flatnonzero(p.edge_layers < 0)
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
