"""Studies on a simulated chamber: python -m ioc_sims.sputter CONFIG.json, requests on stdin, replies on stdout.

CONFIG.json is that of the IOC (state_file and truth_file may be absent: they are neither read nor written). Each line
of stdin is a request {"do": ...}, each line of stdout its reply, until the input ends. Simulated time passes as fast as
it can be worked out. {"error": text} answers a request that cannot be done.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ioc_sims.common.errors import ConfigError
from ioc_sims.sputter.batch import Batch, load_batch_config, serve


def main(arguments: list[str] | None = None) -> int:
    """Run the program; returns its exit status: 2 where the configuration cannot be used."""
    parser = argparse.ArgumentParser(
        "python -m ioc_sims.sputter", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("config", type=Path, metavar="CONFIG.json", help="geometry, seed, settings of the plant")
    options = parser.parse_args(arguments)
    try:
        batch = Batch(load_batch_config(options.config))
    except ConfigError as err:
        sys.stderr.write(f"ioc_sims.sputter: {err}\n")
        return 2
    serve(batch, sys.stdin, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
