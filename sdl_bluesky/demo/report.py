"""The report of a campaign: one HTML file that needs nothing else, made from the catalogue."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl_bluesky.analysis.figures import composition_figure, learning_curve_figure, rate_surface_figure
from sdl_bluesky.analysis.kinds import COMPOSITION, RATE_SURFACE, RBS
from sdl_bluesky.analysis.runs import LEARN
from sdl_bluesky.data.analysis import Analysis, latest_analysis
from sdl_bluesky.data.campaigns import campaign_chain, decisions, start_of
from sdl_bluesky.demo import page
from sdl_bluesky.demo.report_others import others_section
from sdl_bluesky.demo.report_rbs import measured_film
from sdl_bluesky.demo.report_target import best_run, target_section
from sdl_bluesky.errors import CatalogueError
from sdl_bluesky.plans.recall import recall

if TYPE_CHECKING:
    from tiled.client.container import Container


def write_report(path: Path | str, summary: Mapping[str, Any], client: Container, campaign: str) -> Path:
    """Write the report of a campaign.

    Args:
        path: of the HTML file; its folder is made if missing.
        summary: what `summary.json` holds: seed, sources (experiments, e_rms_percent), composition (rms_percent,
            centre_error, coverage_90), rbs (rms_percent, ...) where a film was measured. Numbers that are missing or
            None are shown as a dash.
        client: root of the catalogue.
        campaign: id of the campaign (uid of its first run).

    Returns:
        The path.

    Raises:
        CatalogueError: there is no such campaign. A result that is missing is named in the report instead.
    """
    path = Path(path)
    runs = campaign_chain(client, campaign)
    start = start_of(runs[0])
    steps = decisions(client, campaign)
    parts = [_summary(summary)]
    sources = list(dict.fromkeys(str(k["stage"]).removeprefix(LEARN) for k in steps if _is_learning(k)))
    for source in sources:
        parts.append(_surface(client, campaign, source, [k for k in steps if k["stage"] == LEARN + source]))
    parts.append(_learning(sources, steps))
    parts.append(target_section(start.get("campaign_file") or {}, steps, summary))
    parts.append(_composition(client, campaign, best_run(steps)))
    parts.append(measured_film(client, campaign))
    parts.append(_others(client, campaign))
    parts.append(_provenance(client, campaign, sources, [str(run.item["id"]) for run in runs], steps))
    title = str(start.get("campaign_name") or start.get("sample") or "Campaign")
    made = datetime.fromtimestamp(float(start["time"]), UTC).strftime("%Y-%m-%d %H:%M UTC")
    words = [str(start.get("goal") or ""), f"Sample {start.get('sample', '?')}, begun {made}, campaign {campaign}"]
    head = f"<h1>{page.text(title)}</h1>" + "".join(f'<p class="sub">{page.text(w)}</p>' for w in words if w)
    whole = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{page.text(title)}</title><style>{page.STYLE}</style></head><body>{head}{''.join(parts)}</body></html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(whole, encoding="utf-8")
    return path


def _summary(summary: Mapping[str, Any]) -> str:
    sources = page.table(
        ["source", "experiments", "rate error, % of the mean rate"],
        (
            [page.text(name), page.number(row.get("experiments")), page.number(row.get("e_rms_percent"))]
            for name, row in (summary.get("sources") or {}).items()
        ),
    )
    film = summary.get("composition") or {}
    wanted = {
        "map error, atomic percent (rms)": film.get("rms_percent"),
        "error at the centre, atomic fraction": film.get("centre_error"),
        "pixels within their 90 % interval": film.get("coverage_90"),
    }
    map_table = page.table(["composition map", "value"], ([page.text(k), page.number(v)] for k, v in wanted.items()))
    if film_points := summary.get("rbs"):
        wanted = {
            "error of the measured fractions, atomic percent (rms)": film_points.get("rms_percent"),
            "fractions and densities within their 90 % interval": film_points.get("coverage_90"),
            "error of the areal density, % (median)": film_points.get("density_error_percent"),
            "measured against the map, atomic percent (rms)": film_points.get("map_rms_percent"),
        }
        rows = ([page.text(k), page.number(v)] for k, v in wanted.items())
        map_table += "<br>" + page.table([f"composition by RBS, {film_points.get('points')} points", "value"], rows)
    note = "<p>Errors are against the hidden truth of the simulated chamber; a real laboratory has none.</p>"
    return f"<h2>Summary</h2>{sources}<br>{map_table}{note}<p>Seed {page.number(summary.get('seed'))}.</p>"


def _is_learning(step: Mapping[str, Any]) -> bool:
    return str(step["stage"]).startswith(LEARN)


def _others(client: Container, campaign: str) -> str:
    try:
        return others_section(*recall(client, campaign))
    except CatalogueError as fault:
        return _missing("What others would have picked", fault)


def _missing(title: str, fault: CatalogueError) -> str:
    return f'<h2>{page.text(title)}</h2><p class="note">Not in the catalogue: {page.text(fault)}</p>'


def _surface(client: Container, campaign: str, source: str, steps: Sequence[Mapping[str, Any]]) -> str:
    title = f"Rate of source {source}"
    try:
        found: Analysis = latest_analysis(client, RATE_SURFACE, campaign=campaign, source=source)
    except CatalogueError as fault:
        return _missing(title, fault)
    a, sensor = found.arrays, found.metadata["sensors"][0]
    rows = [k["outcome_row"] for k in steps if k["outcome"] == "success" and isinstance(k["outcome_row"], dict)]
    points = [(float(r["power"]), float(r["pressure"])) for r in rows if {"power", "pressure"} <= r.keys()]
    failed = [k["inputs"] for k in steps if k["outcome"] == "failed" and isinstance(k["inputs"], dict)]
    crosses = [(float(k["power"]), float(k["pressure"])) for k in failed if {"power", "pressure"} <= k.keys()]
    label = f"{source} ({', '.join(found.metadata.get('elements', []))}) at {sensor}"
    image = rate_surface_figure(a["power"], a["pressure"], a["rate"][0], a["rate_std"][0], label, points, crosses)
    words = f"{len(points)} experiments, numbered in the order in which they were chosen"
    words += f"; {len(crosses)} that could not be measured (crosses)" if crosses else ""
    findings = page.notes(found.metadata.get("findings", ()))
    return f"<h2>{page.text(title)}</h2>{page.image(image, label)}<p>{words}.</p>{findings}"


def _learning(sources: Sequence[str], steps: Sequence[Mapping[str, Any]]) -> str:
    """Before each experiment the agent said what it expected: the error that it expected, and the one that it made."""
    said: dict[str, tuple[list[float], list[float], list[float]]] = {}
    for source in sources:
        numbers, expected, made = said.setdefault(source, ([], [], []))
        for k in steps:
            if k["stage"] != LEARN + source or k["outcome"] != "success":
                continue
            mean, std = float(k.get("prediction_mean", math.nan)), float(k.get("prediction_std", math.nan))
            row = k["outcome_row"] if isinstance(k["outcome_row"], dict) else {}
            scale = 100.0 / mean if mean > 0 else math.nan
            numbers.append(len(numbers) + 1.0)
            expected.append(scale * std)
            made.append(scale * abs(float(row.get("rate", math.nan)) - mean))
    image = learning_curve_figure(
        said, "% of the predicted rate", "Error of the rate at the next point: expected before, made after"
    )
    text = "The agent goes where it knows least, so the error over the whole range is smaller than at its next point."
    return f"<h2>Learning</h2>{page.image(image, 'learning curve')}<p>{text}</p>"


def _composition(client: Container, campaign: str, run: str = "") -> str:
    """The map of the film of a run, or the newest one."""
    try:
        found = latest_analysis(client, COMPOSITION, campaign=campaign, **({"run": run} if run else {}))
    except CatalogueError as fault:
        return _missing("Composition", fault)
    a, meta = found.arrays, found.metadata
    elements = [str(k) for k in meta["elements"]]
    title = f"Film {meta.get('sample', '')}"
    points = _check_points(client, str(meta.get("run", "")))
    image = composition_figure(elements, a["composition"], a["composition_std"], a["x"], a["y"], title, points)
    row, column = a["composition"].shape[1] // 2, a["composition"].shape[2] // 2
    centre = ", ".join(
        f"{name} {100 * a['composition'][k, row, column]:.2f} ± {100 * a['composition_std'][k, row, column]:.2f} at. %"
        for k, name in enumerate(elements)
    )
    fits = meta.get("fits", {})
    table = page.table(
        ["source", "ln a(n+1)", "n", "diffuse part", "mean square radius, cm²"],
        (
            [page.text(name), *(f"{page.number(v[k])} ± {page.number(v[k + '_std'], 2)}" for k in _FIT_KEYS)]
            for name, v in fits.items()
        ),
    )
    return (
        f"<h2>Composition</h2>{page.image(image, title)}<p>Middle of the map: {page.text(centre)}.</p>{table}"
        + page.notes(meta.get("findings", ()))
    )


def _check_points(client: Container, film: str) -> dict[tuple[float, float], dict[str, float]]:
    """What backscattering said of a film, by place [mm]; {} if it was not measured."""
    try:
        found = latest_analysis(client, RBS, based_on=film) if film else None
    except CatalogueError:
        return {}
    if found is None:
        return {}
    a, elements = found.arrays, [str(k) for k in found.metadata["elements"]]
    rows = zip(a["x"], a["y"], a["fraction"], a["accepted"])
    return {(float(x), float(y)): dict(zip(elements, map(float, f))) for x, y, f, good in rows if good > 0}


_FIT_KEYS = ("ln_strength", "n", "diffuse", "square_radius_cm2")


def _provenance(
    client: Container, campaign: str, sources: Sequence[str], runs: Sequence[str], steps: Sequence[Mapping[str, Any]]
) -> str:
    rows = [
        [
            f"<code>{page.text(k['outcome_uid'] or '–')}</code>",
            page.text(k["step"]),
            page.text(k["stage"]),
            page.text(k["outcome"]),
        ]
        for k in steps
    ]
    found: list[str] = []
    for kind, which in [*((RATE_SURFACE, {"source": name}) for name in sources), (COMPOSITION, {}), (RBS, {})]:
        try:
            result = latest_analysis(client, kind, campaign=campaign, **which)
        except CatalogueError:
            continue
        software = ", ".join(f"{name} {version}" for name, version in result.metadata.get("software", {}).items())
        what = " ".join([kind.replace("_", " "), *which.values()])
        method = f"{page.text(what)}: {page.text(result.metadata['method'])}; {page.text(software)}"
        found.append(f"<li><code>{page.text(result.key)}</code> {method}</li>")
    listed = "".join(f"<li><code>{page.text(uid)}</code></li>" for uid in runs)
    return (
        f"<h2>Where it comes from</h2><p>Campaign runs:</p><ul>{listed}</ul><p>Results:</p><ul>{''.join(found)}</ul>"
        f"<details open><summary>{len(rows)} decisions and their runs</summary>"
        f"{page.table(['run', 'step', 'stage', 'outcome'], rows)}</details>"
    )
