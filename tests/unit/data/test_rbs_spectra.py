"""Spectra as text: what other programs write is read; what cannot be a spectrum says why, where, and what to do."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdl_bluesky.data.rbs.spectra import parse_spectrum, read_spectrum, write_spectrum
from sdl_bluesky.errors import OutOfRange, SpectrumFileError


@pytest.mark.parametrize(
    "text",
    [
        "channel,counts\n0,3\n1,0\n2,12.5\n",
        "Channel, Counts\r\n0, 3\r\n1, 0\r\n2, 12.5\r\n",
        "# live 100 s\n0 3\n1 0\n2 1.25e1\n",
        "0\t3\n1\t0\n\n2\t12.5\n",
        "3\n0\n12.5\n",
        "counts\n3\n0\n12.5\n",
        "% from the MCA\n! again\n// and again\n3\n+0\n12.5\n",
    ],
)
def test_every_common_form_gives_the_same_spectrum(text):
    found = parse_spectrum(text)
    assert found.counts.tolist() == [3.0, 0.0, 12.5]
    assert (found.first_channel, found.end, found.findings) == (0, 3, ())


def test_channels_may_begin_anywhere_and_it_is_told():
    found = parse_spectrum("100 5\n101 6\n")
    assert (found.first_channel, found.end) == (100, 102)
    assert "begin at 100" in found.findings[0]
    assert found.from_zero(103).tolist() == [0.0] * 100 + [5.0, 6.0, 0.0]
    assert found.from_zero(101).tolist() == [0.0] * 100 + [5.0]
    assert found.from_zero(50).tolist() == [0.0] * 50


@pytest.mark.parametrize(
    ("text", "line", "what"),
    [
        ("channel,counts\n0,3\n1,-2\n2,4\n", 3, "negative"),
        ("channel,counts\n0,3\n1,nan\n", 3, "'nan' is no number"),
        ("0 1\n1 inf\n", 2, "'inf' is no number"),
        ("channel,counts\n0,3\n1,4\n3,5\n", 4, "channel 2 is missing"),
        ("channel,counts\n0,3\n1,4\n7,5\n", 4, "channels 2 to 6 are missing"),
        ("channel,counts\n0,3\n1,4\n1,5\n", 4, "a second time"),
        ("channel,counts\n0,3\n1,4\n0,5\n", 4, "must rise"),
        ("energy,counts\n0,3\n", 1, "header"),
        ("counts,channel\n0,3\n", 1, "header"),
        ("channel,counts\n0,3\n1,", 3, "cut short"),
        ("channel,counts\n0,3\n1", 3, "cut short"),
        ("0 1\n1 2,5\n", 2, "decimal comma"),
        ("0;1\n1;2,5\n", 1, "decimals by a point"),
        ("0 1 2\n", 1, "3 columns"),
        ("1.5 2\n2.5 3\n", 1, "channel number"),
        ("channel,counts\n0,3\n1,1_000\n", 3, "'1_000' is no number"),
        ("channel,counts\n0,3\n1,2.5.1\n", 3, "'2.5.1' is no number"),
        ("channel,counts\n0,3\n1,1e999\n", 3, "no number"),
        ("0 1\n1 \u0661\n", 2, "no number"),
    ],
)
def test_what_is_no_spectrum_names_line_and_reason(text, line, what):
    with pytest.raises(SpectrumFileError, match=f"line {line}: ") as fault:
        parse_spectrum(text, "film.csv")
    assert fault.value.line == line
    assert str(fault.value).startswith("film.csv, line")
    assert what in str(fault.value)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"# nothing but this\n", "only comments"),
        (b"channel,counts\n", "no data after the header"),
        (b"0 1\n1 \xb55\n", "UTF-8"),
        ("0 1\n".encode("utf-16"), "UTF-16"),
        (b"0 1\n\0\0\0", "binary"),
    ],
)
def test_files_that_hold_no_text_say_so(tmp_path, data, what):
    path = tmp_path / "film.csv"
    path.write_bytes(data)
    with pytest.raises(SpectrumFileError, match=what):
        read_spectrum(path)


def test_a_missing_file_and_a_folder_are_typed_faults(tmp_path):
    for path in (tmp_path / "none.csv", tmp_path):
        with pytest.raises(SpectrumFileError, match="cannot be read"):
            read_spectrum(path)


def test_empty_channels_and_a_missing_line_break_are_findings():
    assert "every channel is empty" in parse_spectrum("channel,counts\n0,0\n1,0\n").findings[0]
    assert "cut short" in parse_spectrum("channel,counts\n0,3\n1,12").findings[0]
    assert parse_spectrum("channel,counts\n0,3\n1,12\n").findings == ()


@settings(max_examples=50)
@given(counts=st.lists(st.floats(0, 1e12), min_size=1, max_size=30))
def test_what_is_written_is_read_back_to_ten_digits(tmp_path_factory, counts):
    path = tmp_path_factory.getbasetemp() / "round-trip.csv"
    write_spectrum(path, counts)
    found = read_spectrum(path)
    np.testing.assert_allclose(found.counts, counts, rtol=1e-9)
    assert found.first_channel == 0


@pytest.mark.parametrize("counts", [[], [[1.0]], [-1.0], [float("nan")]])
def test_nothing_but_counts_is_written(tmp_path, counts):
    with pytest.raises(OutOfRange):
        write_spectrum(tmp_path / "x.csv", counts)
    assert not (tmp_path / "x.csv").exists()
