"""A chamber of fake devices that behave like a machine which follows at once."""

from __future__ import annotations

import pytest
from device_fakes import fake_chamber


@pytest.fixture
def chamber():
    made = fake_chamber()
    yield made
    made.liveness.close()
