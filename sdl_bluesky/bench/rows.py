"""Rows of a study: shown as a table, written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

Row = Mapping[str, Any]
WIDE = 200


def write_rows(path: Path, about: Mapping[str, Any], rows: Sequence[Row]) -> None:
    """Write {**about, "rows": rows} as JSON; the folder is made."""
    text = json.dumps(plain({**about, "rows": list(rows)}), indent=1, allow_nan=False)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text + "\n", encoding="utf-8")


def show_rows(name: str, rows: Sequence[Row]) -> None:
    """Tables of the rows, one for rows with the same keys; as wide as they need to be where no terminal limits them."""
    from rich.console import Console
    from rich.table import Table

    console = Console()
    if not console.is_terminal:
        console = Console(width=WIDE)
    for keys in dict.fromkeys(tuple(row) for row in rows):
        table = Table(title=name)
        for key in keys:
            table.add_column(key, overflow="fold")
        for row in rows:
            if tuple(row) == keys:
                table.add_row(*(_text(row[key]) for key in keys))
        console.print(table)


def _text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    return str(value)


def plain(value: Any) -> Any:
    """The same without numpy: JSON has neither numpy's numbers nor nan: what is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value
