"""What every part of a lab file is: strict, frozen, and where IOCs answer."""

from __future__ import annotations

from functools import cached_property
from typing import Literal

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Base of all parts: a key that is not known is a fault."""

    model_config = ConfigDict(extra="forbid", frozen=True, ignored_types=(cached_property,))


class EpicsPart(Part):
    """Where the IOCs answer. ``port: auto`` takes a free one, which only a lab that starts its own IOC can do."""

    host: str = "127.0.0.1"
    port: int | Literal["auto"] = "auto"
