"""Consumers of a real catalogue: what they are told, when, and what their keys let them do."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing
from dataclasses import replace

import bluesky.plan_stubs as bps
import bluesky.preprocessors as bpp
import httpx
import numpy as np
import pandas as pd
import pyarrow
import pytest
import yaml
from _catalogue import KEY, Lab
from _facility import KINDS, facility, settings_of
from bluesky import RunEngine
from ophyd import Component as Cpt
from ophyd import Device, Signal
from tiled.client import from_uri
from tiled.queries import Key
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect as websocket

from sdl_bluesky.bench.data_news import news_rows
from sdl_bluesky.data.analysis import write_analysis
from sdl_bluesky.data.catalogue import connect
from sdl_bluesky.data.consumers.follow import follow
from sdl_bluesky.data.consumers.keys import list_keys, make_key, revoke_key
from sdl_bluesky.data.layout import CAMPAIGNS, identity
from sdl_bluesky.data.ledger import find
from sdl_bluesky.data.log import DocumentLog
from sdl_bluesky.data.server import TiledServer
from sdl_bluesky.errors import CatalogueError, OutOfRange, ServiceError, UnknownName
from sdl_bluesky.session.catalogue import open_catalogue
from sdl_bluesky.session.lab import default_lab_path

pytestmark = pytest.mark.system

HOUR_S = 3600.0
WITHIN_S = 60.0


@pytest.fixture(scope="module", params=KINDS)
def lab(tmp_path_factory, request):
    lab = Lab(tmp_path_factory.mktemp("lab"), request.param)
    yield lab
    lab.end()


@pytest.fixture(scope="module")
def reader(lab):
    """The catalogue as a consumer sees it, with an address and a key that reads."""
    return connect(lab.server.uri, make_key(lab.client, expires_s=HOUR_S, note="tests").secret)


def soon(what, condition):
    deadline = time.monotonic() + WITHIN_S
    while not (found := condition()):
        assert time.monotonic() < deadline, f"no {what} within {WITHIN_S} s"
        time.sleep(0.02)
    return found


class Columns(Device):
    step = Cpt(Signal, value=0)
    outcome_row = Cpt(Signal, value="{}")


class Campaign:
    """A campaign run of a RunEngine in a thread; each call of `decide` makes one decision."""

    def __init__(self, lab, **start):
        self.lab, self.uid, self.times, self.start = lab, "", [], start
        self._asked, self._made, self._end = threading.Event(), threading.Event(), threading.Event()
        self._columns = Columns(name="d")
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self):
        self._thread.start()
        soon("campaign", lambda: self.uid and find(self.lab.client[CAMPAIGNS], self.uid) is not None)
        return self

    def __exit__(self, *_):
        self._end.set()
        self._asked.set()
        self._thread.join()

    def decide(self):
        self._made.clear()
        self._asked.set()
        assert self._made.wait(WITHIN_S)

    def _note(self, name, doc):
        if name == "start":
            self.uid = doc["uid"]
        elif name == "event":
            self.times.append(doc["time"])

    def _run(self):
        RE = RunEngine({}, call_returns_result=False, context_managers=[])
        with DocumentLog(self.lab.log_dir) as log:
            RE.subscribe(log)
            RE.subscribe(self._note)
            RE(bpp.run_wrapper(self._plan(), md={"purpose": "campaign", **self.start}))

    def _plan(self):
        while True:
            while not self._asked.is_set():
                yield from bps.sleep(0.01)
            self._asked.clear()
            if self._end.is_set():
                return
            self._columns.step.put(len(self.times) + 1)
            self._columns.outcome_row.put(json.dumps({"rate": len(self.times) / 3}))
            yield from bps.trigger_and_read([self._columns], name="decision")
            self._made.set()


class Consumer:
    """Follows a campaign in a thread, and notes when it was told what."""

    def __init__(self, client, uid, **options):
        self.told, self.fault, self._over = [], None, False
        self._thread = threading.Thread(target=self._run, args=(client, uid), kwargs=options, daemon=True)

    def _run(self, client, uid, **options):
        try:
            for news in follow(client, uid, stop=lambda: self._over, **options):
                self.told.append((time.time(), news))
        except ServiceError as fault:
            self.fault = fault

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._over = True
        self._thread.join()

    def of(self, kind):
        return [news for _, news in self.told if news.kind == kind]

    def wait(self, kind, number):
        soon(f"{kind} {number}", lambda: len(self.of(kind)) >= number)


def a_map(client, campaign, value=0.5, **more):
    axes = {"element": np.array(["Cu", "Sn"]), "x": np.linspace(-1, 1, 3)}
    arrays = {"composition": np.full((2, 3), value), **axes}
    dims = {"composition": ("element", "x"), "element": ("element",), "x": ("x",)}
    about = {"units": {"x": "mm"}, "derived_from": [campaign], "method": "test", "campaign": campaign, **more}
    return write_analysis(client, "composition", arrays, dims, about | {"parameters": {"value": value}})


def test_each_decision_and_map_is_told_as_it_comes(lab, reader):
    with Campaign(lab) as campaign, Consumer(reader, campaign.uid) as consumer:
        for number in range(1, 5):
            campaign.decide()
            consumer.wait("decision", number)
        key = a_map(lab.client, campaign.uid)
        consumer.wait("result", 1)
        a_map(lab.client, "another campaign")
        campaign.__exit__()
        consumer.wait("end", 1)
    decisions = consumer.of("decision")
    assert [news.content["d_step"] for news in decisions] == [1, 2, 3, 4]
    assert [news.content["d_outcome_row"] for news in decisions] == [{"rate": n / 3} for n in range(4)]
    assert [news.time for news in decisions] == campaign.times
    assert [news.key for news in consumer.of("result")] == [key]
    assert consumer.of("result")[0].content["kind"] == "composition"
    assert [news.content["exit_status"] for news in consumer.of("end")] == ["success"]


def test_the_study_of_news_makes_and_is_told_of_what_it_says(lab):
    before = set(lab.client["analysis"])
    rows = news_rows(RunEngine({}, call_returns_result=False, context_managers=[]), lab.log_dir, lab.client, 2)
    assert [(row["method"], row["case"]) for row in rows] == [("news", "2 decisions"), ("news", "2 maps")]
    assert all(0.0 < row["delay_s"] <= row["worst_delay_s"] for row in rows)
    maps = [lab.client["analysis"][key] for key in set(lab.client["analysis"]) - before]
    assert len(maps) == 3, "the first is not counted"
    [campaign] = {one.metadata["campaign"] for one in maps}
    told = [news.kind for news in follow(lab.client, campaign, wait=False)]
    assert (told.count("decision"), told.count("result")) == (3, 3)


def test_a_server_that_is_killed_loses_and_doubles_nothing_for_a_consumer(lab, reader):
    with Campaign(lab) as campaign, Consumer(reader, campaign.uid) as consumer:
        campaign.decide()
        consumer.wait("decision", 1)
        lab.server.process.kill()
        lab.server.process.wait()
        campaign.decide()
        campaign.decide()
        lab.server = lab.start_server()
        consumer.wait("decision", 3)
        campaign.decide()
        consumer.wait("decision", 4)
        lab.client[CAMPAIGNS].delete_contents(campaign.uid, recursive=True, external_only=False)
        campaign.decide()  # the writer cannot append it and writes the run anew
        consumer.wait("decision", 5)
    lab.wait(campaign.uid)
    assert [news.content["d_step"] for news in consumer.of("decision")] == [1, 2, 3, 4, 5]
    assert consumer.fault is None
    told = list(follow(reader, campaign.uid, wait=False))
    assert [news.kind for news in told] == ["decision"] * 5 + ["end"]
    known = [news.key for news in told[:2]]
    assert list(follow(reader, campaign.uid, seen=known, wait=False)) == told[2:]
    with pytest.raises(CatalogueError, match="no campaign"):
        next(follow(reader, "none"))
    command = [sys.executable, "-m", "sdl_bluesky.cli", "campaign", "follow", campaign.uid[:8], "--past"]
    environment = os.environ | {"TILED_API_KEY": reader.context.api_key}
    done = subprocess.run(
        [*command, "--uri", lab.server.uri], env=environment, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [row.split()[1] for row in done.stdout.splitlines()] == ["decision"] * 5 + ["end"]


def test_a_server_without_a_stream_is_asked_and_that_is_said(tmp_path, caplog):
    """Slower, but whole."""
    settings = replace(settings_of("sqlite", tmp_path), streaming_cache="")
    with TiledServer.start(settings, tmp_path, KEY) as server:
        client = connect(server.uri, KEY)
        start = {"uid": "c" * 36, "purpose": "campaign", "time": 1.0}
        run = client[CAMPAIGNS].create_container("c" * 36, metadata={"start": start})
        with Consumer(client, "c" * 36) as consumer:
            soon("warning", lambda: "tells no news" in caplog.text)
            run.update_metadata({"stop": {"uid": "s", "time": 2.0, "exit_status": "success"}}, drop_revision=True)
            consumer.wait("end", 1)


@pytest.fixture(scope="module")
def kept(lab):
    """Nodes of every kind that a consumer might want to change."""
    folder = lab.client["analysis"].create_container("kept", metadata={"colour": "red"})
    folder.write_array(np.arange(4.0), key="array")
    folder.write_table(pd.DataFrame({"x": [1.0, 2.0]}), key="table")
    folder.update_metadata({"colour": "blue"})  # leaves a revision
    return folder


def everything(folder):
    names = {name: (node.read(), dict(node.metadata)) for name, node in folder.items()}
    return repr((sorted(names.items()), dict(lab_metadata(folder)), len(folder.metadata_revisions[:])))


def lab_metadata(folder):
    return folder.parent[folder.item["id"]].metadata


def writes(folder):
    """Every way in which Tiled's client changes something, as (name, call)."""
    array, table, parent = folder["array"], folder["table"], folder.parent
    frame = pd.DataFrame({"x": [3.0]})
    return {
        "create_container": lambda: folder.create_container("new"),
        "write_array": lambda: folder.write_array(np.ones(2), key="new"),
        "write_table": lambda: folder.write_table(frame, key="new"),
        "create_appendable_table": lambda: folder.create_appendable_table(table_schema(frame), key="new"),
        "array.write": lambda: array.write(np.ones(4)),
        "array.write_block": lambda: array.write_block(np.ones(4), (0,)),
        "array.patch": lambda: array.patch(np.ones(1), offset=(4,), extend=True),
        "table.write": lambda: table.write(frame),
        "table.write_partition": lambda: table.write_partition(0, frame),
        "update_metadata": lambda: folder.update_metadata({"colour": "green"}),
        "patch_metadata": lambda: folder.patch_metadata([{"op": "add", "path": "/colour", "value": "green"}]),
        "replace_metadata": lambda: folder.replace_metadata({"colour": "green"}),
        "delete_revision": lambda: folder.metadata_revisions.delete_revision(1),
        "delete_contents": lambda: folder.delete_contents("array", external_only=False),
        "delete": lambda: parent.delete_contents("kept", recursive=True, external_only=False),
        "array.close_stream": lambda: array.close_stream(),
        "create_api_key": lambda: folder.context.create_api_key(),
        "revoke_api_key": lambda: folder.context.revoke_api_key(KEY[:8]),
        "create_service_principal": lambda: folder.context.admin.create_service_principal("admin"),
        "list_principals": lambda: folder.context.admin.list_principals(),
    }


def table_schema(frame):
    return pyarrow.Table.from_pandas(frame).schema


def test_a_key_that_reads_cannot_write_by_any_verb_of_the_client(lab, reader, kept):
    from tiled.client.utils import ClientError

    folder = reader["analysis"]["kept"]
    before, keys = everything(kept), list_keys(lab.client)
    assert folder["array"].read().tolist() == [0.0, 1.0, 2.0, 3.0]
    assert folder["table"].read()["x"].tolist() == [1.0, 2.0]
    for name, write in writes(folder).items():
        with pytest.raises(ClientError) as refusal:
            write()
        assert refusal.value.response.status_code in (401, 403), name
    assert everything(kept) == before
    assert [key.name for key in list_keys(lab.client)] == [key.name for key in keys]


SELECTIONS = ("table/full", "table/partition", "container/full", "awkward/buffers")
READS = {f"/api/v1/{route}/{{path}}" for route in SELECTIONS}
"""POST there asks for a selection that is too long for an address."""
OPEN_TO_ALL = ("/api/v1/auth/session/", "/api/v1/auth/provider/")
"""Of logins, which nobody has."""
GRAPH = "/api/graphql"


def test_a_key_that_reads_cannot_write_by_any_route_of_the_server(lab, reader, kept):
    paths = routes_of(lab)
    routes = [(path, verb) for path, verbs in paths.items() for verb in verbs if verb != "get"]
    routes = [(path, verb) for path, verb in routes if (path, verb) not in {(p, "post") for p in READS}]
    routes = [(path, verb) for path, verb in routes if not path.startswith(OPEN_TO_ALL) and path != GRAPH]
    assert len(routes) > 15
    let_in = []
    with asking(lab.server.uri, reader.context.api_key) as http:
        for path, verb in routes:
            where = path.replace("{path}", "analysis/kept/array").replace("{webhook_id}", "1")
            where = where.replace("{uuid}", "00000000-0000-4000-8000-000000000000")
            answer = http.request(verb.upper(), where, params=PARAMETERS, json={})
            if answer.status_code not in (401, 403):
                let_in.append((verb, path, answer.status_code))
        graph = http.post(GRAPH, json={"query": "mutation { " + MUTATION + " }"}).json()
    assert let_in == []
    assert [error["message"] for error in graph["errors"]] == ["Not permitted"]


def routes_of(lab):
    return httpx.get(f"{lab.server.uri}/openapi.json", timeout=WITHIN_S).json()["paths"]


def asking(address, key, **headers):
    """A client with a key and with patience; httpx has 5 s."""
    return httpx.Client(base_url=address, headers={"Authorization": f"Apikey {key}", **headers}, timeout=WITHIN_S)


PARAMETERS = {"role": "admin", "first_eight": KEY[:8], "block": "0", "partition": "0", "offset": "0", "shape": "4"}
PARAMETERS |= {"number": "1", "id": "1"}
MUTATION = 'createEntity(input: {entityType: "x", name: "x"}) { id }'


def opened_with_a_key_that_ends_soon(lab):
    """A client that has read with its key; a slow machine needs one that lives longer."""
    from tiled.client.utils import ClientError

    for expires_s in (2.0, 8.0, 30.0):
        try:
            client = connect(lab.server.uri, make_key(lab.client, expires_s=expires_s).secret)
            assert "raw" in list(client)
        except (ServiceError, ClientError) as fault:
            refusal = fault
        else:
            return client
    raise AssertionError("the key never let us in") from refusal


def test_a_key_that_has_ended_cannot_read(lab):
    client = opened_with_a_key_that_ends_soon(lab)
    soon("end of the key", lambda: refused(client))
    with pytest.raises(ServiceError, match="does not let us in"):
        connect(lab.server.uri, client.context.api_key)
    with pytest.raises(ServiceError, match="ended or was revoked"):
        next(follow(client, "any"))


def test_a_revoked_key_cannot_read_and_the_others_stay(lab, reader):
    key = make_key(lab.client, expires_s=HOUR_S, note="for once")
    client = connect(lab.server.uri, key.secret)
    listed = {one.name: one for one in list_keys(lab.client)}
    assert listed[key.name].note == "for once"
    assert listed[key.name].reads_only
    assert listed[KEY[:8]].own
    assert revoke_key(lab.client, key.name).note == "for once"
    soon("refusal", lambda: refused(client))
    assert key.name not in {one.name for one in list_keys(lab.client)}
    assert "raw" in list(reader)
    with pytest.raises(UnknownName, match=key.name):
        revoke_key(lab.client, key.name)
    with pytest.raises(ServiceError, match="locked out"):
        revoke_key(lab.client, KEY)
    with pytest.raises(ServiceError, match="does not let this key make a key"):
        make_key(reader, expires_s=HOUR_S)


def refused(client):
    from tiled.client.utils import ClientError

    try:
        return not list(client)
    except ClientError as error:
        return error.response.status_code == 401


def test_a_key_for_a_container_opens_nothing_else(lab, kept):
    uid = "d" * 36
    lab.client[CAMPAIGNS].create_container(uid, metadata={"start": {"uid": uid, "time": 1.0}})
    key = make_key(lab.client, expires_s=HOUR_S, containers=[CAMPAIGNS])
    client = connect(lab.server.uri, key.secret)
    assert list(client) == [CAMPAIGNS]
    assert uid in list(client[CAMPAIGNS])
    assert list(follow(client, uid, wait=False)) == []
    with asking(f"{lab.server.uri}/api/v1/", key.secret) as http:
        for path in ("metadata/raw", "search/analysis", "metadata/analysis/kept", "array/full/analysis/kept/array"):
            assert http.get(path).status_code == 404, path
        assert http.get("search-deep/").text.count("kept") == 0
        assert http.get("container/full/").status_code in (403, 404, 406)
    with pytest.raises(UnknownName, match="nowhere"):
        make_key(lab.client, expires_s=HOUR_S, containers=["nowhere"])


MINE, THEIRS = "proposal_7", "proposal-7"
"""The one is the other to a database that takes _ for any letter."""
MARK = "elderberry"
"""Stands in everything of the other proposal."""
TOPS = ("raw", "campaigns", "analysis")


def experiment(client, uid, **start):
    run = client["raw"].create_container(uid, metadata={"start": {"uid": uid, "time": 1.0, **start}})
    run.write_array(np.arange(2.0), key="a")
    return uid


def heard(lab, key, path):
    """What the server answers to somebody who wants to hear of a node."""
    uri = f"{lab.server.uri.replace('http', 'ws')}/api/v1/stream/single/{path}"
    try:
        with websocket(uri, additional_headers={"Authorization": f"Apikey {key}"}, open_timeout=WITHIN_S):
            return "told"
    except InvalidStatus as refusal:
        return refusal.response.status_code


def crawl(lab, key, paths):
    """All that reading routes say of some paths, as one text."""
    routes = routes_of(lab).items()
    gets = [route.replace("{block}", "0") for route, verbs in routes if "get" in verbs and "{path}" in route]
    assert len(gets) > 15
    asked = PARAMETERS | {"metadata": "start.mark", "counts": "true", "format": "application/json"}
    with asking(lab.server.uri, key, Connection="close") as http:  # the server closes it itself after an error
        return "".join(http.get(route.replace("{path}", path), params=asked).text for route in gets for path in paths)


def test_a_key_for_a_tag_opens_what_carries_it_and_nothing_else(lab, reader):
    """With Tiled's own client, by every reading route, and by websocket."""
    with Campaign(lab, tags=[THEIRS], mark=MARK) as theirs:
        theirs.decide()
    lab.wait(theirs.uid)
    own = experiment(lab.client, "e" * 36, tags=["another", MINE])
    other = experiment(lab.client, "f" * 36, tags=[THEIRS], mark=MARK, sample=f"{MINE} and more")
    results = [a_map(lab.client, "none", 0.1, run=own), a_map(lab.client, "none", 0.2, run=other, mark=MARK)]
    secret = make_key(lab.client, expires_s=HOUR_S, tags=[MINE], note="tagged").secret
    client = from_uri(f"{lab.server.uri}/api/v1", api_key=secret)
    with Campaign(lab, sample=MINE) as mine, Consumer(client, mine.uid) as consumer:
        mine.decide()
        consumer.wait("decision", 1)
        results.append(a_map(lab.client, mine.uid, 0.3))
        consumer.wait("result", 1)
        mine.__exit__()
        consumer.wait("end", 1)
        assert [heard(lab, secret, path) for path in ("", *TOPS)] == [403] * 4, "they tell of every run in them"
        assert heard(lab, secret, f"campaigns/{mine.uid}") == "told"
        assert heard(lab, secret, f"campaigns/{theirs.uid}") == 404
    assert sorted(client) == sorted(TOPS)
    seen = {name: sorted(client[name]) for name in TOPS}
    assert seen == {"raw": [own], "campaigns": [mine.uid], "analysis": sorted([results[0], results[2]])}
    assert client["raw"][own]["a"].read().tolist() == [0.0, 1.0]
    assert len(client["raw"].search(Key("start.time") == 1.0)) == 1
    for name, hidden in (("raw", other), ("campaigns", theirs.uid), ("analysis", results[1])):
        with pytest.raises(KeyError):
            client[name][hidden]
    if lab.settings.catalog.startswith("sqlite"):  # routes know nothing of databases
        assert MARK in crawl(lab, reader.context.api_key, ["raw", f"raw/{other}"])
        assert MARK not in crawl(lab, secret, ["", *TOPS, f"raw/{other}", f"campaigns/{theirs.uid}/decision"])
    with pytest.raises(CatalogueError, match="no campaign"):
        next(follow(client, theirs.uid, wait=False))


def test_tags_and_containers_limit_a_key_together(lab):
    own = experiment(lab.client, "g" * 36, tags=["together"])
    key = make_key(lab.client, expires_s=HOUR_S, tags=["together", "nobody's"], containers=["raw"])
    client = from_uri(f"{lab.server.uri}/api/v1", api_key=key.secret)
    assert {name: list(client[name]) for name in client} == {"raw": [own]}
    listed = {one.name: one for one in list_keys(lab.client)}[key.name]
    assert (listed.containers, listed.tags) == (("raw",), ("together", "nobody's"))
    nothing = from_uri(
        f"{lab.server.uri}/api/v1", api_key=make_key(lab.client, expires_s=HOUR_S, tags=["nobody's"]).secret
    )
    assert [len(nothing[name]) for name in TOPS] == [0, 0, 0]


def test_a_lab_file_alone_puts_the_catalogue_on_the_servers_of_a_facility(tmp_path):
    servers = facility()
    catalogue = {
        "catalog": f"postgresql+asyncpg://{servers.database()}",
        "tables": f"postgresql://{servers.database()}",
        "keys": f"postgresql://{servers.database()}",
        "streaming_cache": servers.redis,
    }
    lab = yaml.safe_load(default_lab_path().read_text()) | {"catalogue": catalogue}
    (tmp_path / "lab.yml").write_text(yaml.safe_dump(lab))
    with open_catalogue(tmp_path / "lab.yml", tmp_path / "first") as client:
        rows = pyarrow.table({"x": [1.0, float("nan")]})
        client["analysis"].create_appendable_table(rows.schema, key="kept").append_partition(0, rows)
        first, key = identity(client), make_key(client, expires_s=HOUR_S)
    assert list((tmp_path / "first" / "tiled").glob("*.db")) == []
    with open_catalogue(tmp_path / "lab.yml", tmp_path / "second") as client:
        assert identity(client) == first
        assert key.name in {known.name for known in list_keys(client)}
        assert identity(connect(str(client.context.api_uri), key.secret)) == first, "keys outlive the data folder"
        assert repr(client["analysis"]["kept"].read()["x"].tolist()) == "[1.0, nan]"


@pytest.mark.parametrize(("part", "name"), [("keys", "database of keys"), ("catalog", "database of the catalogue")])
def test_a_database_that_is_not_there_is_named(tmp_path, part, name):
    where = f"postgresql+asyncpg://tiled:secret@{facility().postgresql}/nowhere"
    with pytest.raises(ServiceError, match=rf"(?s){name} .*nowhere.*catalogue\.{part}") as fault:
        TiledServer.start(replace(settings_of("sqlite", tmp_path), **{part: where}), tmp_path, KEY)
    assert "secret" not in str(fault.value)


def test_a_database_of_another_tiled_is_named(tmp_path):
    settings = settings_of("sqlite", tmp_path)
    TiledServer.start(settings, tmp_path, KEY).stop()
    with closing(sqlite3.connect(tmp_path / "catalog.db")) as database, database:
        database.execute("UPDATE alembic_version SET version_num = 'newer'")
    with pytest.raises(ServiceError, match=r"(?s)catalog\.db cannot be used .*revision newer.*catalogue\.catalog"):
        TiledServer.start(settings, tmp_path, KEY)


@pytest.mark.parametrize("expires_s", [float("nan"), float("inf"), 0.0, -1.0, 1e12])
def test_a_time_that_is_none_makes_no_key(lab, expires_s):
    with pytest.raises(OutOfRange, match="a key lives"):
        make_key(lab.client, expires_s=expires_s)
    with pytest.raises(OutOfRange, match="note"):
        make_key(lab.client, expires_s=HOUR_S, note="x" * 256)


def test_nobody_comes_in_without_a_key(lab):
    assert httpx.get(f"{lab.server.uri}/api/v1/metadata/", timeout=WITHIN_S).status_code == 401
    with pytest.raises(ServiceError, match="TILED_API_KEY"):
        connect(lab.server.uri, "00" * 8)
    login = f"{lab.server.uri}/api/v1/auth/provider/keys/token"
    answer = httpx.post(login, data={"username": "lab", "password": KEY}, timeout=WITHIN_S)
    assert answer.status_code == 401
