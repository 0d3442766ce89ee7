"""Descriptions refuse what makes no sense."""

from __future__ import annotations

import dataclasses
import math

import pytest

from sdl_bluesky.devices import ChamberSpec, QCMSpec, SourceSpec
from sdl_bluesky.errors import LabFileError, OutOfRange

CU = SourceSpec("cu", "S1:", "Cu", (0.0, 0.0, 14.0), (0.0, 0.0, -1.0))
Q1 = QCMSpec("qcm1", "Q1:", (5.0, 0.0, 0.0))


def test_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CU.name = "sn"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"axis": (0.0, 0.0, 2.0)}, "unit vector"),
        ({"position_cm": (0.0, math.nan, 0.0)}, "finite"),
        ({"max_power_W": 0.0}, "max_power_W"),
        ({"power_tolerance_W": math.inf}, "power_tolerance_W"),
    ],
)
def test_source_refuses(change, word):
    with pytest.raises(OutOfRange, match=word):
        dataclasses.replace(CU, **change)


@pytest.mark.parametrize("change", [{"f0_Hz": -1.0}, {"normal": (0.0, 0.0, 0.0)}])
def test_qcm_refuses(change):
    with pytest.raises(OutOfRange):
        dataclasses.replace(Q1, **change)


@pytest.mark.parametrize(
    ("sources", "qcms", "word"),
    [
        ((), (Q1,), "at least one source"),
        ((CU, CU), (Q1,), "used twice"),
        ((CU,), (dataclasses.replace(Q1, pv="S1:"),), "PV stub used twice"),
        ((dataclasses.replace(CU, name="gas"),), (Q1,), "'gas'"),
        ((dataclasses.replace(CU, name="c u"),), (Q1,), "identifier"),
        ((CU,), (dataclasses.replace(Q1, name="1"),), "identifier"),
    ],
)
def test_chamber_refuses(sources, qcms, word):
    with pytest.raises(LabFileError, match=word):
        ChamberSpec(sources=sources, qcms=qcms)
