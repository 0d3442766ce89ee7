"""A simulated MOCVD reactor: python -m ioc_sims.mocvd CONFIG.json starts it as an EPICS IOC.

With --batch there is no EPICS and no clock on the wall: each line of stdin is a request {"do": ...}, each line of stdout
its reply, until the input ends (state_file and truth_file may be absent: they are neither read nor written).
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from pathlib import Path

import ioc_sims.mocvd
from ioc_sims.common.errors import SimulationError
from ioc_sims.common.process import Lifetime


def main(arguments: list[str] | None = None) -> int:
    """Run the program; returns its exit status: 2 where the reactor cannot be started."""
    parser = argparse.ArgumentParser(
        "python -m ioc_sims.mocvd",
        description=f"{__doc__}\n{ioc_sims.mocvd.__doc__}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("config", type=Path, metavar="CONFIG.json", help="prefix, seed, speed, files")
    parser.add_argument("--batch", action="store_true", help="requests on stdin, replies on stdout")
    parser.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    options = parser.parse_args(arguments)
    logging.basicConfig(
        level=options.log_level, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        return _batch(options.config) if options.batch else _serve(options.config)
    except SimulationError as err:
        sys.stderr.write(f"ioc_sims.mocvd: {err}\n")
        return 2


def _batch(config: Path) -> int:
    from ioc_sims.mocvd.batch import Batch, load_batch_config, serve

    serve(Batch(load_batch_config(config)), sys.stdin, sys.stdout)
    return 0


def _serve(config: Path) -> int:
    from ioc_sims.mocvd.settings import load_config

    checked = load_config(config)
    lifetime = Lifetime()
    ready = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # EPICS itself writes to stdout, which is for the READY line alone
    from ioc_sims.common.serving import leave
    from ioc_sims.mocvd.ioc import run

    status = run(checked, lifetime, ready)
    leave(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
