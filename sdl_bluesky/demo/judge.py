"""The judge of a demonstration, a program of its own, which alone reads the truth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from sdl_bluesky.data.server import api_key
from sdl_bluesky.errors import SDLError
from sdl_bluesky.session.open import Session


def ask_judge(session: Session, campaign: str, truth: Path, out: Path) -> dict[str, Any]:
    """Let the judge compare what a campaign wrote to the catalogue with the truth of a simulated machine.

    Args:
        session: with the catalogue.
        campaign: id of the campaign.
        truth: file that the machine writes.
        out: file of the verdict.

    Raises:
        SDLError: the judge cannot compare.
    """
    command = [sys.executable, "-m", "ioc_sims.judge", "--truth", str(truth)]
    command += ["--tiled", session.tiled_uri, "--api-key-env", "TILED_API_KEY", "--campaign", campaign]
    command += ["--out", str(out)]
    environment = {**os.environ, "TILED_API_KEY": api_key(session.home.tiled)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)
    if done.returncode != 0:
        raise SDLError(f"the judge could not compare with the truth: {done.stderr.strip()[-500:]}")
    verdict: dict[str, Any] = json.loads(out.read_text())
    return verdict
