"""The interactive session: IPython with the lab opened, in a profile of its own that leaves nothing in your folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from sdl_bluesky.session.home import Home

INLINE = """
from sdl_bluesky.session.startup import interactive, start
globals().update(start())
interactive(globals())
"""


def run_shell(home: Home, lab: Path | None, startup: Path | None, code: str | None, arguments: Sequence[str]) -> int:
    """Start IPython on a lab.

    Args:
        home: data folder; IPython keeps its history there.
        lab: lab file, if not the one of the data folder or of the startup folder.
        startup: folder whose ``*.py`` are run first, in order; None for a plain session.
        code: run this and end.
        arguments: further arguments of IPython.

    Returns:
        Exit status.
    """
    from IPython import start_ipython
    from traitlets.config import Config

    os.environ["SDL_HOME"] = str(home.path)
    if lab is not None:
        os.environ["SDL_LAB"] = str(lab.resolve())
    os.environ["IPYTHONDIR"] = str(home.path / "ipython")
    config = Config()
    config.InteractiveShellApp.exec_files = [str(p) for p in sorted(startup.glob("*.py"))] if startup else []
    config.InteractiveShellApp.exec_lines = [] if startup else [INLINE]
    config.TerminalIPythonApp.display_banner = code is None
    config.TerminalInteractiveShell.autocall = 0
    argv = list(arguments) + (["-c", code] if code is not None else [])
    start_ipython(argv=argv, config=config)
    return 0
