"""Files that a person writes: YAML, checked against a pydantic model, every fault named at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from sdl_bluesky.errors import LabFileError, UnitError

Model = TypeVar("Model", bound=BaseModel)


def _explain(error: ValidationError, where: str) -> LabFileError:
    lines, unit = [], False
    for fault in error.errors():
        place = ".".join(str(p) for p in fault["loc"]) or "(whole file)"
        cause = (fault.get("ctx") or {}).get("error")
        unit = unit or isinstance(cause, UnitError)
        text = str(cause) if cause is not None else fault["msg"]
        if fault["type"] == "extra_forbidden":
            text = "this key is not known here: correct its name or remove it"
        lines.append(f"  {place}: {text}")
    kind = UnitError if unit else LabFileError
    return kind(f"{where} has {len(lines)} fault(s):\n" + "\n".join(lines))


def read_yaml(path: Path, model: type[Model]) -> Model:
    """Read a YAML file into a checked model.

    Raises:
        UnitError: a quantity has a wrong unit or none.
        LabFileError: the file is missing, is not YAML, or has another fault; all faults are listed.
    """
    return check(read_mapping(path), model, str(path))


def read_mapping(path: Path) -> Mapping[str, Any]:
    """Read a YAML file that holds a mapping, unchecked.

    Raises:
        LabFileError: the file is missing, is not YAML, or holds something else.
    """
    try:
        data = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise LabFileError(f"cannot read {path}: {fault.strerror}; give the path of an existing file") from fault
    except yaml.YAMLError as fault:
        raise LabFileError(f"{path} is not valid YAML: {fault}") from fault
    return _mapping(data, str(path))


def _mapping(data: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise LabFileError(f"{where} must be a mapping of keys to values, not {type(data).__name__}")
    return data


def check(data: Any, model: type[Model], where: str) -> Model:
    """Check plain data against a model; errors as in `read_yaml`."""
    try:
        return model.model_validate(_mapping(data, where))
    except ValidationError as fault:
        raise _explain(fault, where) from fault
