"""The exceptions of splinecam.

Every refusal is a `SplineCamError` that names what it is about, says what came and what is
accepted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from splinecam.partition.partition import Partition


class SplineCamError(Exception):
    """Base class of every error that splinecam raises on purpose."""


class UnsupportedLayerError(SplineCamError):
    """A part of the model is not piecewise linear, or not known to `splinecam.convert`."""


class InvalidModelError(SplineCamError, ValueError):
    """The model cannot be used: weights that are not finite, shapes that do not fit, no layers."""


class InvalidSliceError(SplineCamError, ValueError):
    """The slice is degenerate or does not fit the model's input."""


class InvalidArgumentError(SplineCamError, ValueError):
    """An argument other than a model or a slice has a wrong value, type or shape."""


class InvalidFileError(SplineCamError, ValueError):
    """A file is not one that splinecam wrote, is damaged, or is of another version."""


class InvariantError(SplineCamError, RuntimeError):
    """A planar subdivision is not one: what is broken and where."""


class ExecutorError(SplineCamError, RuntimeError):
    """The executor broke down before the work was done."""


class RegionLimitError(SplineCamError, RuntimeError):
    """The partition has more regions than `max_regions` allows.

    Attributes
    ----------
    partition : Partition
        The finished part: the exact partition by the piecewise-linear steps done so far.
    tiles : tuple of Partition
        The exact partitions, by all steps, of the tiles that were finished, each on its part of
        the slice. Empty where the slice was cut in one piece.
    n_regions : int
        How many regions there are at least, as far as it was found out.
    max_regions : int
        The limit that was given.
    """

    def __init__(
        self,
        message: str,
        partition: Partition,
        n_regions: int,
        max_regions: int,
        tiles: tuple[Partition, ...] = (),
    ):
        super().__init__(message)
        self.partition = partition
        self.tiles = tiles
        self.n_regions = n_regions
        self.max_regions = max_regions

    def __reduce__(self) -> tuple[Any, ...]:
        content = (self.partition, self.n_regions, self.max_regions, self.tiles)
        return type(self), (str(self), *content)


class InsufficientMemoryError(SplineCamError, MemoryError):
    """The next step needs more memory than is free.

    Attributes
    ----------
    needed : int
        Bytes that the step needs.
    available : int
        Bytes that are free.
    """

    def __init__(self, message: str, needed: int, available: int):
        super().__init__(message)
        self.needed = needed
        self.available = available

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.needed, self.available)
