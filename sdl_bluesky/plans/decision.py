"""One event of a campaign: what was chosen, why, from what, and what became of it."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sdl_bluesky.plans.history import Outcome, Step
from sdl_bluesky.plans.record import Field

STREAM = "decision"
UNIT = "ng cm^-2 s^-1"

FIELDS = {
    "step": Field("integer"),
    "stage": Field("string"),
    "agent": Field("string"),
    "suggestion_id": Field("string"),
    "inputs": Field("string", source="JSON: the point that was chosen, by input"),
    "acquisition_name": Field("string"),
    "acquisition_value": Field("number"),
    "prediction_mean": Field("number", UNIT),
    "prediction_std": Field("number", UNIT),
    "expected": Field("string", source="JSON: composition that a designed film should have, and its probability"),
    "considered": Field("string", source="JSON: the best alternatives with their acquisition values"),
    "findings": Field("string", source="JSON: what a person should know of the data or the model"),
    "based_on": Field("string", source="JSON: uids of the runs that the agent knew"),
    "posterior": Field("string", source="JSON: digest of what the agent believed: hyper-parameters, readings"),
    "approval": Field("string", source="JSON: the rule, and who allowed or vetoed the step, when and why"),
    "outcome": Field("string", source="success, failed, vetoed or aborted"),
    "outcome_uid": Field("string"),
    "outcome_row": Field("string", source="JSON: what the agent ingested"),
    "reason": Field("string"),
    "adopted": Field("boolean", source="the experiment was completed before the campaign was resumed"),
    "stop": Field("boolean"),
    "stop_reason": Field("string"),
}


@dataclass(frozen=True)
class Decision:
    """A decision before its outcome is known.

    Attributes:
        explain: what the agent's ``explain()`` says; empty for a stage without an agent.
    """

    step: int
    stage: str
    agent: str
    suggestion_id: str
    inputs: Mapping[str, float]
    based_on: Sequence[str]
    explain: Mapping[str, Any] = field(default_factory=dict)

    def closed(
        self,
        outcome: Outcome,
        uid: str,
        *,
        row: Mapping[str, Any] | None = None,
        data: Mapping[str, Any] | None = None,
        reason: str = "",
        adopted: bool = False,
        stop: tuple[bool, str] = (False, ""),
        approval: Mapping[str, Any] | None = None,
    ) -> tuple[Step, dict[str, Any]]:
        """The finished step, and the columns of its event."""
        acquisition = self.explain.get("acquisition") or {}
        prediction = self.explain.get("prediction") or {}
        values: dict[str, Any] = {
            "step": self.step,
            "stage": self.stage,
            "agent": self.agent,
            "suggestion_id": self.suggestion_id,
            "inputs": json.dumps(dict(self.inputs)),
            "acquisition_name": acquisition.get("name", ""),
            "acquisition_value": acquisition.get("value", math.nan),
            "prediction_mean": prediction.get("mean", math.nan),
            "prediction_std": prediction.get("std", math.nan),
            "expected": json.dumps(self.explain.get("expected")),
            "considered": json.dumps(self.explain.get("alternatives") or []),
            "findings": json.dumps(list(self.explain.get("findings") or [])),
            "based_on": json.dumps(list(self.based_on)),
            "posterior": json.dumps(self.explain.get("posterior")),
            "approval": json.dumps(dict(approval) if approval else None),
            "outcome": outcome,
            "outcome_uid": uid,
            "outcome_row": json.dumps(dict(row) if row is not None else None),
            "reason": reason,
            "adopted": adopted,
            "stop": stop[0],
            "stop_reason": stop[1],
        }
        step = Step(
            self.step,
            self.stage,
            self.suggestion_id,
            dict(self.inputs),
            outcome,
            uid,
            dict(row) if row else None,
            dict(data) if data else None,
        )
        return step, values
