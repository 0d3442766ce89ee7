"""The interactive session: IPython with the lab opened, in a profile of its own that leaves nothing in your folder."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from sdl_bluesky.errors import SDLError, ServiceError
from sdl_bluesky.session.home import Home
from sdl_bluesky.session.lab import load_lab
from sdl_bluesky.session.startup import interactive, start

if TYPE_CHECKING:
    from IPython.terminal.interactiveshell import TerminalInteractiveShell

    from sdl_bluesky.session.open import Session

WELCOME = """
{lab}: {devices}
plans         RE(measure_rate("{source}", 50, 8, sample="test")), {plans}; plan? explains one
instruments   %wa positions and limits, %ct all detectors, %mov {source}.power 20
data          catalogue["raw"], session.home
"""


def run_shell(home: Home, lab: Path | None, startup: Path | None, code: str | None = None) -> int:
    """Start IPython on a lab.

    With `code`, or with a standard input that is no terminal, nobody is asked anything and the first failure ends it.
    The session is closed at the end: the machine is safe, analyses are finished, and what was started is ended.

    Args:
        home: data folder; IPython keeps its history there.
        lab: lab file, if not the one of the data folder or of the startup folder.
        startup: folder whose ``*.py`` are run first, in order; None for a plain session.
        code: run this and end.

    Returns:
        Exit status: 1 if non-interactive code failed.

    Raises:
        SDLError: the lab cannot be opened.
    """
    os.environ["SDL_HOME"] = str(home.path)
    if lab is not None:
        os.environ["SDL_LAB"] = str(lab.resolve())
        if home.load_lab().sha256 != load_lab(lab).sha256:  # the data folder's own lab file comes first
            raise ServiceError(f"{home.path} belongs to the lab in {home.lab_file}: leave out --lab, or change --home")
    shell = _make_ipython(home)
    _run_startup(shell, startup)
    session: Session | None = shell.user_ns.get("session")
    if session is None:
        raise ServiceError(f"the startup files in {startup} did not open a lab: see sdl_bluesky.session.startup.start")
    with session:
        shell.user_ns_hidden.update(shell.user_ns)
        if code is not None:
            return 0 if shell.run_cell(code, store_history=False).success else 1
        if sys.stdin.isatty():
            shell.show_banner(_welcome(session))
            shell.mainloop()
            return 0
        return _run_input(shell)


def _make_ipython(home: Home) -> TerminalInteractiveShell:
    """An IPython whose history and settings are in the data folder and nowhere else."""
    from bluesky.utils import RunEngineInterrupted
    from IPython.terminal.ipapp import TerminalIPythonApp
    from traitlets.config import Config

    os.environ["IPYTHONDIR"] = str(home.path / "ipython")
    config = Config()
    config.TerminalIPythonApp.display_banner = False
    config.TerminalInteractiveShell.autocall = 0
    config.TerminalInteractiveShell.confirm_exit = sys.stdin.isatty()
    config.TerminalInteractiveShell.term_title_format = "sdl {cwd}"
    app = TerminalIPythonApp.instance(config=config)
    app.initialize([])
    shell: TerminalInteractiveShell = app.shell
    shell.set_custom_exc((SDLError, RunEngineInterrupted), _show_error)
    logging.getLogger("bluesky").addFilter(_is_unexpected)
    return shell


def _run_startup(shell: TerminalInteractiveShell, startup: Path | None) -> None:
    if startup is None:
        shell.user_ns.update(start())
        interactive(shell.user_ns)
        return
    for path in sorted(startup.resolve().glob("*.py")):
        shell.user_ns["__file__"] = str(path)
        shell.safe_execfile(str(path), shell.user_ns, raise_exceptions=True)
    shell.user_ns.pop("__file__", None)


def _run_input(shell: TerminalInteractiveShell) -> int:
    """Run standard input as if it were typed, until its end or the first failure."""
    failed = False

    def look(result: Any) -> None:
        nonlocal failed
        if not result.success:
            failed = True
            shell.ask_exit()

    shell.events.register("post_run_cell", look)
    shell.mainloop()
    sys.stdout.write("\n")
    return int(failed)


def _show_error(
    shell: Any, kind: type[BaseException], error: BaseException, trace: TracebackType | None, tb_offset: Any = None
) -> None:
    """Typed errors and pauses say what to do: a person needs their text, and the traceback only on demand (`%tb`)."""
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, trace
    notes = "".join(f" ({note})" for note in getattr(error, "__notes__", []))
    sys.stderr.write(f"{kind.__name__}: {error}{notes}\n")


def _is_unexpected(record: logging.LogRecord) -> bool:
    """Whether a message of the RunEngine tells something that the person has not asked for and `_show_error` will not."""
    from bluesky.utils import RunEngineControlException

    return record.exc_info is None or not isinstance(record.exc_info[1], SDLError | RunEngineControlException)


def _welcome(session: Session) -> str:
    machines = [session.chamber] if session.station is None else [session.chamber, session.station]
    plans = (
        ["cosputter", "run_campaign", "make_safe"]
        if session.station is None
        else ["cosputter", "measure_rbs", "run_campaign", "make_safe"]
    )
    return WELCOME.format(
        lab=session.lab.name,
        devices=", ".join(name for machine in machines for name in machine.devices),
        source=next(iter(session.chamber.sources)),
        plans=", ".join(plans),
    )
