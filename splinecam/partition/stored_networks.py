"""Networks on a slice as named arrays and a header, for files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from splinecam.errors import InvalidFileError
from splinecam.network.planar import Layer, PlanarNetwork
from splinecam.network.reduced import ReducedLayer, ReducedNetwork
from splinecam.network.tournaments import Round, Tournament
from splinecam.network.units import Units

Arrays = dict[str, np.ndarray]

LAYER = {
    "weight": 2,
    "bias": 1,
    "breakpoints": 2,
    "slopes": 2,
    "anchors": 1,
    "weight_errors": 1,
    "bias_errors": 1,
}
"""Arrays of a layer, all float64: number of dimensions."""

ROUND = ("nodes", "groups", "splits", "stops")
"""Arrays of a round, all (n,) int64."""

TOURNAMENT = {"members": 2, "children": 2, "roots": 1}
"""Arrays of a tournament, all int64: number of dimensions."""

UNITS = ("names", "sizes", "highest", "are_groups")
"""What the header says of each step of a reduced network."""


def network_header(network: PlanarNetwork | ReducedNetwork) -> dict[str, Any]:
    """What describes a network besides its arrays; can be written as JSON."""
    if isinstance(network, PlanarNetwork):
        return {"layers": network.units.names}
    units = {field: getattr(network.units, field) for field in UNITS}
    return {"units": units, "steps": [layer.step for layer in network.layers]}


def network_arrays(network: PlanarNetwork | ReducedNetwork) -> Arrays:
    """The arrays of a network by their names."""
    arrays: dict[str, np.ndarray] = {"output.weight": network.weight, "output.bias": network.bias}
    for number, layer in enumerate(network.layers):
        arrays |= {f"layer{number}.{field}": getattr(layer, field) for field in LAYER}
        if isinstance(layer, ReducedLayer):
            arrays[f"layer{number}.units"] = layer.units
            if layer.round is not None:
                arrays |= {f"layer{number}.{name}": getattr(layer.round, name) for name in ROUND}
    if isinstance(network, ReducedNetwork):
        arrays["rest"] = network.rest
        for step, tournament in network.tournaments.items():
            arrays |= {f"max{step}.{name}": getattr(tournament, name) for name in TOURNAMENT}
    return arrays


def read_network(
    header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> PlanarNetwork | ReducedNetwork:
    """The network that a header and arrays describe.

    Raises
    ------
    InvalidFileError, KeyError, TypeError, ValueError
        If they are damaged, whatever the damage is.
    """
    outputs = _floats(arrays, "output", {"weight": 2, "bias": 1})
    if "units" not in header:
        names = enumerate(header["layers"])
        layers = (Layer(name, **_floats(arrays, f"layer{n}", LAYER)) for n, name in names)
        network = PlanarNetwork(tuple(layers), **outputs)
        network.check_shapes()
        return network
    units = _read_units(header["units"])
    network = ReducedNetwork(
        units=units,
        layers=tuple(_read_layer(arrays, n, s, units) for n, s in enumerate(header["steps"])),
        **outputs,
        rest=take(arrays, "rest", _pattern_type(units), 1),
        tournaments={
            step: Tournament(
                **{field: take(arrays, f"max{step}.{field}", np.int64, ndim)
                for field, ndim in TOURNAMENT.items()}
            )
            for step in np.flatnonzero(units.are_groups).tolist()
        },
    )  # fmt: skip
    network.check_shapes()
    return network


def take(
    arrays: Mapping[str, np.ndarray], name: str, dtype: type[np.generic], ndim: int
) -> np.ndarray:
    """An array that is what it has to be."""
    array = arrays[name]
    if array.dtype != dtype or array.ndim != ndim:
        raise InvalidFileError(
            f"{name} has type {array.dtype} and {array.ndim} dimensions, "
            f"expected {np.dtype(dtype)} and {ndim}"
        )
    return np.ascontiguousarray(array)


def _floats(arrays: Mapping[str, np.ndarray], prefix: str, fields: Mapping[str, int]) -> Arrays:
    return {
        field: take(arrays, f"{prefix}.{field}", np.float64, ndim) for field, ndim in fields.items()
    }


def _pattern_type(units: Units) -> type[np.unsignedinteger]:
    return np.uint8 if max(units.highest, default=0) < 256 else np.uint16


def _read_units(header: Mapping[str, Any]) -> Units:
    names, sizes, highest, are_groups = (tuple(header[field]) for field in UNITS)
    if not len(names) == len(sizes) == len(highest) == len(are_groups):
        raise InvalidFileError("units has parts of different lengths")
    counts = (*sizes, *highest)
    if not all(type(n) is int and 0 < n < 2**31 for n in counts):
        raise InvalidFileError("units has sizes that are no positive numbers")
    if not all(type(name) is str for name in names):
        raise InvalidFileError("units has names that are no text")
    if not all(type(is_group) is bool for is_group in are_groups):
        raise InvalidFileError("units does not say which steps are max groups")
    return Units(names, sizes, highest, are_groups)


def _read_layer(
    arrays: Mapping[str, np.ndarray], number: int, step: Any, units: Units
) -> ReducedLayer:
    if type(step) is not int or not 0 <= step < len(units.names):
        raise InvalidFileError(f"steps has {step!r}, of {len(units.names)} steps")
    prefix = f"layer{number}"
    round_ = None
    if units.are_groups[step]:
        round_ = Round(**{name: take(arrays, f"{prefix}.{name}", np.int64, 1) for name in ROUND})
    return ReducedLayer(
        units.names[step],
        **_floats(arrays, prefix, LAYER),
        step=step,
        units=take(arrays, f"{prefix}.units", np.int64, 1),
        round=round_,
    )
