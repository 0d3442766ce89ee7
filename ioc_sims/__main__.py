"""Start a simulated instrument: `python -m ioc_sims sputter|rbs|mocvd CONFIG.json`."""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path
from typing import TextIO

import ioc_sims.mocvd
import ioc_sims.rbs
import ioc_sims.sputter
from ioc_sims.common.errors import SimulationError
from ioc_sims.common.process import Lifetime

_DESCRIPTION = """Simulated instruments as real EPICS IOCs.

The Channel Access port and addresses come from the environment (EPICS_CA_SERVER_PORT, EPICS_CAS_INTF_ADDR_LIST, ...);
PV Access is served when EPICS_PVAS_INTF_ADDR_LIST is set. Prints "READY <prefix> <n> PVs" on stdout when it serves,
logs on stderr, ends with status 0 on SIGTERM and with its parent process."""


def main(arguments: list[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("python -m ioc_sims", description=_DESCRIPTION, formatter_class=raw)
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    instruments = parser.add_subparsers(dest="instrument", required=True, metavar="INSTRUMENT")
    sputter = instruments.add_parser(
        "sputter", help="a magnetron sputter chamber", description=ioc_sims.sputter.__doc__, formatter_class=raw
    )
    sputter.add_argument("config", type=Path, metavar="CONFIG.json", help="prefix, geometry, seed, speed, files")
    rbs = instruments.add_parser(
        "rbs", help="an RBS end station", description=ioc_sims.rbs.__doc__, formatter_class=raw
    )
    rbs.add_argument("config", type=Path, metavar="CONFIG.json", help="prefix, set-up, films, seed, speed, files")
    mocvd = instruments.add_parser(
        "mocvd", help="a MOCVD reactor", description=ioc_sims.mocvd.__doc__, formatter_class=raw
    )
    mocvd.add_argument("config", type=Path, metavar="CONFIG.json", help="prefix, seed, speed, files")
    options = parser.parse_args(arguments)

    logging.basicConfig(
        level=options.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    lifetime = Lifetime()  # early: a parent that has ended before cannot be missed any more
    ready = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # EPICS itself writes to stdout, which is for the READY line alone
    try:
        from ioc_sims.common.serving import leave  # here: --help needs no EPICS

        status = _run(options.instrument, options.config, lifetime, ready)
    except SimulationError as err:
        sys.stderr.write(f"ioc_sims: {err}\n")
        return 2
    leave(status)
    return status


def _run(instrument: str, config: Path, lifetime: Lifetime, ready: TextIO) -> int:
    if instrument == "rbs":
        from ioc_sims.rbs.ioc import run as run_rbs
        from ioc_sims.rbs.settings import load_config as load_rbs

        return run_rbs(load_rbs(config), lifetime, ready)
    if instrument == "mocvd":
        from ioc_sims.mocvd.ioc import run as run_mocvd
        from ioc_sims.mocvd.settings import load_config as load_mocvd

        return run_mocvd(load_mocvd(config), lifetime, ready)
    from ioc_sims.sputter.ioc import run
    from ioc_sims.sputter.settings import load_config

    return run(load_config(config), lifetime, ready)


if __name__ == "__main__":
    sys.exit(main())
