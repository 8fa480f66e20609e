"""Partitions from their meshes."""

from __future__ import annotations

import numpy as np

from splinecam._kernels.arrays import Mesh
from splinecam.common.workers import Workers
from splinecam.cutting.mesh import Shared, check_mesh
from splinecam.network.bounds import coordinate_rounding
from splinecam.network.planar import PlanarNetwork
from splinecam.network.reduced import ReducedNetwork
from splinecam.partition.partition import Partition
from splinecam.slices import Slice
from splinecam.tiling.jobs import Tile
from splinecam.tiling.seams import TileMesh
from splinecam.tiling.stitch import stitch


def make_partition(
    slice_: Slice,
    network: PlanarNetwork | ReducedNetwork,
    mesh: Mesh,
    shared: Shared,
    root_pattern: np.ndarray,
) -> Partition:
    """A partition from its mesh, which is checked."""
    check_mesh(mesh, coordinate_rounding(slice_.polygon), Workers(None))
    return Partition(
        slice=slice_,
        network=network,
        vertices=mesh.vertices,
        edges=mesh.edges,
        edge_regions=mesh.edge_faces,
        edge_hinges=np.maximum(mesh.edge_labels, -1),
        shared_edges=shared.edges,
        shared_hinges=shared.codes,
        region_offsets=mesh.face_offsets,
        region_halfedges=mesh.face_halfedges,
        root_pattern=root_pattern,
    )


def tile_partition(slice_: Slice, network: ReducedNetwork, tile: Tile) -> Partition:
    """A tile of a slice by itself; corners that only its neighbours have go."""
    corners, sides = tile.cell.without_flat_corners()
    part = Slice(slice_.origin, slice_.basis, corners, slice_.input_shape)
    _, mesh, shared, root_pattern = tile.finished
    numbers = np.arange(len(tile.cell.points))
    mesh, shared = stitch([TileMesh(mesh, shared, numbers, sides)], network.units)
    return make_partition(part, network, mesh, shared, root_pattern)
