"""Names for arrays in annotations; docstrings say shapes and exact types."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.integer]
Patterns = NDArray[np.uint8]
