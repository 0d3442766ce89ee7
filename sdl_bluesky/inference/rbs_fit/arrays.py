"""Types of arrays that are not float64."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Indices: TypeAlias = NDArray[np.signedinteger[Any]]
"""Numbers of rows, channels or columns."""
Mask: TypeAlias = NDArray[np.bool_]
"""True for what is meant."""
