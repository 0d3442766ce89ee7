"""One process at a time is in charge of a data folder."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sdl_bluesky.errors import ServiceError
from sdl_bluesky.session.claim import Claim

HOLDER = """
import sys
from pathlib import Path
from sdl_bluesky.session.claim import Claim
claim = Claim(Path(sys.argv[1]), "runs this lab")
print("held", flush=True)
sys.stdin.read()
"""


def test_a_second_holder_is_told_who_the_first_is(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    first = Claim(path, "runs this lab")
    with pytest.raises(ServiceError, match=f"process {os.getpid()} runs this lab already"):
        Claim(path, "runs this lab")
    first.release()
    first.release()
    Claim(path, "runs this lab").release()


def test_who_is_about_to_end_is_waited_for(tmp_path: Path) -> None:
    first = Claim(tmp_path / "lock", "runs this lab")
    timer = threading.Timer(0.3, first.release)
    timer.start()
    Claim(tmp_path / "lock", "runs this lab", patience_s=20.0).release()
    timer.join()


def test_it_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(ServiceError, match=f"process {holder.pid} runs this lab already"):
            Claim(path, "runs this lab")
        holder.kill()
        holder.wait()
        Claim(path, "runs this lab").release()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="nowhere"):
        Claim(tmp_path / "nowhere" / "lock", "runs this lab")
