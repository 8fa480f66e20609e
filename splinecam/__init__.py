"""splinecam: the exact geometry of trained piecewise-linear networks."""

from splinecam.engine import compute_partition
from splinecam.errors import (
    InvalidArgumentError,
    InvalidFileError,
    InvalidModelError,
    InvalidSliceError,
    InvariantError,
    RegionLimitError,
    SplineCamError,
    UnsupportedLayerError,
)
from splinecam.partition import Partition
from splinecam.slices import Slice

__all__ = [
    "InvalidArgumentError",
    "InvalidFileError",
    "InvalidModelError",
    "InvalidSliceError",
    "InvariantError",
    "Partition",
    "RegionLimitError",
    "Slice",
    "SplineCamError",
    "UnsupportedLayerError",
    "compute_partition",
]
