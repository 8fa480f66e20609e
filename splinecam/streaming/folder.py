"""The folder in which a stream keeps what it knows of finished tiles."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from splinecam.errors import InvalidFileError
from splinecam.partition.archive import DAMAGE
from splinecam.streaming.totals import Part
from splinecam.tiling.jobs import Job
from splinecam.tiling.rims import Rim
from splinecam.tiling.tiles import Cell

HEADER = "job.txt"


class StreamFolder:
    """One file for each finished tile, and one that says what is cut.

    Parameters
    ----------
    path : Path
        It is made if there is none.

    Attributes
    ----------
    few_units : int or None
        What decided the tiles of a stream that was begun here; None if there was none.

    Raises
    ------
    InvalidFileError
        If the header is damaged.
    """

    def __init__(self, path: Path):
        self._path = path
        path.mkdir(parents=True, exist_ok=True)
        self._header = path / HEADER
        self.few_units: int | None = None
        if self._header.exists():
            try:
                self._fingerprint, few = self._header.read_text().split()
                self.few_units = int(few)
            except ValueError as error:
                raise InvalidFileError(f"{self._header} is damaged: {error}") from error

    def begin(self, fingerprint: str, few_units: int) -> None:
        """Begin with a job, or make sure that it is the one that was begun."""
        if self.few_units is None:
            self._header.write_text(f"{fingerprint} {few_units}")
        elif self._fingerprint != fingerprint:
            raise InvalidFileError(
                f"{self._path} belongs to another model or slice, or to another version of "
                "splinecam"
            )

    def read(self) -> dict[int, tuple[Part, Rim]]:
        """What is known of finished tiles, by their numbers."""
        found = {}
        for path in sorted(self._path.glob("*.npz")):
            try:
                with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
                    found[int(path.stem)] = _read_part(arrays), _read_rim(arrays)
            except DAMAGE as error:
                raise InvalidFileError(f"{path} is damaged: {error}") from error
        return found

    def write(self, number: int, part: Part, rim: Rim) -> None:
        """Keep what is known of a tile; an interruption leaves the whole file or none."""
        arrays = {name: np.asarray(v) for name, v in (part._asdict() | rim._asdict()).items()}
        unfinished = self._path / f"{number}.part"
        with unfinished.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        unfinished.replace(self._path / f"{number}.npz")


def _read_part(arrays: Any) -> Part:
    numbers = (int(arrays["n_faces"]), int(arrays["n_inner"]), float(arrays["area"]))
    return Part(*numbers, *(arrays[name] for name in Part._fields[3:]))


def _read_rim(arrays: Any) -> Rim:
    return Rim(*(arrays[name] for name in Rim._fields))


def fingerprint(job: Job, cells: Sequence[Cell]) -> str:
    """A text that tells jobs, and ways to tile them, apart."""
    digest = hashlib.sha256()
    slice_ = job.slice_
    corners = [cell.points for cell in cells]
    for part in _content((job.program, slice_.origin, slice_.basis, slice_.polygon, corners)):
        digest.update(part)
    return digest.hexdigest()


def _content(value: Any) -> Iterator[bytes]:
    """What a value consists of, whatever its parts are called in memory."""
    yield type(value).__name__.encode()
    if isinstance(value, torch.Tensor | np.ndarray):
        array = np.asarray(value)
        yield f"{array.dtype}{array.shape}".encode()
        yield array.tobytes()
    elif isinstance(value, partial):
        yield from _content((value.func, value.args, tuple(sorted(value.keywords.items()))))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _content(item)
    elif is_dataclass(value):
        yield from _content([getattr(value, field.name) for field in fields(value)])
    else:
        yield getattr(value, "__qualname__", repr(value)).encode()
