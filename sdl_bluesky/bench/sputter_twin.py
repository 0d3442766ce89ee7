"""Simulated chambers for studies: a process of its own that answers requests, one line of JSON each."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from sdl_bluesky.errors import ServiceError
from sdl_bluesky.session.lab import load_lab

_END_S = 10.0


def twin_config(elements: Sequence[str], seed: int = 0, physics: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The chamber of the shipped lab file with other targets.

    Args:
        elements: of the targets, one for each source at most; the sources are named after them.
        seed: what makes the chamber this one.
        physics: settings of the plant.
    """
    chamber = load_lab().chamber
    return {
        "schema": 1,
        "seed": seed,
        "physics": dict(physics or {}),
        "sources": [
            {
                "name": element.lower(),
                "element": element,
                "pv": source.pv,
                "position_cm": list(source.position_cm),
                "axis": list(source.axis),
                "max_power_W": source.max_power,
            }
            for element, source in zip(elements, chamber.sources.values(), strict=False)
        ],
        "sensors": [
            {"name": name, "pv": sensor.pv, "position_cm": list(sensor.position_cm), "f0_Hz": sensor.crystal}
            for name, sensor in chamber.sensors.items()
        ],
    }


class SputterTwin:
    """A simulated chamber that lives as long as its `with` block.

    Args:
        config: as `twin_config` makes it.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / "chamber.json"
        file.write_text(json.dumps(config), encoding="utf-8")
        command = [sys.executable, "-m", "ioc_sims.sputter", str(file)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def ask(self, do: str, **more: Any) -> dict[str, Any]:
        """One request and its reply.

        Raises:
            ServiceError: the program has ended, or cannot do this.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise ServiceError(f"the simulated chamber has ended before it answered {do!r}")
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise ServiceError(f"the simulated chamber refuses {do!r}: {reply['error']}")
        return reply

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(_END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._folder.cleanup()
