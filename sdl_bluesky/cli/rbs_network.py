"""`sdl rbs train` and `sdl rbs predict`: networks that read backscattering spectra, made and used."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdl_bluesky.cli.commands import Commands
from sdl_bluesky.cli.terminal import say, show_table, warn
from sdl_bluesky.errors import OutOfRange

if TYPE_CHECKING:
    from rich.progress import Progress

    from sdl_bluesky.inference.rbs_mdn.making import Where
    from sdl_bluesky.inference.rbs_mdn.model import Model
    from sdl_bluesky.inference.rbs_mdn.system import MaterialSystem
    from sdl_bluesky.inference.rbs_mdn.training import Recipe

RECIPE = {
    "spectra": "noise-free spectra that are drawn",
    "steps": "of the optimiser",
    "batch": "spectra a step",
    "rate": "largest learning rate",
    "width": "of the network's layers",
    "blocks": "of two layers each",
    "components": "Gaussians of the posterior",
    "validation": "further spectra, for the recalibration",
    "seed": "of everything",
}
"""Fields of `Recipe` that have an option, with what they are."""
LINES = 10
"""Lines about a training that nobody looks at."""


def add(actions: Commands) -> None:
    """Add the commands of this file to those of `sdl rbs`."""
    train = actions.add("train", _train, "train a network for a material system", lab=False)
    train.add_argument(
        "system", metavar="SYSTEM", help="file of a material system, or a shipped one (A, B, C, cusn-glass)"
    )
    train.add_argument("--out", type=Path, metavar="FILE.npz", help="file for the model (NAME.npz)")
    train.add_argument(
        "--cache", type=Path, metavar="DIR", help="folder in which spectra are kept (a folder of the user's cache)"
    )
    train.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="state from which an interrupted training goes on (one in the cache, until the model is written)",
    )
    train.add_argument("--device", choices=["auto", "cpu", "cuda"], default="auto", help="(%(default)s)")
    train.add_argument("--threads", type=int, metavar="N", help="of this computer (all)")
    train.add_argument("--cluster", metavar="ADDRESS", help="dask scheduler whose workers draw the spectra")
    recipe = train.add_argument_group("recipe", "default: what the system's file says, or else the program's own")
    for name, what in RECIPE.items():
        kind, letter = (float, "R") if name == "rate" else (int, "N")
        recipe.add_argument(f"--{name}", type=kind, metavar=letter, help=what)
    predict = actions.add("predict", _predict, "layers from spectra by a network, and a fit from there", lab=False)
    predict.add_argument(
        "--model", required=True, metavar="FILE.npz", help="of `sdl rbs train`, or the name of a shipped model"
    )
    predict.add_argument(
        "--spectra", type=Path, required=True, metavar="DIR", help="folder with spectra NAME.csv (.txt, .dat, .xnra)"
    )
    predict.add_argument(
        "--cases",
        type=Path,
        metavar="CASES.json",
        help="file of cases: which spectra, and how they were measured (all of the folder, as the model expects)",
    )
    predict.add_argument("--no-fit", action="store_true", help="the network alone, thousands of spectra a second")
    predict.add_argument("--restarts", type=int, metavar="N", help="of a fit that is not accepted (6)")
    predict.add_argument("--composition", metavar="Cu,Sn", help="elements whose fractions and areal density are told")
    predict.add_argument("--out", type=Path, required=True, metavar="FILE.json", help="file for the results")


def _train(options: argparse.Namespace) -> int:
    from sdl_bluesky.cli.rbs_cluster import spectra_of_cluster
    from sdl_bluesky.data.rbs.system_file import read_system, recipe_of
    from sdl_bluesky.inference.rbs_mdn.making import Where
    from sdl_bluesky.inference.rbs_mdn.model import save_model

    system = read_system(options.system)
    recipe = recipe_of(options.system, **{name: getattr(options, name) for name in RECIPE})
    _use_threads(options.threads)
    device = _device(options.device)
    out = options.out or Path(f"{system.name}.npz")
    cache = options.cache or _user_cache()
    checkpoint = options.checkpoint or _own_checkpoint(cache, system, recipe)
    _check_room(system, recipe, out, cache, checkpoint)
    with ExitStack() as stack:
        mapper = map if options.cluster is None else stack.enter_context(spectra_of_cluster(options.cluster))
        where = Where(cache, checkpoint, device, mapper)
        model = _made(system, recipe, where)
    save_model(model, out)
    if options.checkpoint is None:
        checkpoint.unlink(missing_ok=True)
    _show_card(model)
    say(f"model in {out}")
    return 0


def _predict(options: argparse.Namespace) -> int:
    from sdl_bluesky.cli.rbs import _not_negative, _progress, _report
    from sdl_bluesky.data.rbs.case_file import CaseFile, read_cases
    from sdl_bluesky.data.rbs.fit_files import write_results
    from sdl_bluesky.data.rbs.predict_files import PredictOptions, open_model, predict_files, spectra_in
    from sdl_bluesky.inference.rbs_mdn.route import RESTARTS

    if options.no_fit and options.restarts is not None:
        raise OutOfRange("--restarts are those of the fit: leave out --no-fit, or --restarts")
    if not options.spectra.is_dir():
        raise OutOfRange(f"--spectra {options.spectra}: there is no such folder")
    restarts = RESTARTS if options.restarts is None else _not_negative("--restarts", options.restarts)
    elements = tuple(k.strip() for k in (options.composition or "").split(",") if k.strip())
    chosen = PredictOptions(not options.no_fit, restarts, elements)
    file = CaseFile(options.spectra, {}) if options.cases is None else read_cases(options.cases)
    model = open_model(options.model)
    cases = None if options.cases is None else file.cases
    total = len(spectra_in(options.spectra) if cases is None else cases)
    with _progress("predicting" if options.no_fit else "predicting and fitting", total) as advance:
        results, outcome = predict_files(model, options.spectra, cases, chosen, advance)
    results |= {name: {"error": f"{type(fault).__name__}: {fault}"} for name, fault in file.faults.items()}
    write_results(options.out, results)
    accepted = sum(bool(results[name]["accepted"]) for name in outcome.done)
    say(f"{len(outcome.done)} spectra, {accepted} accepted, in {options.out}")
    status = _report(file, outcome)
    if outcome.interrupted:
        raise KeyboardInterrupt
    return status


def _made(system: MaterialSystem, recipe: Recipe, where: Where) -> Model:
    """Train, with bars; an interruption says what is kept and how to go on."""
    from sdl_bluesky.inference.rbs_mdn.making import make_model

    told = _Told()
    try:
        with _bars() as bars:
            drawing = bars.add_task("spectra", total=recipe.spectra + recipe.validation, note="")
            training = bars.add_task("training", total=recipe.steps, note="")

            def tell(step: int, loss: float) -> None:
                bars.update(training, completed=step, note=f"loss {loss:.3f}")
                if bars.disable and step * LINES // recipe.steps > (step - 1) * LINES // recipe.steps:
                    say(f"step {step} of {recipe.steps}, loss {loss:.3f}")
                told.step = step

            return make_model(system, recipe, where, drawn=lambda count: bars.advance(drawing, count), tell=tell)
    except KeyboardInterrupt:
        warn(f"sdl: stopped at step {told.step} of {recipe.steps}")
        if where.checkpoint is not None and where.checkpoint.exists():
            warn(f"sdl: the last state is in {where.checkpoint}: the same command goes on from it")
        else:
            warn("sdl: no state was kept yet: the same command begins anew")
        raise


@dataclass
class _Told:
    """How far a training has come."""

    step: int = 0


@contextmanager
def _bars() -> Iterator[Progress]:
    """Bars on the terminal, gone when all is done."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    columns = (
        "{task.description}",
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        yield bars


def _use_threads(count: int | None) -> None:
    """For network and kernels.

    Raises:
        OutOfRange: fewer than one, or more than the computer has.
    """
    if count is None:
        return
    import numba
    import torch

    try:
        numba.set_num_threads(count)
    except ValueError as fault:
        raise OutOfRange(f"--threads {count}: {fault} on this computer") from fault
    torch.set_num_threads(count)


def _device(asked: str) -> str:
    import torch

    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise OutOfRange("--device cuda: torch sees no CUDA device here: take cpu, or a torch that is built for CUDA")
    return ("cuda" if there else "cpu") if asked == "auto" else asked


def _user_cache() -> Path:
    given = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(given) if given else Path.home() / ".cache") / "sdl-bluesky" / "rbs"


def _own_checkpoint(cache: Path, system: MaterialSystem, recipe: Recipe) -> Path:
    """A file for this system and recipe alone, so that the same command finds it again."""
    import hashlib

    which = hashlib.sha256(repr(sorted(asdict(recipe).items())).encode()).hexdigest()[:12]
    return cache / f"{system.name}-{system.digest}-{which}.state"


def _check_room(system: MaterialSystem, recipe: Recipe, out: Path, cache: Path, checkpoint: Path) -> None:
    """Everything can be written that a training will write: said before it, not after.

    Raises:
        DataFileError: a folder cannot be written, or its disk is too full.
    """
    from sdl_bluesky.data.rbs.room import check_room
    from sdl_bluesky.inference.rbs_mdn.features import merge_of
    from sdl_bluesky.inference.rbs_mdn.network import Network, Shape

    bins = sum((last - first) // merge_of(system) for first, last in system.roi)
    network = Network(Shape(bins + 1, system.size, recipe.width, recipe.blocks, recipe.components))
    weights = 4 * sum(k.numel() for k in network.parameters())
    check_room(out, weights)
    check_room(checkpoint, 4 * weights)
    for count in (recipe.spectra, recipe.validation):
        if not any(cache.glob(f"{system.name}-{system.digest}-*-{count}.npz")):
            check_room(cache / "spectra", 4 * count * (system.size + 1 + bins))


def _show_card(model: Model) -> None:
    """What a model is worth, beside what the counts allow."""
    tables: Mapping[str, Any] = model.card["tables"]
    rows = []
    for name, one in tables["unknowns"].items():
        relative = [f"{100 * one[k]:.2f} %" if k in one else "" for k in ("relative_error", "relative_bound")]
        shares = [f"{100 * one[f'coverage_{level}']:.1f}" for level in (68, 90, 95)]
        rows.append((name, *relative, f"{one['efficiency']:.2f}", *shares))
    columns = ("unknown", "relative error", "bound", "efficiency", "within 68 %", "90 %", "95 %")
    show_table(f"{model.system.name}: {tables['spectra']} spectra that it has not seen", columns, rows)
    say(f"accepted {100 * tables['accepted']:.1f} %, the truth itself {100 * tables['accepted_at_truth']:.1f} %")
    say(f"spectra {model.card['spectra_s']:.0f} s, training {model.card['training_s']:.0f} s")
