"""Spectra as text: the CSV `channel,counts`, or one column of counts, or two columns.

Channel numbers begin where the file says (from 0 without them) and follow one another; counts are not negative.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from sdl_bluesky.data.rbs.text import decode, number, read_bytes, shown
from sdl_bluesky.errors import OutOfRange, SpectrumFileError
from sdl_bluesky.physics.geometry import Array

MOST_CHANNELS = 2**20
COMMENT = ("#", "%", "!", "//")
_SEPARATOR = re.compile(r"\s*,\s*|\s+", re.ASCII)
_CLEAN = re.compile(r"channel,counts\n(?:\d{1,7},\d[\d.]*(?:e[+-]\d+)?\n)+", re.ASCII)
_HEADERS = (["channel", "counts"], ["counts"])


@dataclass(frozen=True, eq=False)
class Spectrum:
    """A spectrum as a file holds it.

    Attributes:
        counts: [n], not negative.
        first_channel: number of the first channel.
        findings: what is odd but usable.
        source: where it is from.
    """

    counts: Array = field(repr=False)
    first_channel: int = 0
    findings: tuple[str, ...] = ()
    source: str = ""

    @property
    def end(self) -> int:
        """Number of the channel after the last one."""
        return self.first_channel + self.counts.size

    def from_zero(self, channels: int) -> Array:
        """Counts [channels] from channel 0; channels that the file does not hold are 0."""
        found = np.zeros(channels)
        part = self.counts[: max(channels - self.first_channel, 0)]
        found[self.first_channel : self.first_channel + part.size] = part
        return found


def read_spectrum(path: Path) -> Spectrum:
    """Read a spectrum from text or CSV.

    Raises:
        SpectrumFileError: it cannot be used; names the file, the line and what to do.
    """
    return parse_spectrum(decode(read_bytes(path, SpectrumFileError), str(path), SpectrumFileError), str(path))


def parse_spectrum(text: str, where: str = "spectrum") -> Spectrum:
    """The spectrum that a text holds.

    Raises:
        SpectrumFileError: it cannot be used; names `where`, the line and what to do.
    """
    found = _parse_clean(text, where) or _parse_lines(text, where)
    findings = list(found.findings)
    if not np.any(found.counts > 0):
        findings.append("every channel is empty: was the shutter closed, or is this another detector's file?")
    return replace(found, findings=tuple(findings))


def write_spectrum(path: Path, counts: ArrayLike) -> None:
    """Write counts [n] as CSV `channel,counts` from channel 0, ten digits.

    Raises:
        OutOfRange: counts are negative, not finite, or not one row.
    """
    values = np.asarray(counts, dtype=float)
    if values.ndim != 1 or values.size == 0 or not np.all(np.isfinite(values)) or np.any(values < 0):
        raise OutOfRange(f"a spectrum is one row of finite counts that are not negative, not {values.shape}")
    lines = [f"{channel},{value:.10g}" for channel, value in enumerate(values.tolist())]
    path.write_text("\n".join(["channel,counts", *lines, ""]), encoding="utf-8")


def _parse_clean(text: str, where: str) -> Spectrum | None:
    """What `write_spectrum` and most programs write, quickly; None if anything is unusual."""
    if _CLEAN.fullmatch(text) is None:
        return None
    _, _, body = text.partition("\n")
    try:
        table = np.array(body.replace("\n", ",").split(",")[:-1], dtype=float).reshape(-1, 2)
    except ValueError:  # such as 1.2.3: the slow way finds the line
        return None
    if np.any(np.diff(table[:, 0]) != 1.0) or not np.all(np.isfinite(table)) or table[-1, 0] >= MOST_CHANNELS:
        return None
    return Spectrum(table[:, 1].copy(), int(table[0, 0]), _about_start(int(table[0, 0])), where)


def _parse_lines(text: str, where: str) -> Spectrum:
    lines = text.split("\n")
    rows = [(i + 1, line.strip()) for i, line in enumerate(lines) if line.strip()]
    rows = [(i, line) for i, line in rows if not line.startswith(COMMENT)]
    if not rows:
        raise SpectrumFileError(where, "no data, only comments: the file was probably cut short")
    columns = _header(rows[0], where)
    if columns:
        del rows[0]
    if not rows:
        raise SpectrumFileError(where, "no data after the header: the file was probably cut short")
    if len(rows) > MOST_CHANNELS:
        raise SpectrumFileError(where, f"{len(rows)} channels are more than any spectrum has (at most {MOST_CHANNELS})")
    parsed = [_numbers(line, i, where) for i, line in rows]
    width = columns or len(parsed[0])
    first, previous = 0, -1
    counts = np.empty(len(rows))
    for k, ((i, line), values) in enumerate(zip(rows, parsed, strict=True)):
        if len(values) != width or width > 2:
            raise SpectrumFileError(where, _columns(line, len(values), width, k == len(rows) - 1), i)
        if width == 2:
            channel = _channel(values[0], line, i, where)
            if k == 0:
                first = channel
            elif channel != previous + 1:
                raise SpectrumFileError(where, _jump(channel, previous), i)
            previous = channel
        if values[-1] < 0:
            raise SpectrumFileError(where, f"counts {values[-1]:g} are negative: raw counts are needed", i)
        counts[k] = values[-1]
    findings = list(_about_start(first))
    if lines[-1].strip():
        findings.append(f"the last line {shown(lines[-1])} has no line break: was the file cut short?")
    return Spectrum(counts, first, tuple(findings), where)


def _about_start(first: int) -> tuple[str, ...]:
    return (f"channels begin at {first}: those before it count as not measured",) if first else ()


def _header(row: tuple[int, str], where: str) -> int:
    """Number of columns that the first line announces; 0 if it is data already."""
    i, line = row
    words = [word.strip().strip("\"'") for word in _SEPARATOR.split(line.lower())]
    if words in _HEADERS:
        return len(words)
    if not re.match(r"[A-Za-z\"']", line) or words[0] in ("nan", "inf"):
        return 0
    raise SpectrumFileError(where, f"the header {shown(line)} must be 'channel,counts' or 'counts', or left out", i)


def _numbers(line: str, i: int, where: str) -> list[float]:
    if ";" in line:
        raise SpectrumFileError(
            where, f"';' in {shown(line)}: columns are parted by a comma or white space, decimals by a point", i
        )
    tokens = _SEPARATOR.split(line)
    values = []
    for token in tokens:
        value = number(token)
        if value is None:
            what = f"{shown(token)} is no number in {shown(line)}"
            if not token:
                what = f"a number is missing in {shown(line)}: the file was cut short, or a column is empty"
            raise SpectrumFileError(where, what, i)
        values.append(value)
    return values


def _columns(line: str, found: int, wanted: int, last: bool) -> str:
    if found > 2 and "," in line:
        return f"{found} numbers in {shown(line)}: a decimal comma? Write decimals with a point, two columns at most"
    if found > 2:
        return f"{found} columns in {shown(line)}: write channel and counts, or counts alone"
    cut = ": the file was cut short; fetch it again" if last and found < wanted else ""
    return f"{found} column(s) in {shown(line)} where the lines before have {wanted}{cut}"


def _channel(value: float, line: str, i: int, where: str) -> int:
    if value != int(value) or not 0 <= value < MOST_CHANNELS:
        what = (
            f"{value:g} is no channel number in {shown(line)}: whole numbers from 0 are; an energy axis cannot be used"
        )
        raise SpectrumFileError(where, what, i)
    return int(value)


def _jump(channel: int, previous: int) -> str:
    if channel == previous:
        return f"channel {channel} stands here a second time (or the comma is a decimal comma: write a point)"
    if channel < previous:
        return f"channel {channel} comes after {previous}: channels must rise, one spectrum in a file"
    missing = (
        f"channel {previous + 1} is" if channel == previous + 2 else f"channels {previous + 1} to {channel - 1} are"
    )
    return f"{missing} missing: write their counts, 0 if they are empty"
