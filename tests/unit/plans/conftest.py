"""The fake machines of the device tests, and the simulated sources of the analysis tests, serve the plans' tests too."""

from __future__ import annotations

import sys
from pathlib import Path

for folder in ("devices", "analysis"):
    sys.path.insert(0, str(Path(__file__).parents[1] / folder))
