"""Partitions as versioned ``.npz`` files, without pickled objects."""

from __future__ import annotations

import json
import struct
import tokenize
import zipfile
import zlib
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from splinecam.errors import InvalidFileError, SplineCamError
from splinecam.partition.stored_networks import (
    network_arrays,
    network_header,
    read_network,
    take,
)
from splinecam.slices import Slice

if TYPE_CHECKING:
    from splinecam.partition.partition import Partition

FORMAT = "splinecam partition"
VERSION = 2
"""Version 1 had networks that are plain chains only, in the same way."""

DAMAGE = (
    *(SplineCamError, zipfile.BadZipFile, zlib.error, struct.error),
    *(EOFError, KeyError, ValueError, TypeError, AttributeError, IndexError, OverflowError),
    *(MemoryError, NotImplementedError, OSError, RuntimeError, SyntaxError, tokenize.TokenError),
)
"""What reading an arbitrary file can raise on its way through the zip and numpy formats."""

MESH = {
    "vertices": (np.float64, 2),
    "edges": (np.int32, 2),
    "edge_regions": (np.int32, 2),
    "edge_hinges": (np.int32, 1),
    "region_offsets": (np.int32, 1),
    "region_halfedges": (np.int32, 1),
    "shared_edges": (np.int64, 1),
    "shared_hinges": (np.int64, 1),
}
"""Arrays of a partition besides `root_pattern`: type and number of dimensions."""

SLICE = {"origin": 1, "basis": 2, "polygon": 2, "anchors": 2}
"""Arrays of a slice, all float64: number of dimensions."""


def save(partition: Partition, path: str | PathLike[str]) -> None:
    """Write a partition."""
    header = {
        "format": FORMAT,
        "version": VERSION,
        "input_shape": partition.slice.input_shape,
        **network_header(partition.network),
    }
    arrays = {name: getattr(partition, name) for name in MESH}
    arrays |= {f"slice.{name}": getattr(partition.slice, name) for name in SLICE}
    arrays |= {"root_pattern": partition.root_pattern, **network_arrays(partition.network)}
    with open(path, "wb") as file:
        np.savez(file, header=np.array(json.dumps(header)), **arrays)


def load(path: str | PathLike[str]) -> dict[str, Any]:
    """Read the fields of a partition.

    Raises
    ------
    InvalidFileError
        If the file is not one that `save` wrote or is damaged.
    """
    with open(path, "rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _read_fields(_read_arrays(archive))
        except DAMAGE as error:
            raise InvalidFileError(f"{path} is not a sound file of splinecam: {error}") from error


def _read_arrays(archive: zipfile.ZipFile) -> dict[str, np.ndarray]:
    """All members, as `numpy.savez` names them."""
    arrays = {}
    for member in archive.namelist():
        with archive.open(member) as file:
            arrays[member.removesuffix(".npy")] = np.lib.format.read_array(file, allow_pickle=False)
    return arrays


def _read_fields(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    header = _read_header(arrays)
    parts = {name: take(arrays, f"slice.{name}", np.float64, ndim) for name, ndim in SLICE.items()}
    anchors = parts.pop("anchors")
    slice_ = Slice(**parts, input_shape=tuple(header["input_shape"]), anchors=anchors)
    network = read_network(header, arrays)
    mesh = {name: take(arrays, name, dtype, ndim) for name, (dtype, ndim) in MESH.items()}
    mesh["root_pattern"] = take(arrays, "root_pattern", network.rest.dtype.type, 1)
    return {"slice": slice_, "network": network, **mesh}


def _read_header(arrays: dict[str, np.ndarray]) -> dict[str, Any]:
    header = json.loads(str(arrays["header"]))
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        raise InvalidFileError(f"the header does not say {FORMAT!r}")
    if header.get("version") not in (1, VERSION):
        raise InvalidFileError(
            f"it is of version {header.get('version')!r}; this release reads 1 and {VERSION}"
        )
    return header
