"""News of a campaign as they come: its decisions, the results that were made from it, and the end of each of its runs.

    for news in follow(connect("http://lab.example:8000", api_key), campaign):
        print(news.kind, news.content)

An address and a key that reads are enough. The catalogue says what is new; the server's websockets say when to look.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import httpx

from sdl_bluesky.data.consumers.bell import Bell
from sdl_bluesky.data.consumers.chronicle import Chronicle, News
from sdl_bluesky.errors import CatalogueError, ServiceMissing

if TYPE_CHECKING:
    from tiled.client.container import Container

__all__ = ["News", "follow"]

log = logging.getLogger(__name__)

LOOK_S = 5.0
LIMITED_S = 1.0
POLL_S = 0.5
DEAF_S = 15.0
QUICK_S = 2.0


def follow(
    client: Container,
    campaign: str,
    *,
    seen: Iterable[str] = (),
    wait: bool = True,
    stop: Callable[[], bool] = lambda: False,
) -> Iterator[News]:
    """Tell everything of a campaign from its beginning, and then what comes, each once, in the order of its time.

    A lost connection or a server that is started again is waited for; what was told is not told again. Decisions are
    told within a second of their event where the server has a streaming cache; where it has none, a warning says so and
    the catalogue is asked every half second. With a key that is limited to tags it is asked every second for results and
    ends of runs, of which containers tell.

    Args:
        client: root of the catalogue.
        campaign: id of the campaign (`sdl_bluesky.data.campaigns.campaign_id` finds it by its beginning).
        seen: keys of news that are known already, say from before this program was started again.
        wait: go on for ever; else end with what is there now.
        stop: asked every half second; the iterator ends when it says True.

    Yields:
        News.

    Raises:
        CatalogueError: there is no such campaign.
        ServiceError: the key is let in no more (it ended, or was revoked); without `wait` also a server that is away.
    """
    told = set(seen)
    chronicle = Chronicle(client, campaign)
    if not wait:
        yield from _fresh(chronicle.look(), told)
        return
    with Bell(client) as bell:
        news = chronicle.look()  # raises where there is no such campaign
        patience = _Patience(bell, client, stop)
        while True:
            yield from _fresh(news, told)
            bell.listen(chronicle.paths())
            where = patience.sit()
            if stop():
                return
            news = patience.look(chronicle, where)


def _fresh(news: list[News], told: set[str]) -> Iterator[News]:
    for one in sorted(news, key=lambda one: one.time):
        if one.key not in told:
            told.add(one.key)
            yield one


class _Patience:
    """When to look, and what to do when nobody answers."""

    def __init__(self, bell: Bell, client: Container, over: Callable[[], bool]) -> None:
        self._bell, self._client, self._over = bell, client, over
        self._heard_at = self._whole_at = time.monotonic()
        self._said = False
        self._away = False

    def sit(self) -> set[str] | None:
        """Wait for a ring; not for ever, since somebody on the way may swallow it. Returns where it rang, None: look all."""
        if self._bell.hears:
            self._heard_at = time.monotonic()
        elif not self._away and (self._bell.refused or time.monotonic() > self._heard_at + DEAF_S):
            self._say()
        deadline = time.monotonic() + (POLL_S if self._said and not self._bell.hears else LOOK_S)
        if self._bell.limited:  # what containers tell is not for this key: a new run, a result
            deadline = min(deadline, self._whole_at + LIMITED_S)
        while not self._over() and (left := deadline - time.monotonic()) > 0:
            if where := self._bell.wait(min(left, POLL_S)):
                return where
        self._whole_at = time.monotonic()
        return None

    def _say(self) -> None:
        if not self._said:
            why = self._bell.refused or "no websocket comes through"
            log.warning("%s tells no news (%s): asking every %g s instead", self._client.uri, why, POLL_S)
        self._said = True

    def look(self, chronicle: Chronicle, where: set[str] | None) -> list[News]:
        """What is in the catalogue; nothing while it does not answer, or while a run of it is being written anew."""
        try:
            if not self._bell.hears:  # one quick question, before Tiled's client asks again and again
                self._client.context.http_client.get(self._client.context.api_uri, timeout=QUICK_S)
            news = chronicle.look(where)
        except CatalogueError as fault:
            log.debug("%s", fault)
            return []
        except (ServiceMissing, httpx.TransportError) as fault:
            if not self._away:
                log.warning("%s does not answer (%s): waiting for it", self._client.uri, fault)
            self._away = True
            return []
        if self._away:
            log.warning("%s answers again", self._client.uri)
            self._away, self._heard_at = False, time.monotonic()
        return news
