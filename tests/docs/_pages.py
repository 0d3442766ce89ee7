"""Pages of the documentation, their links and their examples. The scheme is described in CONTRIBUTING.md."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NO_RUN = "no-run"

_FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<text>.*?)^```[ ]*$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
_HEADING = re.compile(r"^#+ +(.*?) *$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, the words after it, its text and the line on which it begins."""

    language: str
    words: tuple[str, ...]
    text: str
    line: int

    @property
    def runs(self) -> bool:
        return self.language in ("bash", "python", "ipython") and NO_RUN not in self.words

    @property
    def file(self) -> str:
        """Name under which the block is saved, or nothing."""
        return next((word.removeprefix("file=") for word in self.words if word.startswith("file=")), "")


@dataclass(frozen=True)
class Page:
    """One Markdown page."""

    path: Path

    @property
    def name(self) -> str:
        return str(self.path.relative_to(ROOT))

    @cached_property
    def text(self) -> str:
        return self.path.read_text(encoding="utf-8")

    @property
    def blocks(self) -> list[Block]:
        found = []
        for match in _FENCE.finditer(self.text):
            language, *words = match["info"].split() or [""]
            line = self.text.count("\n", 0, match.start()) + 1
            found.append(Block(language, tuple(words), match["text"], line))
        return found

    @property
    def links(self) -> list[str]:
        """Targets of links, code left out."""
        prose = re.sub(r"`[^`\n]*`", "", _FENCE.sub("", self.text))
        return [match["target"] for match in _LINK.finditer(prose)]

    @property
    def anchors(self) -> set[str]:
        """Fragments by which the headings can be reached."""
        headings = _HEADING.findall(_FENCE.sub("", self.text))
        return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}

    @property
    def runs(self) -> bool:
        return any(block.runs for block in self.blocks)


def pages() -> list[Page]:
    """Every page: those at the top, and the folder docs."""
    return [Page(path) for path in (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))]


def clean_environment(**more: str) -> dict[str, str]:
    """This environment without settings of a lab, and with the programs of this interpreter on the path."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("EPICS_", "TILED_", "SDL_"))}
    programs = str(Path(sys.executable).parent)
    return {**clean, "PATH": f"{programs}{os.pathsep}{clean.get('PATH', '')}", "COLUMNS": "120", **more}


def run_page(page: Page, folder: Path, environment: dict[str, str], timeout_s: float = 400.0) -> str:
    """Run the examples of a page in a folder; returns what they printed.

    Raises:
        AssertionError: a block failed; names it, with its output.
    """
    told = []
    for block in page.blocks:
        if block.file:
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.runs and block.language == "bash":
            told.append(
                _run(["bash", "-euo", "pipefail", "-c", block.text], page, block.line, folder, environment, timeout_s)
            )
    for language, name, command in (
        ("ipython", "session.ipy", ["sdl", "shell"]),
        ("python", "page.py", [sys.executable]),
    ):
        chosen = [block for block in page.blocks if block.runs and block.language == language]
        if chosen:
            (folder / name).write_text("\n".join(block.text for block in chosen), encoding="utf-8")
            told.append(_run([*command, name], page, chosen[0].line, folder, environment, timeout_s))
    return "\n".join(told)


def _run(command: list[str], page: Page, line: int, folder: Path, environment: dict[str, str], timeout_s: float) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=timeout_s,
        check=False,
    )
    where = f"{page.name}, block(s) from line {line}"
    assert done.returncode == 0, f"{where}: exit status {done.returncode}\n{done.stdout[-6000:]}"
    return done.stdout
