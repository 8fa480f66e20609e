"""The partition of a slice into linear regions."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from os import PathLike
from typing import NamedTuple, TypeVar

import numpy as np
import shapely
from numpy.typing import ArrayLike, NDArray

from splinecam._kernels.loops import measure_faces
from splinecam.common.arguments import as_float64
from splinecam.common.types import Floats, Ints
from splinecam.cutting.flips import find_flips
from splinecam.errors import (
    InvalidArgumentError,
    InvalidFileError,
    InvalidModelError,
    InvariantError,
)
from splinecam.network.bounds import vertex_error
from splinecam.network.planar import PlanarNetwork
from splinecam.network.reduced import ReducedNetwork
from splinecam.partition import archive as _archive
from splinecam.partition.consistency import check_consistency
from splinecam.partition.invariants import check_invariants
from splinecam.partition.maps import MapWalk
from splinecam.partition.nesting import Nesting
from splinecam.partition.output_maps import OutputMaps
from splinecam.partition.patterns import PatternWalk
from splinecam.partition.reduced_maps import ReducedMapWalk
from splinecam.partition.region_tree import RegionTree
from splinecam.slices import Slice

AnyArray = TypeVar("AnyArray", bound=np.ndarray)


class EdgeFlips(NamedTuple):
    """Which units change across interior edges, one entry for each edge and unit."""

    edges: Ints
    """(n,) int32, ascending."""
    layers: Ints
    """(n,) int32, indices into `Partition.layer_names`."""
    units: Ints
    """(n,) int32, within the layer."""
    steps: NDArray[np.int16]
    """(n,) int16: the unit's pattern on the left of the edge minus that on the right."""


@dataclass(frozen=True, eq=False, repr=False)
class Partition:
    """All linear regions of a network on a slice, as a planar subdivision.

    Made by `compute_partition`. Vertices and edges are shared between neighbouring regions; every
    array is read-only.

    Parameters
    ----------
    slice : Slice
        The slice.
    network : PlanarNetwork or ReducedNetwork
        The network restricted to the slice.
    vertices : ndarray
        (V, 2) float64, plane coordinates.
    edges : ndarray
        (E, 2) int32, the vertices that each edge runs from and to. An interior edge has the
        regions where its unit exceeds the breakpoint on its left; an outer edge has the slice.
    edge_regions : ndarray
        (E, 2) int32, the regions left and right of each edge; -1 outside the slice.
    edge_hinges : ndarray
        (E,) int32, which breakpoint of which unit made the edge, counted through the network;
        -1 on the slice's boundary. `edge_layers` and `edge_units` say it in the model's terms.
    region_offsets : ndarray
        (R + 1,) int32, where each region's loop begins in `region_halfedges` and
        `region_vertices`.
    region_halfedges : ndarray
        int32, counter-clockwise loops: ``2 e`` where the loop runs along edge ``e`` (the region is
        on its left), ``2 e + 1`` where it runs against it.
    root_pattern : ndarray
        (n_units,) unsigned, the activation pattern of region ``edge_regions[0, 0]``.
    shared_edges, shared_hinges : ndarray
        (n,) int64, the breakpoints beyond the first that coincide with an edge: the edge,
        ascending, and ``2 h``, or ``2 h + 1`` where breakpoint h is exceeded on the right instead
        of the left. `edge_flips` says it in the model's terms.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[1.0, 0.0]])), fold[0].bias.zero_()
    >>> p = sc.compute_partition(fold, sc.Slice.box((-1, 1), (-1, 1)))
    >>> p
    <Partition: 2 regions, 7 edges, 6 vertices; 1 unit in 1 layer>
    >>> [tuple(flip.tolist()) for flip in p.edge_flips]
    [(6,), (0,), (0,), (1,)]
    >>> left, right = p.edge_regions[6]
    >>> p.patterns([left, right]).tolist(), p.areas.tolist()
    ([[1], [0]], [2.0, 2.0])
    """

    slice: Slice
    network: PlanarNetwork | ReducedNetwork
    vertices: Floats
    edges: Ints
    edge_regions: Ints
    edge_hinges: Ints
    region_offsets: Ints
    region_halfedges: Ints
    root_pattern: NDArray[np.uint8]
    shared_edges: NDArray[np.int64]
    shared_hinges: NDArray[np.int64]

    def __post_init__(self) -> None:
        for array in vars(self).values():
            if isinstance(array, np.ndarray):
                array.setflags(write=False)

    def __repr__(self) -> str:
        def count(number: int, noun: str) -> str:
            return f"{number:,} {noun}{'' if number == 1 else 's'}"

        vertices = f"{self.n_vertices:,} {'vertex' if self.n_vertices == 1 else 'vertices'}"
        return (
            f"<Partition: {count(self.n_regions, 'region')}, {count(self.n_edges, 'edge')}, "
            f"{vertices}; {count(self.n_units, 'unit')} in "
            f"{count(len(self.layer_names), 'layer')}>"
        )

    n_regions = property(lambda self: len(self.region_offsets) - 1, doc="Number of regions.")
    n_vertices = property(lambda self: len(self.vertices), doc="Number of vertices.")
    n_edges = property(lambda self: len(self.edges), doc="Number of edges, outer ones included.")
    n_units = property(lambda self: len(self.root_pattern), doc="Number of units.")

    @property
    def layer_names(self) -> tuple[str, ...]:
        """The piecewise-linear steps in execution order, named as in the model."""
        return self.network.units.names

    @property
    def layer_sizes(self) -> tuple[int, ...]:
        """Number of units of each step."""
        return self.network.units.sizes

    @cached_property
    def edge_layers(self) -> Ints:
        """(E,) int32: the step that made each edge, an index into `layer_names`; -1 outside."""
        return _frozen(self._per_edge(self.network.units.hinge_layers))

    @cached_property
    def edge_units(self) -> Ints:
        """(E,) int32: the unit, within its step, that made each edge; -1 outside."""
        return _frozen(self._per_edge(self.network.units.hinge_units))

    def _per_edge(self, per_hinge: NDArray[np.intp]) -> Ints:
        """Look hinges' numbers up for all edges; -1 for outer edges."""
        return np.append(per_hinge, -1).astype(np.int32)[self.edge_hinges]

    @cached_property
    def edge_lengths(self) -> Floats:
        """(E,) float64: lengths in plane coordinates."""
        start, stop = self.edges.T
        along = self.vertices[stop] - self.vertices[start]
        return _frozen(np.hypot(along[:, 0], along[:, 1]))

    @cached_property
    def edge_flips(self) -> EdgeFlips:
        """Every unit that changes across each interior edge, sorted by edge, first unit first."""
        inner = np.flatnonzero(self.edge_hinges >= 0)
        edges = np.concatenate([inner, self.shared_edges])
        hinges = np.concatenate([self.edge_hinges[inner], self.shared_hinges >> 1])
        signs = np.concatenate([np.ones(len(inner)), 1 - 2 * (self.shared_hinges & 1)])
        order = np.lexsort([hinges, edges])
        hinges = hinges[order]
        steps = self.network.units.hinge_steps[hinges] * signs[order]
        return EdgeFlips(
            _frozen(edges[order].astype(np.int32)),
            _frozen(self.network.units.hinge_layers[hinges].astype(np.int32)),
            _frozen(self.network.units.hinge_units[hinges].astype(np.int32)),
            _frozen(steps.astype(np.int16)),
        )

    @cached_property
    def region_vertices(self) -> Ints:
        """int32: the loops as vertices, counter-clockwise; see `region_offsets`."""
        halfedges = self.region_halfedges
        return _frozen(self.edges[halfedges >> 1, halfedges & 1])

    @property
    def areas(self) -> Floats:
        """(R,) float64: areas in plane coordinates."""
        return self._measures[0]

    @property
    def perimeters(self) -> Floats:
        """(R,) float64: perimeters in plane coordinates."""
        return self._measures[1]

    @property
    def centroids(self) -> Floats:
        """(R, 2) float64: centroids in plane coordinates."""
        return self._measures[2]

    @cached_property
    def _measures(self) -> tuple[Floats, Floats, Floats]:
        count = self.n_regions
        areas, perimeters, centroids = np.empty(count), np.empty(count), np.empty((count, 2))
        loops = (self.vertices, self.edges, self.region_offsets, self.region_halfedges)
        measure_faces(0, count, *loops, areas, perimeters, centroids)
        return _frozen(areas), _frozen(perimeters), _frozen(centroids)

    @cached_property
    def polygons(self) -> NDArray[np.object_]:
        """(R,) array of `shapely.Polygon` in plane coordinates."""
        sizes = np.diff(self.region_offsets)
        # A shapely ring repeats its first vertex at the end.
        closed = np.insert(
            self.region_vertices,
            self.region_offsets[1:],
            self.region_vertices[self.region_offsets[:-1]],
        )
        rings = shapely.linearrings(
            self.vertices[closed], indices=np.repeat(np.arange(self.n_regions), sizes + 1)
        )
        return np.asarray(shapely.polygons(rings))

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.polygons)

    def locate(self, uv: ArrayLike) -> NDArray[np.int64]:
        """Find the regions that hold points.

        Parameters
        ----------
        uv : array_like
            (n, 2), plane coordinates.

        Returns
        -------
        ndarray
            (n,) int64; -1 outside the slice. A point on an edge is in one of its regions.
        """
        points = as_float64("uv", uv, ("n", 2), InvalidArgumentError)
        which, regions = self._tree.query(shapely.points(points), predicate="intersects")
        found = np.full(len(points), self.n_regions, np.int64)
        np.minimum.at(found, which, regions)
        return np.where(found == self.n_regions, -1, found)

    def patterns(self, regions: ArrayLike | None = None) -> NDArray[np.uint8]:
        """Activation patterns: how many of its breakpoints each unit exceeds.

        Parameters
        ----------
        regions : array_like of int, optional
            Which regions, (k,). Default: all.

        Returns
        -------
        ndarray
            (k, n_units) unsigned int, units in execution order; for a ReLU 1 where z > 0.
        """
        return self._pattern_walk.patterns(self._region_numbers(regions), 0, self.n_units)

    def affine_maps(self, regions: ArrayLike | None = None) -> tuple[Floats, Floats]:
        """The network's affine map on each region: output = A u + b in plane coordinates.

        That is A = W_L D_L … W_1 D_1 W_0, with D_l the slopes of layer l's units where they have
        the region's activation pattern (Balestriero & Baraniuk, ICML 2018, §3). Maps of chosen
        regions are composed so, those of all regions as `splinecam.partition.maps` explains; maps
        of networks that are no plain chains as `splinecam.partition.reduced_maps` does.

        Parameters
        ----------
        regions : array_like of int, optional
            Which regions, (k,). Default: all.

        Returns
        -------
        A : ndarray
            (k, out, 2) float64, for the flattened output.
        b : ndarray
            (k, out) float64.
        """
        if regions is None:
            return self.output_maps.all()
        return self.output_maps.compose(self._region_numbers(regions))

    @cached_property
    def output_maps(self) -> OutputMaps:
        """The affine maps on the regions, as they are kept."""
        return OutputMaps(self.network, self.n_regions, self.map_walk, lambda: self._pattern_walk)

    def with_outputs(self, weight: Floats, bias: Floats) -> Partition:
        """The same regions of a network with ``weight @ output + bias`` for its outputs."""
        other = replace(self, network=self.network.with_outputs(weight, bias))
        other.output_maps.derive(self.output_maps, weight, bias)
        return other

    @cached_property
    def nesting(self) -> Nesting:
        """How the partitions by the first layers nest."""
        return Nesting(self.n_regions, len(self.layer_names), self.edge_regions, self.edge_layers)

    def map_walk(self) -> MapWalk | ReducedMapWalk:
        """A walk through the regions with the affine maps on them."""
        if isinstance(self.network, ReducedNetwork):
            return ReducedMapWalk(self.network, self._region_tree, self._pattern_walk.boxes)
        shared = (self.shared_edges, self.shared_hinges)
        return MapWalk(
            self.network, self.nesting, self.edge_hinges, *shared, self._pattern_walk.patterns
        )

    @cached_property
    def _region_tree(self) -> RegionTree:
        margin = vertex_error(self.slice.polygon)
        return RegionTree(self.vertices, self.region_offsets, self.region_vertices, margin)

    @cached_property
    def _pattern_walk(self) -> PatternWalk:
        shared = (self.shared_edges, self.shared_hinges)
        return PatternWalk(
            self.edge_regions[0, 0],
            self.root_pattern,
            *(self.region_offsets, self.region_halfedges, self.edge_regions),
            find_flips(self.network.units, 0, self.edge_hinges, shared),
        )

    def _region_numbers(self, regions: ArrayLike | None) -> NDArray[np.intp]:
        if regions is None:
            return np.arange(self.n_regions)
        chosen = np.asarray(regions)
        if chosen.ndim != 1 or not (np.issubdtype(chosen.dtype, np.integer) or not chosen.size):
            raise InvalidArgumentError(
                f"regions has shape {chosen.shape} and type {chosen.dtype}; "
                "accepted: a list of region numbers"
            )
        wrong = (chosen < 0) | (chosen >= self.n_regions)
        if wrong.any():
            raise InvalidArgumentError(
                f"regions holds {chosen[wrong][0]}; accepted: 0 to {self.n_regions - 1}"
            )
        return chosen.astype(np.intp)

    def save(self, path: str | PathLike[str]) -> None:
        """Write to a versioned ``.npz`` file without pickled objects."""
        _archive.save(self, path)

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Partition:
        """Read what `save` wrote, if it is a sound partition by the network that came with it.

        The patterns are compared with the network's own pre-activations in all regions or, of very
        large partitions, in some.

        Raises
        ------
        InvalidFileError
            If the file is not a partition, is damaged, or is of an unknown version.
        """
        partition = cls(**_archive.load(path))
        try:
            partition.check_invariants()
            check_consistency(partition)
        except (InvariantError, InvalidModelError) as error:
            raise InvalidFileError(f"{path} is damaged: {error}") from error
        return partition

    def check_invariants(self) -> None:
        """Raise `InvariantError` unless this is a sound subdivision of the slice."""
        check_invariants(self)


def _frozen(array: AnyArray) -> AnyArray:
    array.setflags(write=False)
    return array
