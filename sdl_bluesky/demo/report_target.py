"""The part of a report about a campaign with a target: what was wanted, checked, designed, made and judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from sdl_bluesky.analysis.runs import CHECK
from sdl_bluesky.demo import page
from sdl_bluesky.plans.knowledge import MEASURE, TARGET
from sdl_bluesky.plans.proposal import NOT_POWERS

TITLE = "Wanted composition"


def target_section(
    campaign_file: Mapping[str, Any], steps: Sequence[Mapping[str, Any]], summary: Mapping[str, Any]
) -> str:
    """The section, as HTML; nothing for a campaign without checks or a target.

    Args:
        campaign_file: as the campaign's start document holds it.
        steps: its decisions.
        summary: with "target", where a judge compared with the truth.
    """
    parts = []
    if target := campaign_file.get("target"):
        parts.append(f"<h2>{TITLE}</h2><p>{page.text(_wanted(target))}</p>")
        parts.append(_films([k for k in steps if k["stage"] == TARGET], known_of(steps)))
        parts.append(_truth(summary.get("target") or {}))
    checks = [k for k in steps if k["stage"] == CHECK]
    if checks:
        parts.append("<h2>Do the rates add up?</h2>" + _checks(checks))
    return "".join(parts)


def best_run(steps: Sequence[Mapping[str, Any]]) -> str:
    """Run of the film that is most likely in tolerance; "" for a campaign without a target."""
    known = known_of(steps)
    return max(known, key=lambda uid: float(known[uid]["probability"])) if known else ""


def known_of(steps: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """What the campaign took each film for in the end, by the uid of its run."""
    known: dict[str, Mapping[str, Any]] = {}
    for step in steps:
        row = _mapping(step["outcome_row"])
        if step["outcome"] != "success":
            continue
        if step["stage"] == TARGET:
            known[str(step["outcome_uid"])] = row
        elif step["stage"] == MEASURE:
            known |= {str(k["film"]): k for k in row.get("judged", ())}
    return known


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _wanted(target: Mapping[str, Any]) -> str:
    elements = ", ".join(f"{k} {v}" for k, v in target["composition"].items())
    slope = "".join(f"; {k} changes by {x} along x and {y} along y" for k, (x, y) in target.get("gradient", {}).items())
    return (
        f"{elements} at ({', '.join(target['at'])}) within {target['tolerance']}{slope}; at most {target['depositions']} "
        f"deposition(s), until a film is in tolerance with a probability of {target['confidence']}."
    )


def _films(steps: Sequence[Mapping[str, Any]], known: Mapping[str, Mapping[str, Any]]) -> str:
    rows = []
    for step in steps:
        if step["outcome"] == "aborted":
            continue
        expected, before = _mapping(step.get("expected")), _mapping(step["outcome_row"])
        after = known.get(str(step["outcome_uid"]), {})
        rows.append(
            [
                page.text(step["step"]),
                page.text(_setting(step["inputs"])),
                *(_told(k) for k in (expected, before, after)),
            ]
        )
    head = ["step", "setting", "designed: probability", "made: probability", "in the end: probability"]
    reasons = page.notes(k["reason"] for k in steps if k["outcome"] == "aborted")
    more = "".join(_alternatives(k) for k in steps if k["outcome"] != "aborted")
    return page.table(head, rows) + more + reasons


def _setting(inputs: Mapping[str, Any]) -> str:
    powers = ", ".join(f"{k} {v:.1f} W" for k, v in inputs.items() if k not in NOT_POWERS)
    return f"{powers}, {inputs.get('pressure', math.nan):.2f} mTorr, {inputs.get('duration', math.nan):.0f} s"


def _told(found: Mapping[str, Any]) -> str:
    """Composition at the first point, and the probability that it is in tolerance."""
    if "probability" not in found or "fraction" not in found:
        return "–"
    columns = zip(found["elements"], found["fraction"], found["fraction_std"])
    parts = ", ".join(f"{e} {100 * x[0]:.2f} ± {100 * std[0]:.2f} %" for e, x, std in columns)
    return f"{page.text(parts)}: <b>{page.number(found['probability'], 2)}</b>"


def _alternatives(step: Mapping[str, Any]) -> str:
    others = [k for k in step["considered"] if isinstance(k, Mapping)] if isinstance(step["considered"], list) else []
    sources = [k for k in step["inputs"] if k not in NOT_POWERS]
    rows = [
        [
            page.number(n),
            *(page.number(k.get(s)) for s in sources),
            *(page.number(k.get(s)) for s in ("pressure", "rate", "probability")),
        ]
        for n, k in enumerate(others, start=1)
    ]
    if not rows:
        return ""
    head = ["", *(f"{s} / W" for s in sources), "pressure / mTorr", "rate / ng cm⁻² s⁻¹", "probability"]
    title = f"What else was considered in step {page.text(step['step'])}"
    return f"<details><summary>{title}</summary>{page.table(head, rows)}</details>"


def _truth(figures: Mapping[str, Any]) -> str:
    if not figures:
        return ""
    centre = ", ".join(f"{k} {100 * float(v):.2f} at. %" for k, v in figures.get("centre", {}).items())
    error = page.number(100 * float(figures["error"])) if "error" in figures else "–"
    return f"<p>In truth, the best film holds {page.text(centre)} in the middle: an error of {error} at. %.</p>"


def _checks(steps: Sequence[Mapping[str, Any]]) -> str:
    rows, findings = [], []
    for step in steps:
        found = _mapping(step["outcome_row"])
        findings = list(found.get("findings", findings))
        pairs = ", ".join(
            f"{k['source']} by {k['neighbour']} {100 * k['change']:+.1f} ± {100 * k['std']:.1f} %"
            for k in found.get("pairs", ())
        )
        rows.append(
            [
                page.text(step["step"]),
                page.text(_setting({**step["inputs"], "duration": math.nan}).rsplit(",", 1)[0]),
                page.text(found.get("kind", step["outcome"])),
                page.text(pairs or "–"),
                page.number(found.get("misfit_probability")),
            ]
        )
    head = ["step", "setting", "neighbours change", "by", "probability of the misfit"]
    text = "<p>Sources that burn together, without a film, against the sum of what each was learned to give alone.</p>"
    return text + page.table(head, rows) + page.notes(findings)
