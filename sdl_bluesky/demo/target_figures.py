"""What became of a campaign with a target, compared with the hidden truth: for the summary of a demonstration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sdl_bluesky.errors import SDLError
from sdl_bluesky.plans.campaign_file import Target
from sdl_bluesky.plans.history import History, Step


def best_film(history: History) -> tuple[Step, dict[str, Any]]:
    """The film of a target campaign that is most likely in tolerance, and what the campaign knew of it in the end.

    A film that was measured after it was judged is known by that measurement.

    Raises:
        SDLError: the campaign made no film.
    """
    films = [s for s in history.of("target") if s.outcome == "success" and s.row is not None]
    if not films:
        raise SDLError("the campaign made no film for its target: see its decisions")
    known = {s.uid: dict(s.row or {}) for s in films}
    for step in history.of("measure"):
        for judged in (step.row or {}).get("judged", ()):
            known[str(judged["film"])] = dict(judged)
    best = max(films, key=lambda s: float(known[s.uid]["probability"]))
    return best, known[best.uid]


def target_figures(target: Target, history: History, verdict: Mapping[str, Any]) -> dict[str, Any]:
    """The part "target" of ``summary.json``, and the film that the part "composition" is about.

    Args:
        target: of the campaign file.
        history: of the campaign.
        verdict: of the judge, with "films".

    Returns:
        "target": "wanted" {element: fraction}, "depositions", "uid" of the best film, its "centre" {element: true
        fraction in the middle}, "error" (the largest one there), "probability" of being in tolerance by the campaign's own
        errors, and "films": each with its error; "composition": figures of the map of the best film.

    Raises:
        SDLError: there is no film, or the judge knows nothing of it.
    """
    best, known = best_film(history)
    wanted = {k: v / 100.0 for k, v in target.composition.items()}
    scores = {str(score["run"]): score for score in verdict.get("films", {}).values()}
    missing = [s.uid for s in history.of("target") if s.outcome == "success" and s.uid not in scores]
    if missing:
        raise SDLError(f"the judge found no composition map of film {missing[0]}")
    errors = {
        uid: max(abs(score["centre"].get(k, 0.0) - v) for k, v in wanted.items())
        for uid, score in scores.items()
        if uid in history.uids("target")
    }
    score = scores[best.uid]
    return {
        "target": {
            "wanted": wanted,
            "depositions": sum(s.outcome in ("success", "failed") for s in history.of("target")),
            "uid": best.uid,
            "centre": dict(score["centre"]),
            "error": errors[best.uid],
            "probability": float(known["probability"]),
            "films": [{"uid": uid, "error": errors[uid]} for uid in history.uids("target")],
        },
        "composition": {"uid": best.uid, **{k: score[k] for k in ("rms_percent", "centre_error", "coverage_90")}},
    }
