"""The report of a campaign: one HTML file that needs nothing else, made from the catalogue."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl_bluesky.analysis.figures import composition_figure, learning_curve_figure, rate_surface_figure
from sdl_bluesky.analysis.kinds import COMPOSITION, RATE_SURFACE
from sdl_bluesky.analysis.runs import LEARN
from sdl_bluesky.data.analysis import Analysis, latest_analysis
from sdl_bluesky.data.campaigns import campaign_chain, decisions, start_of
from sdl_bluesky.errors import CatalogueError

if TYPE_CHECKING:
    from tiled.client.container import Container

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; background: #fff; max-width: 1060px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #e4e7eb; }
p.sub { color: #52606d; margin-top: 0; } img { max-width: 100%; height: auto; }
.wide { overflow-x: auto; } table { border-collapse: collapse; } th, td { padding: .25rem .9rem .25rem 0; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid #9aa5b1; font-weight: 600; } td { border-bottom: 1px solid #e4e7eb; } td.n, th.n { text-align: right; }
code { font: 12.5px ui-monospace, monospace; } li { margin: .15rem 0; } .note { color: #9a3412; } summary { cursor: pointer; }
"""  # noqa: E501


def write_report(path: Path | str, summary: Mapping[str, Any], client: Container, campaign: str) -> Path:
    """Write the report of a campaign.

    Args:
        path: of the HTML file; its folder is made if missing.
        summary: what `summary.json` holds: seed, sources (experiments, e_rms_percent), composition (rms_percent,
            centre_error, coverage_90). Numbers that are missing or None are shown as a dash.
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
    parts.append(_composition(client, campaign))
    parts.append(_provenance(client, campaign, sources, [str(run.item["id"]) for run in runs], steps))
    title = str(start.get("campaign_name") or start.get("sample") or "Campaign")
    made = datetime.fromtimestamp(float(start["time"]), UTC).strftime("%Y-%m-%d %H:%M UTC")
    words = [str(start.get("goal") or ""), f"Sample {start.get('sample', '?')}, begun {made}, campaign {campaign}"]
    head = f"<h1>{_text(title)}</h1>" + "".join(f'<p class="sub">{_text(w)}</p>' for w in words if w)
    page = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{_text(title)}</title><style>{STYLE}</style></head><body>{head}{''.join(parts)}</body></html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(page, encoding="utf-8")
    return path


def _text(value: Any) -> str:
    return html.escape(str(value))


def _number(value: Any, digits: int = 3) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "–" if value is None or isinstance(value, float) else _text(value)
    return f"{value:.{digits}g}"


def _image(data: bytes, alt: str) -> str:
    return f'<img alt="{_text(alt)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; every column but the first holds numbers. Cells are HTML already."""

    def line(tag: str, cells: Sequence[str]) -> str:
        marks = ["", *[" class=n"] * (len(cells) - 1)]
        return f"<tr>{''.join(f'<{tag}{mark}>{cell}</{tag}>' for mark, cell in zip(marks, cells))}</tr>"

    lines = [line("th", [_text(name) for name in head]), *(line("td", row) for row in rows)]
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def _notes(findings: Iterable[Any]) -> str:
    items = "".join(f"<li>{_text(k)}</li>" for k in findings)
    return f'<ul class="note">{items}</ul>' if items else ""


def _summary(summary: Mapping[str, Any]) -> str:
    sources = _table(
        ["source", "experiments", "rate error, % of the mean rate"],
        (
            [_text(name), _number(row.get("experiments")), _number(row.get("e_rms_percent"))]
            for name, row in (summary.get("sources") or {}).items()
        ),
    )
    film = summary.get("composition") or {}
    wanted = {
        "map error, atomic percent (rms)": film.get("rms_percent"),
        "error at the centre, atomic fraction": film.get("centre_error"),
        "pixels within their 90 % interval": film.get("coverage_90"),
    }
    map_table = _table(["composition map", "value"], ([_text(k), _number(v)] for k, v in wanted.items()))
    note = "<p>Errors are against the hidden truth of the simulated chamber; a real laboratory has none.</p>"
    return f"<h2>Summary</h2>{sources}<br>{map_table}{note}<p>Seed {_number(summary.get('seed'))}.</p>"


def _is_learning(step: Mapping[str, Any]) -> bool:
    return str(step["stage"]).startswith(LEARN)


def _missing(title: str, fault: CatalogueError) -> str:
    return f'<h2>{_text(title)}</h2><p class="note">Not in the catalogue: {_text(fault)}</p>'


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
    return f"<h2>{_text(title)}</h2>{_image(image, label)}<p>{words}.</p>{_notes(found.metadata.get('findings', ()))}"


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
    return f"<h2>Learning</h2>{_image(image, 'learning curve')}<p>{text}</p>"


def _composition(client: Container, campaign: str) -> str:
    try:
        found = latest_analysis(client, COMPOSITION, campaign=campaign)
    except CatalogueError as fault:
        return _missing("Composition", fault)
    a, meta = found.arrays, found.metadata
    elements = [str(k) for k in meta["elements"]]
    title = f"Film {meta.get('sample', '')}"
    image = composition_figure(elements, a["composition"], a["composition_std"], a["x"], a["y"], title)
    row, column = a["composition"].shape[1] // 2, a["composition"].shape[2] // 2
    centre = ", ".join(
        f"{name} {100 * a['composition'][k, row, column]:.2f} ± {100 * a['composition_std'][k, row, column]:.2f} at. %"
        for k, name in enumerate(elements)
    )
    fits = meta.get("fits", {})
    table = _table(
        ["source", "ln a(n+1)", "n", "diffuse part", "mean square radius, cm²"],
        (
            [_text(name), *(f"{_number(v[k])} ± {_number(v[k + '_std'], 2)}" for k in _FIT_KEYS)]
            for name, v in fits.items()
        ),
    )
    return f"<h2>Composition</h2>{_image(image, title)}<p>Middle of the map: {_text(centre)}.</p>{table}" + _notes(
        meta.get("findings", ())
    )


_FIT_KEYS = ("ln_strength", "n", "diffuse", "square_radius_cm2")


def _provenance(
    client: Container, campaign: str, sources: Sequence[str], runs: Sequence[str], steps: Sequence[Mapping[str, Any]]
) -> str:
    rows = [
        [f"<code>{_text(k['outcome_uid'] or '–')}</code>", _text(k["step"]), _text(k["stage"]), _text(k["outcome"])]
        for k in steps
    ]
    found: list[str] = []
    for kind, which in [*((RATE_SURFACE, {"source": name}) for name in sources), (COMPOSITION, {})]:
        try:
            result = latest_analysis(client, kind, campaign=campaign, **which)
        except CatalogueError:
            continue
        software = ", ".join(f"{name} {version}" for name, version in result.metadata.get("software", {}).items())
        what = " ".join([kind.replace("_", " "), *which.values()])
        method = f"{_text(what)}: {_text(result.metadata['method'])}; {_text(software)}"
        found.append(f"<li><code>{_text(result.key)}</code> {method}</li>")
    listed = "".join(f"<li><code>{_text(uid)}</code></li>" for uid in runs)
    return (
        f"<h2>Where it comes from</h2><p>Campaign runs:</p><ul>{listed}</ul><p>Results:</p><ul>{''.join(found)}</ul>"
        f"<details open><summary>{len(rows)} decisions and their runs</summary>"
        f"{_table(['run', 'step', 'stage', 'outcome'], rows)}</details>"
    )
