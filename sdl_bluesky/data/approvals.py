"""The desk where steps of a campaign wait for a person: one file a request, one file an answer, both written whole.

The desk holds no state of a campaign: what was asked and answered stands in the decision, and the files go when that is
written. Files that are lost are asked for again.
"""

from __future__ import annotations

import getpass
import json
import os
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from sdl_bluesky.errors import CampaignError, ServiceError, UnknownName

_REQUEST, _ANSWER = ".request.json", ".answer.json"


def key_of(campaign: str, step: int) -> str:
    """Name of a step at the desk."""
    return f"{campaign}-{step}"


@dataclass(frozen=True)
class Request:
    """A step that waits for a person.

    Attributes:
        campaign: its id.
        step: number of the step within the campaign.
        stage: of the campaign, such as ``learn:cu``.
        suggestion_id: what the agent called its suggestion.
        inputs: what is to be done.
        why: what the agent says of it: prediction and acquisition.
        rule: the rule of the lab file that asks.
        asked, until: when it was asked, and until when an answer counts (seconds since 1970).
    """

    campaign: str
    step: int
    stage: str
    suggestion_id: str
    inputs: Mapping[str, float]
    why: Mapping[str, Any]
    rule: str
    asked: float
    until: float

    @property
    def key(self) -> str:
        """Its name at the desk."""
        return key_of(self.campaign, self.step)


@dataclass(frozen=True)
class Answer:
    """What a person said: whether the step may be done, who said so, why, and when (seconds since 1970)."""

    suggestion_id: str
    given: bool
    who: str
    why: str
    time: float


@dataclass(frozen=True)
class Desk:
    """The folder of requests and answers."""

    folder: Path

    def ask(self, request: Request) -> None:
        """Put a request on the desk; an answer that was given to the same request before stays.

        Raises:
            ServiceError: the folder cannot be written.
        """
        answer = self.answer(request)
        if answer is None:
            self._path(request.key, _ANSWER).unlink(missing_ok=True)
        self._write(self._path(request.key, _REQUEST), asdict(request) | {"inputs": dict(request.inputs)})

    def answer(self, request: Request) -> Answer | None:
        """The answer to a request; None as long as there is none."""
        found = _read(self._path(request.key, _ANSWER))
        if found is None or found.get("suggestion_id") != request.suggestion_id:
            return None
        return Answer(**{field.name: found[field.name] for field in fields(Answer)})

    def clear(self, key: str) -> None:
        """Take a request and its answer off the desk."""
        for kind in (_REQUEST, _ANSWER):
            self._path(key, kind).unlink(missing_ok=True)

    def waiting(self) -> list[Request]:
        """Requests without an answer whose time has not run out, oldest first."""
        found = [_read(path) for path in sorted(self.folder.glob(f"*{_REQUEST}"))]
        requests = [Request(**{field.name: one[field.name] for field in fields(Request)}) for one in found if one]
        now = time.time()
        return sorted((k for k in requests if k.until > now and self.answer(k) is None), key=lambda k: k.asked)

    def decide(self, key: str, given: bool, why: str = "", who: str = "") -> Request:
        """Answer a request; the beginning of its key is enough if it is unique.

        Raises:
            UnknownName: no request begins so, or several do. CampaignError: a veto without a reason.
            ServiceError: the folder cannot be written.
        """
        waiting = {request.key: request for request in self.waiting()}
        exact = [waiting[key]] if key in waiting else []
        found = exact or [k for name, k in waiting.items() if key and _begins(name, key)]
        if len(found) != 1:
            raise UnknownName("step that waits for a person", key, sorted(waiting))
        if not given and not why.strip():
            raise CampaignError("a veto needs a reason: it is recorded, and whoever goes on from here will read it")
        [request] = found
        answer = Answer(request.suggestion_id, given, who.strip() or getpass.getuser(), why.strip(), time.time())
        self._write(self._path(request.key, _ANSWER), asdict(answer))
        return request

    def _path(self, key: str, kind: str) -> Path:
        return self.folder / f"{key}{kind}"

    def _write(self, path: Path, content: Mapping[str, Any]) -> None:
        part = path.with_suffix(f".{os.getpid()}.part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            part.write_text(json.dumps(content), encoding="utf-8")
            part.replace(path)
        except OSError as fault:
            part.unlink(missing_ok=True)
            raise ServiceError(f"{path} cannot be written: {fault}") from fault


def _begins(name: str, key: str) -> bool:
    """Whether a key is the beginning of a campaign's id, alone or with the whole number of the step."""
    campaign, _, step = name.rpartition("-")
    begin, dash, number = key.rpartition("-")
    return campaign.startswith(key) or (bool(dash) and campaign.startswith(begin) and step == number)


def _read(path: Path) -> dict[str, Any] | None:
    """The content of a file; None if it went away meanwhile."""
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        return None
