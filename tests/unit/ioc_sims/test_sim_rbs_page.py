"""The page of PVs is that of the program."""

from __future__ import annotations

import re
from pathlib import Path

import ioc_sims.rbs

PAGE = Path(__file__).resolve().parents[3] / "docs" / "reference" / "pvs-rbs.md"


def test_the_table_of_pvs_is_that_of_the_program():
    [table] = re.findall(r"^```text\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert table.strip() == (ioc_sims.rbs.__doc__ or "").strip(), (
        "docs/reference/pvs-rbs.md differs from `python -m ioc_sims rbs --help`"
    )
