"""Readers of files meet anything: they give a checked result or a typed error, never another exception.

10,000 inputs in all: random bytes and text, and valid files that are cut, spliced and overwritten. Drawing edits costs
hypothesis more than reading files, so it draws a seed, and each example is several inputs: a file after each of its edits.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st
from rbs_samples import CASE, R33_LITHIUM, R33_OXYGEN_RATIO, XNRA

from sdl_bluesky.data.rbs.case_file import read_cases
from sdl_bluesky.data.rbs.r33 import read_r33
from sdl_bluesky.data.rbs.spectra import read_spectrum
from sdl_bluesky.data.rbs.xnra import read_xnra
from sdl_bluesky.errors import SDLError

CSV = "channel,counts\n" + "".join(f"{i},{i * 3 % 7}\n" for i in range(12))
CASES = json.dumps({"a": CASE, "b": {**CASE, "channels": 700, "roi": [[100, 600]], "nuisance": {"slope": 0.01}}})
PIECES = (
    b"0", b"-1", b"nan", b"inf", b"1e400", b"9" * 30, b".", b",", b";", b"\n", b"\r", b"\0", b"\xff",
    b"\xef\xbb\xbf", b"\xc3\xa9", b"channel", b"counts", b"Data:\n", b"EndData:\n", b"Comment:", b"Zeds: 1,2",
    b"(p,a)", b"rr", b"tot", b"MeV", b'"', b"{", b"}", b"[", b"null", b"true", b'"E_keV"', b"<x>", b"</x>", b"&",
    b"units=", b"-3 ", b"1 2 3", b"D", b"Xx", b"#", b" ", b"\t", b"1D",
)  # fmt: skip
NO_LIMITS = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.function_scoped_fixture]


def check_spectrum(path: Path) -> None:
    found = read_spectrum(path)
    assert found.counts.ndim == 1
    assert found.counts.size > 0
    assert np.all(np.isfinite(found.counts))
    assert np.all(found.counts >= 0)
    assert found.first_channel >= 0


def check_r33(path: Path) -> None:
    section = read_r33(path).cross_section()
    assert np.all(np.diff(section.energy_keV) > 0)
    assert np.all(section.value_mb_sr >= 0)


def check_cases(path: Path) -> None:
    file = read_cases(path)
    assert len(file.cases) + len(file.faults) > 0
    for case in file.cases.values():
        assert case.densities().min() >= 0
        assert len(case.key()) > 0


def check_xnra(path: Path) -> None:
    found = read_xnra(path)
    for spectrum in (found.spectrum, found.simulation):
        assert spectrum is None or np.all(spectrum.counts >= 0)
    found.to_case()


READERS: dict[str, tuple[Callable[[Path], None], list[bytes]]] = {
    "spectrum": (check_spectrum, [CSV.encode(), b"# x\n0 1\n1 2\n2 3.5\n", b"1\n2\n3\n"]),
    "r33": (check_r33, [R33_LITHIUM.encode(), R33_OXYGEN_RATIO.encode()]),
    "cases": (check_cases, [CASES.encode()]),
    "xnra": (check_xnra, [XNRA.encode()]),
}
MUTATED, RANDOM, EACH = 225, 88, 8
"""Examples of both kinds for each reader, and inputs in each example: 4 (225 + 88) 8 = 10,016."""
EXAMPLES = [pytest.param(*value, id=name) for name, value in READERS.items()]


def mutations(data: bytes, seed: int) -> Iterator[bytes]:
    """The file after each of some edits: a short stretch is replaced by a piece, or all the rest is cut off."""
    chance = Random(seed)
    for _ in range(EACH):
        at = chance.randint(0, len(data))
        end = len(data) if chance.random() < 0.05 else at + chance.choice((0, 0, 1, 1, 2, 5, 12))
        piece = chance.choice(PIECES) if chance.random() < 0.8 else chance.randbytes(chance.randint(0, 4))
        data = data[:at] + piece + data[end:]
        yield data


def anything(seed: int) -> Iterator[bytes]:
    """Bytes, text of any alphabet, and words of these formats in any order."""
    chance = Random(seed)
    for k in range(EACH):
        length = chance.randint(0, 60)
        if k % 3 == 0:
            yield chance.randbytes(length)
        elif k % 3 == 1:
            text = "".join(
                chr(chance.choice((chance.randint(0, 127), chance.randint(0, 0x10FFFF)))) for _ in range(length)
            )
            yield text.encode("utf-8", "surrogatepass")
        else:
            yield b"".join(chance.choice(PIECES) for _ in range(length // 3))


SEED = st.integers(0, 2**40)


def meets(reader: Callable[[Path], None], path: Path, data: bytes) -> str:
    """What became of a file; anything but a result or a typed error with a message goes on as it is."""
    note(repr(data))
    path.unlink(missing_ok=True)  # a new file is written faster than an old one is emptied
    path.write_bytes(data)
    try:
        reader(path)
    except SDLError as fault:
        return type(fault).__name__ if len(str(fault)) > 20 else "without a reason"
    return "read"


@pytest.mark.parametrize(("reader", "valid"), EXAMPLES)
def test_mutations_of_valid_files(reader, valid, tmp_path):
    seen: list[str] = []

    @settings(max_examples=MUTATED, suppress_health_check=NO_LIMITS, database=None)
    @given(st.sampled_from(valid), SEED)
    def meet(data, seed):
        seen.extend(meets(reader, tmp_path / "file", one) for one in mutations(data, seed))

    meet()
    assert len(seen) >= MUTATED * EACH
    assert "without a reason" not in seen
    assert "read" in seen, "so mild that some files stay good"
    assert len(set(seen)) > 1, "and so harsh that some do not"


@pytest.mark.parametrize(("reader", "valid"), EXAMPLES)
def test_random_bytes_and_text(reader, valid, tmp_path):
    seen: list[str] = []

    @settings(max_examples=RANDOM, suppress_health_check=NO_LIMITS, database=None)
    @given(SEED)
    def meet(seed):
        seen.extend(meets(reader, tmp_path / "file", one) for one in anything(seed))

    meet()
    assert len(seen) >= RANDOM * EACH
    assert "without a reason" not in seen
    assert len(set(seen) - {"read"}) > 0
