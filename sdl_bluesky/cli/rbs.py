"""`sdl rbs`: ion-beam spectra from files to files, without a lab."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdl_bluesky.cli import rbs_network
from sdl_bluesky.cli.commands import Commands
from sdl_bluesky.cli.terminal import say, warn
from sdl_bluesky.errors import OutOfRange, SDLError, UnknownName

if TYPE_CHECKING:
    from sdl_bluesky.data.rbs.case_file import CaseFile
    from sdl_bluesky.data.rbs.groups import Outcome

PRIORS = {"fluence": 0.05, "slope": 0.005, "offset": 2.0, "resolution": 0.1, "stopping": 0.05}
"""Prior standard deviations of --free NAME: relative ones; keV for the offset."""


def add(commands: Commands) -> None:
    """Add the commands of this file."""
    actions = commands.group("rbs", "Rutherford backscattering, from files to files: simulate, fit, train, predict")
    simulate = actions.add("simulate", _simulate, "noise-free spectra of cases, one CSV each", lab=False)
    fit = actions.add("fit", _fit, "layers from spectra; the last layer, the substrate, is held", lab=False)
    for action in (simulate, fit):
        action.add_argument("--cases", type=Path, required=True, metavar="CASES.json", help="file of cases")
    simulate.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for NAME.csv of each case")
    fit.add_argument(
        "--spectra",
        type=Path,
        required=True,
        metavar="DIR",
        help="folder with NAME.csv (.txt, .dat, .xnra) of each case",
    )
    fit.add_argument(
        "--start",
        default="mid",
        metavar="case|mid|FILE",
        help="densities to begin with: the cases' own, the middle of 50 to 5000, or those of a file (%(default)s)",
    )
    fit.add_argument("--out", type=Path, required=True, metavar="FILE.json", help="file for the results")
    fit.add_argument("--likelihood", choices=["poisson", "chi2"], default="poisson", help="(%(default)s)")
    shipped = ", ".join(f"{name}={sd:g}" for name, sd in PRIORS.items())
    fit.add_argument(
        "--free",
        nargs="+",
        default=[],
        metavar="NAME[=SD]",
        help=f"nuisance parameters to fit too, with prior standard deviations ({shipped}; stopping:Cu for one element)",
    )
    fit.add_argument(
        "--box",
        nargs=2,
        type=float,
        metavar=("LO", "HI"),
        help="bounds of the free densities in 1e15 at/cm2 (0 5000; HI is raised for cases that name more)",
    )
    fit.add_argument("--restarts", type=int, default=6, metavar="N", help="of a fit that is not accepted (%(default)d)")
    fit.add_argument("--seed", type=int, default=0, help="of the restarts (%(default)d)")
    rbs_network.add(actions)


def _simulate(options: argparse.Namespace) -> int:
    from sdl_bluesky.data.rbs.case_file import read_cases
    from sdl_bluesky.data.rbs.groups import simulate_cases

    file = read_cases(options.cases)
    with _progress("simulating", len(file.cases)) as advance:
        outcome = simulate_cases(file.cases, options.out, advance)
    say(f"{len(outcome.done)} spectra in {options.out}/")
    return _report(file, outcome)


def _fit(options: argparse.Namespace) -> int:
    from sdl_bluesky.data.rbs.case_file import read_cases
    from sdl_bluesky.data.rbs.fit_files import FitOptions, fit_cases, write_results
    from sdl_bluesky.data.rbs.fit_input import BOX, Starts

    file = read_cases(options.cases)
    if not options.spectra.is_dir():
        raise OutOfRange(f"--spectra {options.spectra}: there is no such folder")
    chosen = FitOptions(
        box=_box(options.box, BOX),
        likelihood=options.likelihood,
        priors=_priors(options.free),
        restarts=_not_negative("--restarts", options.restarts),
        seed=_not_negative("--seed", options.seed),
    )
    with _progress("fitting", len(file.cases)) as advance:
        results, outcome = fit_cases(file.cases, options.spectra, Starts(options.start), chosen, advance)
    results |= {name: {"error": f"{type(fault).__name__}: {fault}"} for name, fault in file.faults.items()}
    write_results(options.out, results)
    accepted = sum(bool(results[name]["accepted"]) for name in outcome.done)
    say(f"{len(outcome.done)} fits, {accepted} accepted, in {options.out}")
    status = _report(file, outcome)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return status


def _report(file: CaseFile, outcome: Outcome) -> int:
    """Tell what is odd and what failed; 1 if anything failed."""
    told: dict[str, list[str]] = {}
    for findings in (file.findings, outcome.findings):
        for name, texts in findings.items():
            for text in texts:
                told.setdefault(text, []).append(name)
    for text, names in told.items():
        warn(f"note: {names[0]}{f' and {len(names) - 1} more' if len(names) > 1 else ''}: {text}")
    faults: Mapping[str, SDLError] = {**file.faults, **outcome.faults}
    for name, fault in faults.items():
        warn(f"sdl: {name}: {type(fault).__name__}: {fault}")
    if faults:
        warn(f"sdl: {len(faults)} case(s) failed, {len(outcome.done)} went well")
    return 1 if faults else 0


def _priors(texts: list[str]) -> dict[str, float]:
    found = {}
    for text in texts:
        name, equals, value = text.partition("=")
        kind = name.partition(":")[0]
        if kind not in PRIORS or (":" in name and kind != "stopping"):
            raise UnknownName("nuisance parameter", name, [*PRIORS, "stopping:Cu"])
        try:
            sd = float(value) if equals else PRIORS[kind]
        except ValueError:
            sd = -1.0
        if not 0.0 < sd < 1e3:
            raise OutOfRange(f"--free {text}: write a prior standard deviation over 0, as in {kind}={PRIORS[kind]:g}")
        found[name] = sd
    return found


def _box(given: list[float] | None, default: tuple[float, float]) -> tuple[float, float]:
    low, high = given or default
    if not 0.0 <= low < high < 1e8:
        raise OutOfRange(f"--box {low:g} {high:g}: write two densities in 1e15 at/cm2, the smaller first")
    return low, high


def _not_negative(option: str, value: int) -> int:
    if value < 0:
        raise OutOfRange(f"{option} {value}: 0 or more")
    return value


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal, gone when all is done; nothing where nobody looks."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
