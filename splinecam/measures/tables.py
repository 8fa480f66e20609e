"""Results that are dictionaries of arrays, as pandas data frames."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from splinecam.errors import InvalidArgumentError, SplineCamError

if TYPE_CHECKING:
    from pandas import DataFrame


def to_frame(columns: Mapping[str, NDArray[Any]]) -> DataFrame:
    """Make a data frame of columns, for instance of what `region_statistics` returns.

    Parameters
    ----------
    columns : mapping of str to ndarray
        Arrays (n,) or (n, k) of equal length. Of the latter each column becomes one of its own,
        with its number after an underscore: ``centroid_0``, ``centroid_1``.

    Returns
    -------
    pandas.DataFrame
        With n rows; the columns are copies.

    Raises
    ------
    SplineCamError
        If pandas, the extra ``pandas``, is not installed.
    InvalidArgumentError
        If the arrays have other shapes.

    Examples
    --------
    >>> import numpy as np
    >>> from splinecam.measures.tables import to_frame
    >>> frame = to_frame({"area": np.array([1.0, 2.0]), "centroid": np.zeros((2, 2))})
    >>> list(frame.columns), len(frame)
    (['area', 'centroid_0', 'centroid_1'], 2)
    """
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise SplineCamError("data frames need pandas: pip install 'splinecam[pandas]'") from error
    shapes = {name: np.shape(array) for name, array in columns.items()}
    if len({shape[:1] for shape in shapes.values()}) > 1 or any(
        len(shape) not in (1, 2) for shape in shapes.values()
    ):
        raise InvalidArgumentError(
            f"columns has arrays of the shapes {shapes}; accepted: (n,) or (n, k), n the same"
        )
    flat: dict[str, NDArray[Any]] = {}
    for name, array in columns.items():
        if np.ndim(array) == 1:
            flat[name] = np.array(array)
        else:
            flat.update((f"{name}_{k}", column.copy()) for k, column in enumerate(array.T))
    return DataFrame(flat)
