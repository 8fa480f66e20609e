"""Arrays as text inside a page."""

from __future__ import annotations

import zlib
from base64 import b64encode
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

LEVEL = 6
"""Of compression: higher ones take much longer for little."""


def pack(arrays: Mapping[str, NDArray[Any]]) -> tuple[list[dict[str, Any]], str]:
    r"""Arrays, deflated together and written in base64; and what is where.

    Deflate finds repetitions of bytes. So the first bytes of all entries of an array come first,
    then all second ones, and so on: the leading bytes of similar numbers are alike.

    Returns
    -------
    listed : list of dict
        Name, type and number of entries of each array.
    packed : str

    Examples
    --------
    >>> listed, packed = pack({"ones": np.ones(2, np.uint16)})
    >>> listed
    [{'name': 'ones', 'type': 'uint16', 'length': 2}]
    >>> import base64, zlib
    >>> zlib.decompress(base64.b64decode(packed))
    b'\x01\x01\x00\x00'
    """
    listed, planes = [], []
    for name, array in arrays.items():
        listed.append({"name": name, "type": array.dtype.name, "length": array.size})
        flat = np.ascontiguousarray(array).reshape(-1).astype(array.dtype.newbyteorder("<"))
        planes.append(flat.view(np.uint8).reshape(flat.size, array.itemsize).T.tobytes())
    return listed, b64encode(zlib.compress(b"".join(planes), LEVEL)).decode("ascii")
