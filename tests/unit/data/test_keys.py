"""Keys as far as no server is needed."""

from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from sdl_bluesky.cli import main
from sdl_bluesky.cli.campaign_follow import line
from sdl_bluesky.cli.data_keys import opens
from sdl_bluesky.data.consumers.follow import News
from sdl_bluesky.data.consumers.keys import duration_s, list_keys, make_key
from sdl_bluesky.data.consumers.limits import Limits
from sdl_bluesky.errors import OutOfRange, ServiceError


@pytest.mark.parametrize(
    ("text", "seconds"), [("30s", 30.0), ("15m", 900.0), ("12h", 43200.0), ("7d", 604800.0), ("1.5w", 907200.0)]
)
def test_durations(text, seconds):
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "7", "d", "-7d", "nand", "7 days", "1e3s", "7d8h", "infd"])
def test_what_is_no_duration(text):
    with pytest.raises(OutOfRange, match="7d"):
        duration_s(text)


def server(links, **answers):
    about = SimpleNamespace(authentication=SimpleNamespace(links=links))
    context = SimpleNamespace(server_info=about, api_key="0123456789", **answers)
    return SimpleNamespace(context=context, uri="http://here")


def test_a_server_with_one_key_says_so():
    with pytest.raises(ServiceError, match="one key for everybody"):
        make_key(server(None), expires_s=60.0)


@pytest.mark.parametrize("tag", ["", " ", " proposal-7", "proposal-7\n", "x" * 600])
def test_what_is_no_tag(tag):
    with pytest.raises(OutOfRange, match="tag"):
        make_key(server(SimpleNamespace(apikey="/")), expires_s=60.0, tags=[tag])


@pytest.mark.parametrize(
    ("limits", "access_tags", "tops"),
    [
        (Limits(), None, None),
        (Limits(("campaigns",)), ["campaigns"], ("campaigns",)),
        (Limits(None, ("a", "tag:b")), ["tag:a", "tag:tag:b"], ("raw", "campaigns", "analysis")),
        (Limits(("raw",), ("a",)), ["raw", "tag:a"], ("raw",)),
        (Limits(()), [], ()),
    ],
)
def test_limits_are_what_tiled_keeps_of_them(limits, access_tags, tops):
    assert limits.as_access_tags() == access_tags
    assert Limits.of(access_tags) == limits
    assert limits.tops == tops


@pytest.mark.parametrize(
    ("access_tags", "words"),
    [
        (None, "everything"),
        (["raw", "analysis"], "raw, analysis"),
        (["tag:p-7", "tag:s"], "everything of p-7, s"),
        (["raw", "tag:p-7"], "raw of p-7"),
    ],
)
def test_what_a_keyopens_is_said(access_tags, words):
    keys = [told("01234567", None, access_tags=access_tags)]
    [key] = list_keys(server(SimpleNamespace(apikey="/"), whoami=lambda: {"api_keys": keys}))
    assert opens(key) == words


def told(name, ends, **more):
    return {
        "first_eight": name,
        "scopes": ["read:data"],
        "expiration_time": ends,
        "latest_activity": None,
        "note": None,
    } | more


def test_keys_are_told_by_their_end_and_those_that_ended_are_left_out():
    ends = {name: datetime(year, 1, 1) for name, year in (("late", 2300), ("soon", 2200), ("over", 2020))}
    keys = [told(name, moment) for name, moment in ends.items()]
    keys += [told("01234567", None, scopes=["inherit"], note="lab")]
    found = list_keys(server(SimpleNamespace(apikey="/"), whoami=lambda: {"api_keys": keys}))
    assert [key.name for key in found] == ["soon", "late", "01234567"]
    assert found[0].ends == datetime(2200, 1, 1, tzinfo=UTC)
    assert [key.reads_only for key in found] == [True, True, False]
    assert [key.own for key in found] == [False, False, True]
    assert found[0].containers is None


@pytest.mark.parametrize(
    ("news", "words"),
    [
        (
            News(
                "decision", "k", 0.0, {"step": 3, "stage": "learn:cu", "inputs": {"power": 50.0}, "outcome": "success"}
            ),
            "decision    3  learn:cu   power 50.00  success",
        ),
        (News("decision", "k", 0.0, {}), "decision"),
        (News("result", "1-composition", 0.0, {"kind": "composition"}), "result    composition  1-composition"),
        (News("end", "k", 0.0, {"exit_status": "fail", "reason": "door"}), "end       fail door"),
    ],
)
def test_news_are_lines(news, words):
    assert line(news).split("  ", 1)[1].strip() == words


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["campaign", "follow", "abc"], "sdl up"),
        (["data", "key", "--expires", "soon"], "write a number and one of s, m, h, d, w"),
    ],
)
def test_commands_say_what_is_wrong_before_they_start_anything(command, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main([*command, "--home", str(tmp_path / "home")]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "home").exists()
