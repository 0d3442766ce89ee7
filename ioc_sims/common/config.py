"""Reading a configuration file: one line of fault, never a traceback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ioc_sims.common.errors import ConfigError

STRICT = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

Model = TypeVar("Model", bound=BaseModel)


class InstrumentConfig(BaseModel):
    """What every instrument's configuration has."""

    model_config = STRICT

    schema_version: int = Field(alias="schema", ge=1, le=1)
    prefix: str = Field(pattern=r"^[A-Za-z0-9_:.-]*$", max_length=28)
    speed: float = Field(default=1.0, ge=1, le=1000)
    seed: int = Field(default=0, ge=0)
    heartbeat_timeout_s: float = Field(default=3.0, gt=0, le=60)
    faults: bool = False
    state_file: Path
    truth_file: Path


def read_config(path: Path, model: type[Model]) -> Model:
    """Read and check a configuration file.

    Raises:
        ConfigError: one line that names the file, the key and what is wrong with it.
    """
    return validated(str(path), read_json(path), model)


def read_json(path: Path) -> Any:
    """What a JSON file holds.

    Raises:
        ConfigError: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise ConfigError(f"{path}: cannot be read ({err.strerror})") from err
    except ValueError as err:
        raise ConfigError(f"{path}: not JSON ({err})") from err


def validated(where: str, content: Any, model: type[Model]) -> Model:
    """Check a configuration.

    Raises:
        ConfigError: one line that begins with `where` and names the key and what is wrong with it.
    """
    try:
        return model.model_validate(content)
    except ValidationError as err:
        faults = (f"{'.'.join(map(str, e['loc'])) or 'file'}: {e['msg']}" for e in err.errors())
        raise ConfigError(f"{where}: {'; '.join(faults)}") from err
