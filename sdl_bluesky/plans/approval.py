"""Which steps of a campaign run freely, which wait for a person, and which are never done.

The rules are the lab's. A step that is not approved is not begun: of a veto the agent hears, and it proposes another
point; a request that nobody answers ends the campaign, which asks again when it is resumed. Meanwhile the machine is
as every step leaves it: shutters closed, powers off.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any, Protocol

import bluesky.plan_stubs as bps
from bluesky.utils import MsgGenerator

from sdl_bluesky.data.approvals import Answer, Request, key_of
from sdl_bluesky.errors import NotApproved, Vetoed
from sdl_bluesky.plans.decision import Decision
from sdl_bluesky.plans.policy import Policy

MOST_VETOES = 5
"""Steps in a row that may be vetoed before the campaign ends."""
_LOOK_S = 0.2


class Asks(Protocol):
    """Where requests are put and answers are found: `sdl_bluesky.data.approvals.Desk`."""

    def ask(self, request: Request) -> None: ...  # noqa: D102

    def answer(self, request: Request) -> Answer | None: ...  # noqa: D102

    def clear(self, key: str) -> None: ...  # noqa: D102


@dataclass(frozen=True)
class Approval:
    """The lab's rules, and where its people are asked."""

    policy: Policy
    desk: Asks

    def ask(self, decision: Decision, campaign: str, record: dict[str, Any]) -> MsgGenerator[None]:
        """Let a step pass, or not.

        Args:
            decision: the step.
            campaign: id of its campaign.
            record: gets what was asked and answered, for the document of the decision.

        Raises:
            Vetoed: a rule forbids it, or a person does. NotApproved: nobody answered in time.
        """
        rule = self.policy.rule_for(decision.stage, decision.inputs)
        if rule is None or rule.do == "free":
            return
        record |= {"rule": str(rule), "do": rule.do}
        if rule.do == "forbid":
            raise Vetoed(f"the lab file forbids this step ({rule})")
        now = time.time()
        why = {k: decision.explain.get(k) for k in ("prediction", "acquisition", "expected", "findings")}
        request = Request(
            campaign,
            decision.step,
            decision.stage,
            decision.suggestion_id,
            dict(decision.inputs),
            {k: v for k, v in why.items() if v},
            str(rule),
            now,
            now + self.policy.wait_s,
        )
        record["asked"] = now
        self.desk.ask(request)
        answer = self.desk.answer(request)
        while answer is None and time.time() < request.until:
            yield from bps.sleep(_LOOK_S)
            answer = self.desk.answer(request)
        if answer is None:
            self.desk.clear(request.key)
            raise NotApproved(
                f"step {decision.step} ({decision.stage}) waited {self.policy.wait_s:g} s for an approval and nobody "
                f"answered: it was not begun; `sdl campaign resume {campaign}` asks again"
            )
        record |= {"given": answer.given, "who": answer.who, "why": answer.why, "answered": answer.time}
        if not answer.given:
            raise Vetoed(f"{answer.who} vetoed this step: {answer.why}")

    def done(self, decision: Decision, campaign: str) -> None:
        """Take the request off the desk, once the decision is written."""
        self.desk.clear(key_of(campaign, decision.step))
