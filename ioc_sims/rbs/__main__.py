"""Spectra by pyrump for a file of cases, to compare another program with.

    python -m ioc_sims.rbs CASES.json [--out DIR] [--repeat N] [--slab 300] [--parts P]

Writes one CSV `channel,counts` per case, noise-free, and prints {case: {"seconds"} or {"error"}} as JSON; the seconds
are the median of N runs in this one process. --slab 1000 --parts 1 is pyrump as it is when nothing is asked of it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ioc_sims.common.errors import ConfigError
from ioc_sims.rbs.scattering import spectrum


def main(arguments: list[str] | None = None) -> int:
    """Run the program; returns its exit status: 1 where a case could not be worked out, 2 where nothing could."""
    parser = argparse.ArgumentParser(
        "python -m ioc_sims.rbs", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("cases", type=Path, metavar="CASES.json", help="{name: case}")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the spectra go")
    parser.add_argument("--slab", type=float, default=300.0, help="thickest slab [1e15 at/cm2] (default: %(default)g)")
    parser.add_argument("--parts", type=int, help="in how many a channel is divided (default: up to 8)")
    parser.add_argument("--repeat", type=int, default=1, metavar="N", help="runs per case (default: %(default)d)")
    options = parser.parse_args(arguments)
    try:
        cases: Mapping[str, Any] = json.loads(options.cases.read_text(encoding="utf-8"))
        told = {name: _one(name, case, options) for name, case in cases.items()}
    except (OSError, ValueError, AttributeError) as err:
        sys.stderr.write(f"ioc_sims.rbs: {options.cases}: {err}\n")
        return 2
    sys.stdout.write(json.dumps(told, indent=2) + "\n")
    return int(any("error" in entry for entry in told.values()))


def _one(name: str, case: Mapping[str, Any], options: argparse.Namespace) -> dict[str, Any]:
    seconds: list[float] = []
    counts = np.zeros(0)
    try:
        for _ in range(max(options.repeat, 1)):
            start = time.perf_counter()
            counts = spectrum(case, slab=options.slab, parts=options.parts)
            seconds.append(time.perf_counter() - start)
    except ConfigError as err:
        return {"error": str(err)}
    if options.out is not None:
        options.out.mkdir(parents=True, exist_ok=True)
        rows = (f"{channel},{value:.10g}\n" for channel, value in enumerate(counts.tolist()))
        (options.out / f"{name}.csv").write_text("channel,counts\n" + "".join(rows), encoding="utf-8")
    return {"seconds": statistics.median(seconds)}


if __name__ == "__main__":
    sys.exit(main())
