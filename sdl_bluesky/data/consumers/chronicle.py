"""What a catalogue holds of a campaign, as news: in few requests, since it is read at each ring of the bell."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from http import HTTPStatus
from itertools import chain
from typing import TYPE_CHECKING, Any, Literal

import httpx

from sdl_bluesky.data.campaigns import DECISION, campaign_chain, decoded_decisions, stop_of
from sdl_bluesky.data.layout import ANALYSIS, CAMPAIGNS
from sdl_bluesky.errors import CatalogueError, ServiceError, ServiceMissing

if TYPE_CHECKING:
    from tiled.client.container import Container

log = logging.getLogger(__name__)

TABLE = "internal"


@dataclass(frozen=True)
class News:
    """One thing that became known of a campaign.

    Attributes:
        kind: "decision", "result" (an analysis that is complete) or "end" (a run of the campaign ended).
        key: what tells it from every other one, for `seen` of a later `follow`; of a result its key in `analysis`.
        time: when it was written, seconds since 1970.
        content: of a decision its columns with JSON decoded, of a result its metadata, of an end the stop document.
    """

    kind: Literal["decision", "result", "end"]
    key: str
    time: float
    content: dict[str, Any]


class Chronicle:
    """All there is to be read of a campaign, and the nodes at which more of it can appear.

    Args:
        client: root of the catalogue.
        campaign: id of the campaign.
    """

    def __init__(self, client: Container, campaign: str) -> None:
        self._client, self._campaign = client, campaign
        self._open: dict[str, Container] = {}
        self._nodes: dict[str, list[str]] = {}
        self._tables: dict[str, Any] = {}
        self._ended: dict[str, list[News]] = {}
        self._whole = True
        self._results: dict[str, News] = {}
        self._opens_results = True

    def paths(self) -> list[str]:
        """Nodes to listen at; there are more after a look that found them."""
        return [CAMPAIGNS, *([ANALYSIS] if self._opens_results else []), *chain(*self._nodes.values())]

    def look(self, where: set[str] | None = None) -> list[News]:
        """Everything that is in the catalogue now, also what an earlier look found.

        Args:
            where: nodes at which there may be something new; None: everywhere.

        Raises:
            CatalogueError: there is no such campaign, or a part of it is just being made.
            ServiceMissing: the server does not answer.
            ServiceError: it does not let the key read.
        """
        from tiled.client.utils import ClientError

        where = None if self._whole else where
        self._whole = True  # whoever is interrupted begins anew
        try:
            news = self._look_at_runs(where)
            if where is None or ANALYSIS in where:
                self._look_at_results()
            self._whole = False
            return [*news, *self._results.values()]
        except ClientError as error:
            status = error.response.status_code
            if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
                raise ServiceError(f"{self._client.uri} does not let this key read: it ended or was revoked") from error
            raise CatalogueError(f"campaign {self._campaign} changes while it is read: {error}") from error
        except KeyError as error:
            raise CatalogueError(f"campaign {self._campaign} changes while it is read: {error}") from error
        except httpx.HTTPError as error:
            raise ServiceMissing(f"{self._client.uri} does not answer ({error})") from error

    def _look_at_runs(self, where: set[str] | None) -> list[News]:
        if where is None or CAMPAIGNS in where:
            runs = {str(run.item["id"]): run for run in campaign_chain(self._client, self._campaign)}
            self._open = {uid: run for uid, run in runs.items() if uid not in self._ended}
            self._nodes, self._tables = {}, {}
            chosen = self._open
        else:
            rang = {path.split("/")[1] for path in where if path.startswith(f"{CAMPAIGNS}/")}
            chosen = {uid: run for uid, run in self._open.items() if uid in rang}
        found: list[News] = []
        for uid, run in chosen.items():
            news, self._nodes[uid] = self._read_run(uid, stop_of(run))
            found += news
            if news and news[-1].kind == "end":
                self._ended[uid] = news
                del self._nodes[uid]
        return [*chain(*self._ended.values()), *found]

    def _read_run(self, uid: str, stop: dict[str, Any] | None) -> tuple[list[News], list[str]]:
        """The news of a run, its end as the last, and its nodes at which more can appear.

        Args:
            uid: the run.
            stop: its stop document, read before: nothing comes after it.
        """
        found: list[News] = []
        nodes = [f"{CAMPAIGNS}/{uid}", f"{CAMPAIGNS}/{uid}/{DECISION}", f"{CAMPAIGNS}/{uid}/{DECISION}/{TABLE}"]
        if uid not in self._tables:
            self._tables[uid] = self._node(CAMPAIGNS, uid, DECISION, TABLE)
        if self._tables[uid] is None:
            del self._tables[uid]
            nodes = nodes[:1] if self._node(CAMPAIGNS, uid, DECISION) is None else nodes[:2]
        else:
            found += self._read_table(uid)
        if stop is not None:
            found.append(News("end", f"{uid}:{stop['uid']}", float(stop["time"]), stop))
        return found, nodes

    def _read_table(self, uid: str) -> list[News]:
        from tiled.client.utils import ClientError

        try:
            rows = decoded_decisions(self._tables[uid].read(), uid)
        except ClientError as error:
            if error.response.status_code != HTTPStatus.NOT_FOUND:
                raise
            del self._tables[uid]  # it has no row yet, or is being written anew
            return []
        keys = (f"{uid}:{row['seq_num']}:{row['time']:.6f}" for row in rows)
        return [News("decision", key, float(row["time"]), row) for key, row in zip(keys, rows)]

    def _node(self, *path: str) -> Any:
        """A node in one request; None if there is none."""
        try:
            return self._client[path]
        except KeyError:
            return None

    def _look_at_results(self) -> None:
        from tiled.queries import Eq

        try:
            results: Any = self._client[ANALYSIS]
        except KeyError:
            if self._opens_results:
                log.warning("this key does not open the container %r: results are not told", ANALYSIS)
            self._opens_results = False
            return
        for key in results.search(Eq("campaign", self._campaign)).search(Eq("complete", True)):
            if key not in self._results:
                metadata = dict(results[key].metadata)
                self._results[key] = News("result", key, float(metadata["time"]), metadata)
