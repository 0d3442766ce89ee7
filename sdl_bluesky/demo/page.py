"""Pieces of a report: tables, numbers and pictures as HTML that needs nothing else."""

from __future__ import annotations

import base64
import html
import math
from collections.abc import Iterable, Sequence
from typing import Any

STYLE = """
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2933; background: #fff; max-width: 1060px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; margin-bottom: .2rem; } h2 { font-size: 1.2rem; margin-top: 2.2rem; border-bottom: 1px solid #e4e7eb; }
p.sub { color: #52606d; margin-top: 0; } img { max-width: 100%; height: auto; }
.wide { overflow-x: auto; } table { border-collapse: collapse; } th, td { padding: .25rem .9rem .25rem 0; text-align: left; vertical-align: top; }
th { border-bottom: 1px solid #9aa5b1; font-weight: 600; } td { border-bottom: 1px solid #e4e7eb; } td.n, th.n { text-align: right; }
code { font: 12.5px ui-monospace, monospace; } li { margin: .15rem 0; } .note { color: #9a3412; } summary { cursor: pointer; }
"""  # noqa: E501


def text(value: Any) -> str:
    """Escaped."""
    return html.escape(str(value))


def number(value: Any, digits: int = 3) -> str:
    """A number with so many digits; a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "–" if value is None or isinstance(value, float) else text(value)
    return f"{value:.{digits}g}"


def image(data: bytes, alt: str) -> str:
    """A PNG within the page."""
    return f'<img alt="{text(alt)}" src="data:image/png;base64,{base64.b64encode(data).decode()}">'


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; every column but the first holds numbers. Cells are HTML already."""

    def line(tag: str, cells: Sequence[str]) -> str:
        marks = ["", *[" class=n"] * (len(cells) - 1)]
        return f"<tr>{''.join(f'<{tag}{mark}>{cell}</{tag}>' for mark, cell in zip(marks, cells))}</tr>"

    lines = [line("th", [text(name) for name in head]), *(line("td", row) for row in rows)]
    return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def notes(findings: Iterable[Any]) -> str:
    """A list of what a person should look at; nothing if there is nothing."""
    items = "".join(f"<li>{text(k)}</li>" for k in findings)
    return f'<ul class="note">{items}</ul>' if items else ""
