"""Compare what a campaign wrote to the catalogue with the hidden truth of the simulated chamber or reactor.

    python -m ioc_sims.judge --truth truth.json --tiled URI --api-key-env NAME --campaign UID [--out judge.json]

Needs the truth file and a Tiled client; nothing of the laboratory's own code.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from httpx import HTTPError

from ioc_sims.common.errors import JudgeError
from ioc_sims.common.film import Film
from ioc_sims.mocvd.scoring import OUTCOMES, layer_of, layer_score
from ioc_sims.scoring import Map, Points, Surface, composition_score, interpolate, rate_error_percent, rbs_score

SCHEMA = 1


def judge(truth: Mapping[str, Any], analysis: Any, campaigns: Sequence[str], film: int | None = None) -> dict[str, Any]:
    """Score the latest rate surface of every source, the latest composition map and the latest RBS result of campaigns.

    Args:
        truth: content of the truth file.
        analysis: Tiled container with the derived data.
        campaigns: uids; what belongs to any of them counts.
        film: number of the substrate to compare with; None to take it from the result's metadata.

    Returns:
        {"schema", "campaign", "sources": {name: {"e_rms_percent", "points", "key"}},
        "composition": {"rms_percent", "centre_error", "coverage_90", "pixels", "film", "key"} or None,
        "films": {number: the same of the latest map of each film, with "run" and the film's own "centre" {element:
        fraction}},
        "rbs": {"rms_percent", "worst_percent", "coverage_90", "density_error_percent", "points", "film", "key"} or
        None}.

    Raises:
        JudgeError: there is nothing to judge, or a result and the truth cannot be compared.
    """
    entries = [(key, node, md) for key, node, md in _entries(analysis) if md.get("campaign") in campaigns]
    surfaces: dict[str, tuple[str, Any, Mapping[str, Any]]] = {}
    latest: dict[str, tuple[str, Any, Mapping[str, Any]]] = {}
    maps: dict[str, tuple[str, Any, Mapping[str, Any]]] = {}
    for entry in sorted(entries, key=lambda item: _when(item[2])):
        if entry[2].get("kind") == "rate_surface":
            surfaces[str(entry[2]["source"])] = entry
        else:
            latest[str(entry[2].get("kind"))] = entry
        if entry[2].get("kind") == "composition":
            maps[str(entry[2].get("run", entry[0]))] = entry
    if not surfaces and not {"composition", "rbs"} & set(latest):
        raise JudgeError(
            f"no rate surface, no composition map and no RBS result of campaign {', '.join(campaigns)} in the catalogue"
        )
    return {
        "schema": SCHEMA,
        "campaign": list(campaigns),
        "sources": {name: _judge_source(truth, name, *entry) for name, entry in surfaces.items()},
        "composition": _judge_map(truth, *latest["composition"], film) if "composition" in latest else None,
        "films": dict(_judge_film(truth, *entry, film) for entry in maps.values()),
        "rbs": _judge_rbs(truth, *latest["rbs"], film) if "rbs" in latest else None,
    }


def judge_layers(truth: Mapping[str, Any], analysis: Any, campaigns: Sequence[str]) -> dict[str, Any]:
    """Score every layer that campaigns grew in a reactor.

    Args:
        truth: content of the reactor's truth file.
        analysis: Tiled container with the derived data.
        campaigns: uids; what belongs to any of them counts.

    Returns:
        {"schema", "campaign", "layers": {wafer: {"wafer", "error" {outcome: measured less true}, "covered" {outcome: within
        the 90 % interval}, "mismatch_error_percent", "bad", "truth" {outcome: value}, "run", "key"}}}.

    Raises:
        JudgeError: there is no layer, or one and the truth cannot be compared.
    """
    found = [
        (key, md) for key, _, md in _entries(analysis) if md.get("campaign") in campaigns and md.get("kind") == "layer"
    ]
    if not found:
        raise JudgeError(f"no layer of campaign {', '.join(campaigns)} in the catalogue")
    layers: dict[str, Any] = {}
    for key, metadata in sorted(found, key=lambda item: _when(item[1])):
        wafer, measured = int(metadata["wafer"]), metadata["layer"]
        result = {k: float(measured[k]) for k in ("wavelength", "wavelength_std", "lattice", "lattice_std")}
        if measured.get("composition") is not None:
            (x, y), cov = measured["composition"], np.asarray(measured["composition_cov"], float)
            result |= {"x": float(x), "y": float(y), "x_std": float(cov[0, 0] ** 0.5), "y_std": float(cov[1, 1] ** 0.5)}
        hidden = layer_of(truth, wafer)
        real = {k: float(hidden["wavelength_mean_nm" if k == "wavelength" else name]) for k, name in OUTCOMES.items()}
        run = str(metadata.get("run", ""))
        layers[str(wafer)] = {**asdict(layer_score(truth, wafer, result)), "truth": real, "run": run, "key": key}
    return {"schema": SCHEMA, "campaign": list(campaigns), "layers": layers}


def _judge_source(
    truth: Mapping[str, Any], name: str, key: str, node: Any, metadata: Mapping[str, Any]
) -> dict[str, Any]:
    if name not in truth["sources"]:
        raise JudgeError(f"the truth knows no source {name!r}: {', '.join(truth['sources'])}")
    hidden = truth["sources"][name]
    sensor = next(iter(hidden["rate"]))
    sensors = list(metadata["sensors"])
    if sensor not in sensors:
        raise JudgeError(f"rate surface {key} has sensors {sensors}, the truth is judged at {sensor}")
    learnt = Surface(_read(node, "power"), _read(node, "pressure"), _read(node, "rate")[sensors.index(sensor)])
    real = Surface(
        np.asarray(truth["power_W"]), np.asarray(truth["pressure_mTorr"]), np.asarray(hidden["rate"][sensor])
    )
    error, points = rate_error_percent(learnt, real, np.asarray(hidden["lit"], bool))
    return {"e_rms_percent": error, "points": points, "key": key}


def _judge_map(
    truth: Mapping[str, Any], key: str, node: Any, metadata: Mapping[str, Any], film: int | None
) -> dict[str, Any]:
    number, hidden = _film(truth, metadata, film)
    elements = list(metadata["elements"])
    x, y = _read(node, "x"), _read(node, "y")
    mean, std = _read(node, "composition"), _read(node, "composition_std")
    real = Map(
        np.asarray(hidden["x_mm"]),
        np.asarray(hidden["y_mm"]),
        {element: np.asarray(values) for element, values in hidden["fraction"].items()},
    )
    score = composition_score(
        Map(x, y, dict(zip(elements, mean, strict=True))), dict(zip(elements, std, strict=True)), real
    )
    return {**asdict(score), "film": number, "key": key}


def _judge_film(
    truth: Mapping[str, Any], key: str, node: Any, metadata: Mapping[str, Any], film: int | None
) -> tuple[str, dict[str, Any]]:
    """Number of a film, what its map is worth, and what it holds in the middle."""
    score = _judge_map(truth, key, node, metadata, film)
    hidden, middle = _film(truth, metadata, film)[1], np.zeros(1)
    x, y = np.asarray(hidden["x_mm"], float), np.asarray(hidden["y_mm"], float)
    centre = {
        element: float(interpolate(y, x, np.asarray(values, float), middle, middle)[0, 0])
        for element, values in hidden["fraction"].items()
    }
    return str(score["film"]), {**score, "run": str(metadata.get("run", "")), "centre": centre}


def _judge_rbs(
    truth: Mapping[str, Any], key: str, node: Any, metadata: Mapping[str, Any], film: int | None
) -> dict[str, Any]:
    number, hidden = _film(truth, metadata, film)
    elements = list(metadata["elements"])
    x, y = _read(node, "x"), _read(node, "y")
    density = Film(hidden).densities(x, y)
    total = sum(density.values(), start=np.zeros_like(x))
    share = {e: np.divide(d, total, out=np.zeros_like(d), where=total > 0) for e, d in density.items()}

    def measured(ending: str) -> Points:
        columns = (
            dict(zip(elements, _read(node, f"{what}{ending}").T, strict=True)) for what in ("density", "fraction")
        )
        return Points(*columns)

    score = rbs_score(measured(""), measured("_std"), Points(density, share))
    return {**asdict(score), "film": number, "key": key}


def _film(truth: Mapping[str, Any], metadata: Mapping[str, Any], film: int | None) -> tuple[int, Mapping[str, Any]]:
    films = truth["films"]
    number = film or metadata.get("substrate_number") or _newest(films)
    if str(number) not in films:
        raise JudgeError(f"the truth has no film {number}: {', '.join(films) or 'none'}")
    return int(number), films[str(number)]


def _newest(films: Mapping[str, Any]) -> int:
    grown = [int(number) for number, film in films.items() if film["elements"]]
    if not grown:
        raise JudgeError("the truth holds no film")
    return max(grown)


def _entries(analysis: Any) -> Iterator[tuple[str, Any, Mapping[str, Any]]]:
    for key, node in analysis.items():
        yield key, node, node.metadata


def _when(metadata: Mapping[str, Any]) -> tuple[float, str]:
    time = metadata.get("time", 0.0)
    return (float(time), "") if isinstance(time, int | float) else (0.0, str(time))


def _read(node: Any, key: str) -> np.ndarray:
    return np.asarray(node[key].read(), float)


def main(arguments: list[str] | None = None) -> int:
    """Run the program; returns its exit status."""
    parser = argparse.ArgumentParser(
        "python -m ioc_sims.judge", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--truth", type=Path, required=True, help="truth file of the simulated chamber")
    parser.add_argument("--tiled", required=True, metavar="URI", help="address of the Tiled server")
    key = parser.add_mutually_exclusive_group()
    key.add_argument("--api-key-env", metavar="NAME", help="environment variable that holds the API key")
    key.add_argument("--api-key", metavar="KEY")
    parser.add_argument("--campaign", nargs="+", required=True, metavar="UID")
    parser.add_argument("--film", type=int, help="substrate number of map and RBS result (default: their metadata)")
    parser.add_argument("--analysis", default="analysis", help="container of the derived data (default: %(default)s)")
    parser.add_argument("--out", type=Path, help="write the result to this file, too")
    options = parser.parse_args(arguments)
    try:
        truth = json.loads(options.truth.read_text(encoding="utf-8"))
        analysis = _connect(options)[options.analysis]
        if "wafers" in truth:
            result = judge_layers(truth, analysis, options.campaign)
        else:
            result = judge(truth, analysis, options.campaign, options.film)
        text = json.dumps(result, indent=2, allow_nan=False) + "\n"
        sys.stdout.write(text)
        if options.out is not None:
            options.out.write_text(text, encoding="utf-8")
    except (JudgeError, HTTPError, OSError, ValueError, KeyError) as err:
        sys.stderr.write(f"judge: {type(err).__name__}: {err}\n")
        return 2
    return 0


def _connect(options: argparse.Namespace) -> Any:
    from tiled.client import from_uri

    api_key = options.api_key
    if options.api_key_env is not None:
        api_key = os.environ.get(options.api_key_env)
        if not api_key:
            raise JudgeError(f"the environment variable {options.api_key_env} holds no API key")
    return from_uri(options.tiled, api_key=api_key)


if __name__ == "__main__":
    sys.exit(main())
