"""Errors of a queue server's worker as its agent sees them: from the text of real tracebacks."""

from __future__ import annotations

import traceback

import pytest

from sdl_bluesky.errors import (
    DeviceError,
    InterlockTripped,
    OutOfRange,
    PlasmaError,
    SDLError,
    ServiceError,
    WeakSignal,
)
from sdl_bluesky.plans.conditions import went_out
from sdl_bluesky.session.queue.client import typed_fault


def text_of(fault: Exception, *notes: str) -> str:
    for note in notes:
        fault.add_note(note)
    try:
        raise fault
    except Exception as raised:
        return "".join(traceback.format_exception(raised))


@pytest.mark.parametrize("lit", [4.25, None])
def test_a_plasma_that_went_out_tells_its_pressures(lit: float | None) -> None:
    fault = went_out("cu", 12.0, lit, 2.123456789)
    found = typed_fault(text_of(fault, "run 1234", fault.seen), "")
    assert isinstance(found, PlasmaError)
    assert (found.lit_pressure_mTorr, found.out_pressure_mTorr) == (lit, 2.123456789)
    assert str(found) == str(fault)


@pytest.mark.parametrize("kind", [InterlockTripped, WeakSignal, OutOfRange, DeviceError])
def test_other_errors_keep_their_type_and_words(kind: type[SDLError]) -> None:
    found = typed_fault(text_of(kind("look at the water")), "")
    assert type(found) is kind
    assert str(found) == "look at the water"


def test_what_is_not_ours_is_a_fault_of_the_service() -> None:
    found = typed_fault(text_of(ZeroDivisionError("x")), "measure_rate ended as failed")
    assert type(found) is ServiceError
    assert str(found) == "measure_rate ended as failed"
