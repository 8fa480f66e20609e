"""Power diagrams: regions as cells of least power to a centroid, layer by layer.

The sum g(x) of a layer's activations is, within one region of the partition by the layers before
it (the *parent*), the sum of convex functions of affine ones, so that on each cell into which the
layer cuts the parent g is the greatest of all the cells' affine functions μ·x + c. As

    ‖x - μ‖² - τ = ‖x‖² - 2 (μ·x + c)    with τ = ‖μ‖² + 2c,

the cell is where its centroid μ and radius τ have the least power among the parent's cells: a power
diagram, which the layer makes of each parent (Balestriero, Cosentino, Aazhang & Baraniuk, "The
geometry of deep networks: power diagram subdivision", NeurIPS 2019, arXiv 1905.08443). It holds for
functions that are convex (ReLU, leaky ReLU of slope below 1, absolute value), whatever the layers
before have. Centroids need not lie in their cells.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import nn

from splinecam.common.arguments import as_float64, check_integer
from splinecam.common.types import Floats, Ints
from splinecam.errors import InvalidArgumentError, InvariantError, UnsupportedLayerError
from splinecam.measures.held import held_values, program_of
from splinecam.network.planar import PlanarNetwork
from splinecam.partition.partition import Partition

MAP_ENTRIES = 2**24
"""Entries of affine maps that are composed at a time."""

INPUT_ENTRIES = 2**24
"""Entries of inputs that are differentiated at a time."""

ROUNDING = 1e-9
"""Error that differences of powers may have, relative to the numbers that they are made of."""


@dataclass(frozen=True, eq=False, repr=False)
class PowerDiagram:
    """Centroids and radii of the cells that one layer makes; see `power_diagram`.

    Attributes
    ----------
    layer : int
        The layer, an index into `Partition.layer_names`.
    centroids : ndarray
        (C, d) float64: μ of each cell.
    radii : ndarray
        (C,) float64: τ of each cell, in units of squared lengths; it may be negative.
    parents : ndarray
        (C,) int64: which region of the partition by the layers before holds each cell. Only cells
        of one parent compete.
    cells : ndarray
        (R,) int64: which cell holds each region of the partition, cells being numbered in the
        order of their first regions; those of the last layer are the regions.
    """

    layer: int
    centroids: Floats
    radii: Floats
    parents: Ints
    cells: Ints

    def __post_init__(self) -> None:
        for array in (self.centroids, self.radii, self.parents, self.cells):
            array.setflags(write=False)

    def __repr__(self) -> str:
        n_cells, dim = self.centroids.shape
        n_parents = len(np.unique(self.parents))
        return (
            f"<PowerDiagram: layer {self.layer}, {n_cells:,} cells in {n_parents:,} parents, "
            f"centroids in R^{dim}>"
        )

    def assign(self, points: ArrayLike, parents: ArrayLike) -> Ints:
        """Find the cells that have the least power at points.

        Parameters
        ----------
        points : array_like
            (n, d).
        parents : array_like of int
            (n,), the parent whose cells compete for each point.

        Returns
        -------
        ndarray
            (n,) int64, the first of several with the least power.
        """
        x = as_float64("points", points, ("n", self.centroids.shape[1]), InvalidArgumentError)
        chosen = np.asarray(parents)
        if chosen.shape != (len(x),) or not np.isin(chosen, self.parents).all():
            raise InvalidArgumentError(
                f"parents has shape {chosen.shape}; accepted: a parent for each of {len(x)} points"
            )
        found = np.empty(len(x), np.int64)
        for parent in np.unique(chosen):
            rivals, rows = np.flatnonzero(self.parents == parent), np.flatnonzero(chosen == parent)
            centroids = self.centroids[rivals]
            constants = self.radii[rivals] - (centroids**2).sum(axis=1)
            # Less the ‖x‖² that all powers share, which would only add rounding.
            powers = -2 * x[rows] @ centroids.T - constants
            found[rows] = rivals[powers.argmin(axis=1)]
        return found


def power_diagram(
    partition: Partition, layer: int | None = None, *, model: nn.Module | None = None
) -> PowerDiagram:
    """Compute the power diagrams into which one layer subdivides the regions of those before.

    With f the map from the input to the layer's activations, on a cell f(x) = J x + b, that is
    μ = Jᵀ1 and τ = ‖μ‖² + 2·1ᵀb (Balestriero et al., NeurIPS 2019, arXiv 1905.08443).

    Parameters
    ----------
    partition : Partition
    layer : int, optional
        An index into `Partition.layer_names`. Default: the last one.
    model : torch.nn.Module, optional
        The partition's model: centroids and radii are then those in the input space. Default: they
        are those of the network restricted to the slice, in plane coordinates.

    Returns
    -------
    PowerDiagram
        With d = 2, or D, the dimension of the input space, with `model`.

    Raises
    ------
    InvalidArgumentError
        If there is no such layer, or the model has other layers than the partition.
    UnsupportedLayerError
        If the layer has a function that is not convex, so that nothing makes its regions cells.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> fold = torch.nn.Sequential(torch.nn.Linear(2, 1), torch.nn.ReLU())
    >>> with torch.no_grad():
    ...     _ = fold[0].weight.copy_(torch.tensor([[2.0, 0.0]])), fold[0].bias.fill_(1.0)
    >>> p = sc.compute_partition(fold, sc.Slice.box((-1, 1), (-1, 1)))
    >>> diagram = sc.power_diagram(p)
    >>> diagram.centroids.tolist(), diagram.radii.tolist()
    ([[2.0, 0.0], [0.0, 0.0]], [6.0, 0.0])
    >>> sc.check_power_cells(p)
    PowerCheck(n_parents=1, n_cells=2, n_walls=1, deviation=0.0)
    """
    number = _checked_layer(partition, layer)
    cells, parents, members = _nested(partition, number)
    if model is None:
        centroids, constants = _in_plane(partition, number, members)
    else:
        centroids, constants = _in_input_space(partition, number, members, model)
    radii = (centroids**2).sum(axis=1) + 2 * constants
    return PowerDiagram(number, centroids, radii, parents, cells)


def layer_power_diagram(partition: Partition, layer: int | None = None) -> PowerDiagram:
    """Compute one layer's power diagram in the space of the layer's own input.

    There the cells do not depend on the layers before: with the layer's weight W and bias b, and
    a ReLU's activation pattern q, they are μ = Wᵀq and τ = ‖μ‖² + 2 qᵀb, for other convex
    functions likewise with their slopes and offsets; all cells compete (Balestriero et al.,
    NeurIPS 2019, arXiv 1905.08443).

    Parameters
    ----------
    partition, layer
        As for `power_diagram`.

    Returns
    -------
    PowerDiagram
        With d the number of the layer's inputs, 2 plane coordinates for the first layer. Cells of
        different parents with the same pattern have the same centroid and radius; `parents` is 0.

    Examples
    --------
    >>> import torch, splinecam as sc
    >>> model = torch.nn.Sequential(
    ...     torch.nn.Linear(2, 3), torch.nn.ReLU(), torch.nn.Linear(3, 4), torch.nn.ReLU()
    ... )
    >>> p = sc.compute_partition(model, sc.Slice.box((-1, 1), (-1, 1)))
    >>> sc.layer_power_diagram(p).centroids.shape == (p.n_regions, 3)
    True
    """
    number = _checked_layer(partition, layer)
    cells, parents, members = _nested(partition, number)
    own = _chain(partition).layers[number]
    slopes, offsets = own.pieces(partition.patterns(members)[:, _own_units(partition, number)])
    centroids = slopes @ own.weight
    constants = slopes @ own.bias + offsets.sum(axis=1)
    radii = (centroids**2).sum(axis=1) + 2 * constants
    return PowerDiagram(number, centroids, radii, np.zeros_like(parents), cells)


class PowerCheck(NamedTuple):
    """What `check_power_cells` has looked at."""

    n_parents: int
    """Number of regions of the partition by the layers before."""
    n_cells: int
    """Number of cells that the layer makes of them."""
    n_walls: int
    """Number of edges between cells of one parent."""
    deviation: float
    """The largest distance of such an edge's end from where the cells' powers are equal, in plane
    coordinates."""


def check_power_cells(partition: Partition, layer: int | None = None) -> PowerCheck:
    """Check that the power cells are the regions that a layer makes of those before it.

    At the ends of every edge between two cells of one parent the powers of the two are compared:
    they have to be equal, and each cell's less on its own side. Then μ·x + c, the piecewise affine
    function of the cells, is continuous and convex across every edge, so convex on the parent,
    where each cell is therefore where its own affine function is the greatest.

    Parameters
    ----------
    partition, layer
        As for `power_diagram`, of which the cells are taken in plane coordinates.

    Returns
    -------
    PowerCheck

    Raises
    ------
    InvariantError
        If an edge is not where the powers are equal, or a cell's power is less on the other side.
    UnsupportedLayerError
        If the layer has a function that is not strictly convex at each breakpoint: cells on its two
        sides would have the same power.
    """
    number = _checked_layer(partition, layer)
    own = _chain(partition).layers[number]
    if (np.diff(own.slopes, axis=1) == 0).any():
        raise UnsupportedLayerError(
            f"layer {number} ({own.name}) has a breakpoint at which the slope does not change: no "
            "power tells the regions on its two sides apart"
        )
    diagram = power_diagram(partition, number)
    walls = np.flatnonzero(partition.edge_layers == number)
    left, right = diagram.cells[partition.edge_regions[walls]].T
    constants = (diagram.radii - (diagram.centroids**2).sum(axis=1)) / 2
    normals = diagram.centroids[left] - diagram.centroids[right]
    start, stop = partition.vertices[partition.edges[walls]].swapaxes(0, 1)
    heights = np.stack(
        [
            (normals * end).sum(axis=1) + (constants[left] - constants[right])
            for end in (start, stop)
        ]
    )
    along = stop - start
    inward = normals[:, 1] * along[:, 0] - normals[:, 0] * along[:, 1]
    largest = np.abs(partition.slice.polygon).max()
    sizes = largest * np.abs(diagram.centroids).sum(axis=1) + np.abs(constants)
    wrong = (np.abs(heights) > ROUNDING * (sizes[left] + sizes[right])).any(axis=0)
    if (wrong | (inward <= 0)).any():
        edge = walls[np.flatnonzero(wrong | (inward <= 0))[0]]
        raise InvariantError(
            f"edge {edge} of layer {number} ({own.name}) is not where the powers of the cells on "
            "its two sides are equal, each less on its own"
        )
    deviations = np.abs(heights) / np.hypot(normals[:, 0], normals[:, 1])
    n_parents = len(np.unique(diagram.parents))
    return PowerCheck(n_parents, len(diagram.radii), len(walls), float(deviations.max(initial=0.0)))


def _checked_layer(partition: Partition, layer: int | None) -> int:
    """The number of a layer whose functions are convex, or a refusal."""
    n_layers = len(partition.layer_names)
    if not n_layers:
        raise InvalidArgumentError("partition has no layers, so no power diagram")
    if layer is None:
        layer = n_layers - 1
    check_integer("layer", layer, 0, n_layers - 1)
    own = _chain(partition).layers[layer]
    if (np.diff(own.slopes, axis=1) < 0).any():
        raise UnsupportedLayerError(
            f"layer {layer} ({own.name}) has a function that is not convex (its slope falls at a "
            "breakpoint), so that its regions are no power cells"
        )
    return int(layer)


def _chain(partition: Partition) -> PlanarNetwork:
    """The partition's network, or a refusal if it does not consist of layers one after another."""
    if isinstance(partition.network, PlanarNetwork):
        return partition.network
    raise UnsupportedLayerError(
        "partition is by a network with branches, max groups or many layers, which is cut by its "
        "unsteady units only; power diagrams are of short plain chains of layers"
    )


def _nested(partition: Partition, layer: int) -> tuple[Ints, Ints, Ints]:
    """The cell of each region (R,), the parent of each cell (C,), a region in each cell (C,)."""
    outer, cells = (labels.astype(np.int64) for labels in partition.nesting.labels[layer:][:2])
    members = np.unique(cells, return_index=True)[1].astype(np.int64)
    return cells, outer[members], members


def _own_units(partition: Partition, layer: int) -> slice:
    """Which of all units are a layer's."""
    start = sum(partition.layer_sizes[:layer])
    return slice(start, start + partition.layer_sizes[layer])


def _batches(count: int, entries: int, limit: int) -> Iterator[slice]:
    """Cut a range into parts of about `limit` entries, with so many for each item."""
    step = max(1, limit // entries)
    return (slice(start, start + step) for start in range(0, count, step))


def _in_plane(partition: Partition, layer: int, members: Ints) -> tuple[Floats, Floats]:
    """Gradients (C, 2) and offsets (C,) of the sum of a layer's activations in some regions."""
    network, units = _chain(partition), _own_units(partition, layer)
    gradients, constants = np.empty((len(members), 2)), np.empty(len(members))
    for some in _batches(len(members), 3 * max(partition.layer_sizes), MAP_ENTRIES):
        patterns = partition.patterns(members[some])
        maps, values = network.preactivation_maps(layer, patterns)
        slopes, offsets = network.layers[layer].pieces(patterns[:, units])
        gradients[some] = np.einsum("ku,kud->kd", slopes, maps)
        constants[some] = (slopes * values + offsets).sum(axis=1)
    return gradients, constants


def _in_input_space(
    partition: Partition, layer: int, members: Ints, model: nn.Module
) -> tuple[Floats, Floats]:
    """Gradients (C, D) and offsets (C,) likewise, by one backward pass through the model."""
    names, sizes = partition.layer_names, partition.layer_sizes
    program = program_of(model, partition.slice.input_shape, names, sizes)
    dim = partition.slice.dim
    gradients, constants = np.empty((len(members), dim)), np.empty(len(members))
    for some in _batches(len(members), max(dim, *sizes), INPUT_ENTRIES):
        chosen = members[some]
        points = partition.slice.embed(partition.centroids[chosen])
        with torch.inference_mode(False), torch.enable_grad():
            x = torch.from_numpy(points).requires_grad_()
            sums = held_values(program, x, partition.patterns(chosen), layer).flatten(1).sum(dim=1)
            (slopes,) = torch.autograd.grad(sums.sum(), x)
        gradients[some] = slopes.flatten(1).numpy()
        at_points = (gradients[some] * points.reshape(-1, dim)).sum(axis=1)
        constants[some] = sums.detach().numpy() - at_points
    return gradients, constants
