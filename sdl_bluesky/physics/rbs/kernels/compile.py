"""How the kernels are compiled, and that what is kept of it is not older than its source.

The compiler keeps its results beside the source and looks at the file of the outermost function only: after a change of an
inner one it would go on with the old. So whatever is older than the newest source of this folder is thrown away first.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from numba import njit

FOLDER = Path(__file__).parent


def forget_stale(folder: Path = FOLDER) -> int:
    """Remove compiled kernels that are older than a source file of the folder; returns how many.

    A folder that cannot be written is left alone: it was installed at once, sources and all.
    """
    newest = max(source.stat().st_mtime for source in folder.glob("*.py"))
    removed = 0
    for kept in (folder / "__pycache__").glob("*.nb[ic]"):
        with suppress(OSError):  # another process was faster, or the folder is read-only
            if kept.stat().st_mtime < newest:
                kept.unlink()
                removed += 1
    return removed


forget_stale()


def kernel(**options: Any) -> Any:
    """Compile a function when it is first called, and keep the result. Kernels are checked by tests, not by types."""
    return njit(cache=True, fastmath=True, error_model="numpy", **options)
