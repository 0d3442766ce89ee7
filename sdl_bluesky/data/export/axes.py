"""What stands along the dimensions of a result's arrays."""

from __future__ import annotations

import re

import numpy as np

from sdl_bluesky.data.analysis import Analysis


def axis_of(result: Analysis, dim: str) -> np.ndarray | None:
    """The axis of a dimension: the array of its name, or a list of the metadata (`elements` for `element`).

    ``NAME_2`` has the axis of ``NAME``. None where there is nothing of the dimension's length.
    """
    size = next(
        array.shape[result.dims[key].index(dim)] for key, array in result.arrays.items() if dim in result.dims[key]
    )
    for name in (dim, re.sub(r"_\d+$", "", dim)):
        own = result.arrays.get(name) if result.dims.get(name) == (name,) else None
        listed = result.metadata.get(f"{name}s")
        found = own if own is not None else np.array(listed) if isinstance(listed, list) else None
        if found is not None and found.shape == (size,) and found.dtype.kind in "iufU":
            return found
    return None
