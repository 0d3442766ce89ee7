"""Spectra that the workers of a dask cluster draw."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from sdl_bluesky.errors import ServiceError, ServiceMissing

if TYPE_CHECKING:
    from sdl_bluesky.inference.rbs_mdn.examples import Mapper

ANSWERS_WITHIN_S = 10.0
_ALIKE = ("sdl_bluesky", "numpy", "scipy", "numba")
"""Packages that make spectra what they are."""


@contextmanager
def spectra_of_cluster(address: str, within_s: float = ANSWERS_WITHIN_S) -> Iterator[Mapper]:
    """A `map` for `draw_examples` whose function runs on the workers of a cluster.

    Args:
        address: of the scheduler, as in tcp://host:8786.
        within_s: time for it to answer.

    Raises:
        ServiceMissing: the package `distributed` is missing, no scheduler answers, or it has no workers.
        ServiceError: the workers have other versions than this program; a worker died, or the connection was lost.
    """
    try:
        from distributed import Client
        from distributed.client import FutureCancelledError
        from distributed.scheduler import KilledWorker
    except ImportError as fault:
        raise ServiceMissing("--cluster needs the package distributed: pip install 'sdl-bluesky[cluster]'") from fault
    try:
        client = Client(address, timeout=within_s, set_as_default=False)
    except (OSError, ValueError) as fault:
        raise ServiceMissing(
            f"no dask scheduler answers at {address} ({fault}): start one (dask scheduler), or give its address"
        ) from fault
    with client:
        _check_workers(client, address)

        def mapper(function: Callable[[int], Any], numbers: Sequence[int]) -> Iterator[Any]:
            waiting = client.map(function, list(numbers), pure=False)[::-1]
            try:
                while waiting:
                    yield waiting.pop().result()
            except (KilledWorker, FutureCancelledError, OSError) as fault:
                raise ServiceError(
                    f"the cluster at {address} lost its work ({fault}): look at its workers, then begin again"
                ) from fault
            finally:
                client.cancel(waiting)

        yield mapper


def _check_workers(client: Any, address: str) -> None:
    if not client.scheduler_info(n_workers=-1)["workers"]:
        raise ServiceMissing(f"the dask scheduler at {address} has no workers: start some (dask worker {address})")
    here = _versions()
    try:
        there = client.run(_versions)
    except ImportError as fault:
        raise ServiceError(
            f"a worker of {address} cannot import sdl_bluesky ({fault}): install the same version there"
        ) from fault
    for worker, found in there.items():
        other = [f"{name} {found[name]} instead of {here[name]}" for name in _ALIKE if found[name] != here[name]]
        if other:
            raise ServiceError(f"the worker {worker} has {', '.join(other)}: install the same versions there")


def _versions() -> dict[str, str]:
    """Of this process; workers are asked the same."""
    return {name: version(name) for name in _ALIKE}
