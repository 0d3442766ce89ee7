"""The file of cases, {name: case} in JSON: good cases are kept when others have faults, and every fault is told."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from sdl_bluesky.data.rbs.cases import Case
from sdl_bluesky.data.rbs.text import decode, read_bytes, shown
from sdl_bluesky.errors import CaseFileError, DataFileError, SDLError

_FILE_NAME = re.compile(r"[\w+-][\w.+()\[\] -]{0,119}")
_MOST_FAULTS = 40


@dataclass(frozen=True)
class CaseFile:
    """What a file of cases holds.

    Attributes:
        path: the file.
        cases: name -> case, those that can be used.
        faults: name -> why it cannot be used.
        findings: name -> what is odd but usable.
    """

    path: Path
    cases: Mapping[str, Case]
    faults: Mapping[str, SDLError] = field(default_factory=dict)
    findings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


def read_cases(path: Path) -> CaseFile:
    """Read a file of cases. Paths of R33 files in it are relative to its folder.

    Raises:
        CaseFileError: the file as a whole cannot be used (missing, not JSON, no case). A fault of one case is in the result.
    """
    data = read_json(path)
    cases: dict[str, Case] = {}
    faults: dict[str, SDLError] = {}
    findings: dict[str, tuple[str, ...]] = {}
    for name, content in data.items():
        try:
            cases[name], findings[name] = check_case(name, content, path)
        except CaseFileError as fault:
            faults[name] = fault
    if not data:
        raise CaseFileError(str(path), ['it holds no case: write {"name": {"ion": "4He", ...}}'])
    return CaseFile(path, cases, faults, findings)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        CaseFileError: it is missing, not JSON, names something twice, or is no object.
    """
    try:
        text = decode(read_bytes(path, DataFileError), str(path), DataFileError)
        data = json.loads(text, object_pairs_hook=_once, parse_constant=_constant)
    except DataFileError as fault:
        raise CaseFileError(str(path), [str(fault)]) from fault
    except json.JSONDecodeError as fault:
        what = f"line {fault.lineno}, column {fault.colno}: {fault.msg}; this is not JSON, or the file was cut short"
        raise CaseFileError(str(path), [what]) from fault
    except (ValueError, RecursionError) as fault:
        raise CaseFileError(str(path), [f"this JSON cannot be used: {str(fault)[:200]}"]) from fault
    if not isinstance(data, dict):
        raise CaseFileError(str(path), [f"the file must be an object {{name: ...}}, not {type(data).__name__}"])
    return data


def check_case(name: str, content: Any, path: Path) -> tuple[Case, tuple[str, ...]]:
    """One case, checked, with what is odd about it.

    Raises:
        CaseFileError: it cannot be used; every fault is listed with its field.
    """
    where = f"{path}: case {name!r:.80}"
    if _FILE_NAME.fullmatch(name) is None:
        raise CaseFileError(where, ["the name is used for files: letters, digits and - _ . + ( ) only, please"])
    if not isinstance(content, Mapping):
        raise CaseFileError(where, [f"a case is an object of keys and values, not {type(content).__name__}"])
    faults, findings = [], []
    for key in content:
        if key not in Case.model_fields:
            near = get_close_matches(str(key), Case.model_fields, 1, 0.7)
            if near:
                faults.append(f"{shown(str(key))} is not known: is {near[0]} meant?")
            else:
                findings.append(f"key {shown(str(key))} is not known here and was not used")
    found: Case | None = None
    try:
        found = Case.model_validate(_with_paths(content, path.parent))
    except ValidationError as fault:
        found_faults = [dict(item) for item in fault.errors()]
        faults += [_text(item) for item in found_faults if not _follows(item, found_faults)]
    if found is None or faults:
        left = len(faults) - _MOST_FAULTS
        raise CaseFileError(where, faults[:_MOST_FAULTS] + ([f"... and {left} more"] if left > 0 else []))
    return found, tuple(findings)


def _with_paths(content: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    tables = content.get("cross_sections")
    if not isinstance(tables, list):
        return dict(content)
    return {**content, "cross_sections": [folder / t if isinstance(t, str) else t for t in tables]}


def _follows(fault: dict[str, Any], others: list[dict[str, Any]]) -> bool:
    """Whether a list counts as too short only because its entries are wrong."""
    place = fault["loc"]
    return fault["type"] == "too_short" and any(o is not fault and o["loc"][: len(place)] == place for o in others)


def _text(fault: dict[str, Any]) -> str:
    place = ".".join(str(p) for p in fault["loc"] if p != "[key]")
    cause = (fault.get("ctx") or {}).get("error")
    text = str(cause) if cause is not None else str(fault["msg"])
    if fault["type"] == "missing":
        text = "is missing"
    elif fault["type"] == "too_short":
        text = "is empty: name at least one " + ("element with its density" if place.count(".") else "entry")
    return f"{place}: {text}" if place else text


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"{twice[:80]!r} stands twice in one object: keep one")
    return found


def _constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number: write a finite one")
