"""The file in which the state of an instrument outlives its process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from ioc_sims.common.errors import StateError

Plant = TypeVar("Plant")


def fingerprint(identity: Any) -> str:
    """Identity of an instrument (anything that JSON can hold): a state may be resumed only where it was left."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:16]


def resume(
    path: Path, *, schema: int, kind: str, mark: str, stranger: str, restore: Callable[[dict[str, Any]], Plant]
) -> Plant | None:
    """What `restore` makes of a state file; None if there is no file.

    Args:
        path: the file.
        schema: what its key "schema" must be.
        kind: what kind of plant it is; the key of its fingerprint in the file.
        mark: that fingerprint.
        stranger: what to call a plant with another one.
        restore: makes the plant from the state.

    Raises:
        StateError: the file cannot be read, or belongs to another instrument.
    """
    if not path.exists():
        return None
    advice = f"move it away to begin with a new {kind}"
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
        if state["schema"] != schema:
            raise StateError(f"{path}: state of schema {state['schema']}, not {schema}; {advice}")
        if state[kind] != mark:
            raise StateError(f"{path}: state of {stranger}; {advice}")
        return restore(state)
    except (OSError, ValueError, KeyError, TypeError) as err:
        raise StateError(f"{path}: not a usable state ({type(err).__name__}: {err}); {advice}") from err
