"""What carries a tag, asked of Tiled's own catalogue in memory."""

import asyncio

import pytest
from tiled.catalog import in_memory

from sdl_bluesky.data.consumers.carrying import Carrying, Named

NODES = {
    "raw": {
        "listed": {"start": {"tags": ["x", "p_7"]}},
        "alone": {"start": {"tags": "p_7"}},
        "sample": {"start": {"sample": "p_7"}},
        "step": {"start": {"campaign": "first"}},
        "alike": {"start": {"tags": ["p-7", "p_77", "ap_7"], "sample": "p_7 b"}},
        "odd": {"start": {"tags": None, "sample": 7, "campaign": True}},
        "empty": {},
    },
    "campaigns": {
        "first": {"start": {"uid": "first", "tags": ["p_7"]}},
        "second": {"start": {"uid": "second"}},
    },
    "analysis": {
        "of run": {"run": "listed"},
        "of campaign": {"run": "gone", "campaign": "first"},
        "tagged": {"tags": ["p_7"]},
        "of another": {"run": "alike", "derived_from": ["listed"], "sample": "p-7"},
        "empty": {},
    },
}


async def filled(root):
    """Make the nodes; the first of each container has a child that carries the tag itself."""
    await root.startup()
    for top, children in NODES.items():
        parent = await root.create_node(structure_family="container", metadata={}, key=top)
        for key, metadata in children.items():
            node = await parent.create_node(structure_family="container", metadata=metadata, key=key)
            if key == "alike":
                await node.create_node(structure_family="container", metadata=NODES["raw"]["listed"], key="raw")
    return root


async def found(tree, query, deep=False):
    tree = tree.search(query)
    return set(await (tree.search_deep() if deep else tree).keys_range(offset=0, limit=100))


async def ask(root):
    """Everything that is asked below, in one go: the catalogue lives with its event loop."""
    await filled(root)
    tops = {name: await root.lookup_adapter([name]) for name in NODES}
    answers = {}
    for tags in (("p_7",), ("first", "nobody"), ("p%",), ()):
        answers[tags] = {name: await found(tree, Carrying(name, tags)) for name, tree in tops.items()}
    answers["deep"] = await found(tops["raw"], Carrying("raw", ("p_7",)), deep=True)
    answers["top"] = await found(root, Named(("raw", "campaigns", "nowhere")))
    answers["deep top"] = await found(root, Named(("raw",)), deep=True)
    await root.shutdown()
    return answers


@pytest.fixture(scope="module")
def answers(tmp_path_factory):
    return asyncio.run(ask(in_memory(writable_storage=[str(tmp_path_factory.mktemp("files"))])))


def test_runs_and_results_carry_tags_samples_and_campaigns(answers):
    assert answers["p_7",] == {
        "raw": {"listed", "alone", "sample"},
        "campaigns": {"first"},
        "analysis": {"of run", "of campaign", "tagged"},
    }
    assert answers["first", "nobody"] == {"raw": {"step"}, "campaigns": {"first"}, "analysis": {"of campaign"}}


def test_a_tag_is_no_pattern_and_no_tag_is_carried_by_nothing(answers):
    nothing = {name: set() for name in NODES}
    assert answers["p%",] == nothing
    assert answers[()] == nothing


def test_a_search_in_all_depths_finds_nothing_behind_what_is_hidden(answers):
    assert answers["deep"] == {"listed", "alone", "sample"}
    assert answers["top"] == {"raw", "campaigns"}
    assert answers["deep top"] == {"raw"}
