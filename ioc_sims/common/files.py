"""Files that are whole or absent: written beside and moved into place."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any


def write_json(path: Path, content: Any) -> None:
    """Write JSON so that a reader sees the old file or the new one, never half of it.

    Raises:
        OSError: disk full, no permission; the old file is untouched.
        ValueError: the content holds NaN or infinity.
    """
    text = json.dumps(content, allow_nan=False, separators=(",", ":"))
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except OSError:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise
