"""What a campaign has done so far, as its documents tell it, and how an agent is brought to that state."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from sdl_bluesky.errors import CampaignError, IngestError, PlasmaError, Vetoed

REFUSED = "refused"
"""Key of a failure's row under which the row stands that the agent refused."""

VETOED = "vetoed"
"""Key of a failure's row that says that the step was not wanted: it uses no budget, and its place is left alone."""

Outcome = Literal["success", "failed", "vetoed", "aborted"]


class Learner(Protocol):
    """What a campaign needs of an agent."""

    def ingest(self, rows: list[dict[str, Any]], /) -> None: ...  # noqa: D102

    def register_failures(self, points: list[dict[str, Any]], /) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Step:
    """One decision and what became of it.

    Attributes:
        step: number within the campaign, from 1.
        stage: stage of the campaign, such as ``learn:cu``.
        suggestion_id: what the agent called its suggestion.
        inputs: the suggested point.
        outcome: "success", "failed" (the experiment told that the point cannot be measured), "vetoed" (not wanted, and not
            begun) or "aborted" (it tells nothing).
        uid: run of the experiment; empty if none was opened.
        row: what the agent was told: of a success readbacks, outcome, its standard error; of a failure see `failure_of`.
        data: primary event of the experiment; None unless it was a success.
    """

    step: int
    stage: str
    suggestion_id: str
    inputs: dict[str, float]
    outcome: Outcome
    uid: str
    row: dict[str, Any] | None = None
    data: dict[str, Any] | None = None


@dataclass(frozen=True)
class EarlierRun:
    """A run that was made before the campaign, and from which it learns.

    Attributes:
        uid: of the run.
        row: what the agent is told of it: readbacks, rate, standard error, ``uid``, ``earlier`` (which query found it)
            and ``earlier_scale`` (see `agents.rows`).
        data: its primary event; None where no film asks for it.
    """

    uid: str
    row: dict[str, Any]
    data: dict[str, Any] | None = None

    @property
    def same_setting(self) -> bool:
        """Whether it was made under the setting of today, so that films may be made and mapped by it."""
        return not self.row.get("earlier_scale")


@dataclass
class History:
    """The documents of a campaign, reduced.

    Attributes:
        campaign: uid of its first run; empty for a new campaign.
        last_run: uid of its newest run.
        steps: its decisions, in order.
        orphans: completed experiments whose decision was not written, by suggestion id.
        earlier: runs that were made before, by source.
    """

    campaign: str = ""
    last_run: str = ""
    steps: list[Step] = field(default_factory=list)
    orphans: dict[str, tuple[str, dict[str, Any]]] = field(default_factory=dict)
    earlier: dict[str, list[EarlierRun]] = field(default_factory=dict)

    def of(self, stage: str) -> list[Step]:
        """Decisions of one stage, in order."""
        return [s for s in self.steps if s.stage == stage]

    def uids(self, stage: str) -> list[str]:
        """Runs of one stage that an agent learned from, in order."""
        return [s.uid for s in self.of(stage) if s.outcome == "success"]

    def earlier_rows(self, source: str) -> list[dict[str, Any]]:
        """What the agent of a source is told of earlier runs, in order."""
        return [run.row for run in self.earlier.get(source, ())]

    def known(self, source: str) -> list[str]:
        """Runs that the agent of a source knows: earlier ones, then its own, in order."""
        return [run.uid for run in self.earlier.get(source, ())] + self.uids(f"learn:{source}")

    def of_today(self, source: str) -> list[str]:
        """Runs of a source under the setting of today, by which a film is mapped."""
        same = [run.uid for run in self.earlier.get(source, ()) if run.same_setting]
        return same + self.uids(f"learn:{source}")

    def vetoes(self) -> int:
        """How many of the latest decisions were vetoed in a row."""
        return next((k for k, s in enumerate(reversed(self.steps)) if s.outcome != "vetoed"), len(self.steps))

    @property
    def next_step(self) -> int:
        """Number of the next decision."""
        return max((s.step for s in self.steps), default=0) + 1


def feed(agent: Learner, steps: Iterable[Step]) -> None:
    """Bring a new agent to where the steps left the one that made them: one row at a time, in order.

    Raises:
        CampaignError: a success has no row.
    """
    for step in steps:
        if step.outcome == "success":
            if step.row is None:
                raise CampaignError(f"step {step.step} is a success without data: its run {step.uid} cannot be read")
            agent.ingest([step.row])
            continue
        told = {"_id": step.suggestion_id, **step.inputs, **(step.row or {})}
        if REFUSED in told:
            with suppress(IngestError):  # so that it stands among what the agent refused
                agent.ingest([told[REFUSED]])
        if step.outcome in ("failed", "vetoed"):
            agent.register_failures([told])


def failure_of(fault: BaseException, row: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """What an agent is told of a failed experiment, besides the point.

    Args:
        fault: what ended the experiment.
        row: what it found, if the agent refused it.

    Returns:
        ``plasma`` 0 with ``lit_pressure`` and ``out_pressure`` [mTorr] of a plasma that went out; ``refused`` the row;
        ``vetoed``.
    """
    told: dict[str, Any] = {} if row is None else {REFUSED: dict(row)}
    if isinstance(fault, Vetoed):
        told[VETOED] = True
    if isinstance(fault, PlasmaError) and fault.out_pressure_mTorr is not None:
        seen = {"lit_pressure": fault.lit_pressure_mTorr, "out_pressure": fault.out_pressure_mTorr}
        told |= {"plasma": 0, **{k: v for k, v in seen.items() if v is not None and math.isfinite(v)}}
    return told


def row_of(data: Mapping[str, Any], source: str, sensor: str, suggestion_id: str) -> dict[str, Any]:
    """What an agent ingests of one measurement: readbacks, not setpoints.

    Args:
        data: the primary event of a `measure_rate` run.
        source: name of the source.
        sensor: the QCM whose rate is learned.
        suggestion_id: of the suggestion that it answers.

    Returns:
        power [W], pressure [mTorr], rate and rate_std [ng cm^-2 s^-1], ``_id``; where the run tells it, ``crystal_life``
        [%], ``saturated`` (0 or 1) and ``energy`` on the target [kWh].

    Raises:
        CampaignError: a column is missing.
    """
    more = {"crystal_life": f"{sensor}_life", "saturated": f"{sensor}_saturated", "energy": f"{source}_energy"}
    try:
        return {
            "_id": suggestion_id,
            "power": float(data[f"{source}_power"]),
            "pressure": float(data["gauge_pressure"]),
            "rate": float(data[f"{sensor}_rate"]),
            "rate_std": float(data[f"{sensor}_rate_std"]),
            **{key: float(data[col]) for key, col in more.items() if col in data and math.isfinite(data[col])},
        }
    except KeyError as fault:
        raise CampaignError(f"the measurement has no column {fault}: it was not made by measure_rate") from fault
