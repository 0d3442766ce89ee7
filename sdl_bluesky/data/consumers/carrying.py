"""The server's side of tags: which runs and results carry one, asked of the catalogue's database.

A run carries as tags what its start document has in `tags`, its sample, its campaign and its uid. A result carries those of
its own metadata, and all that the run for which it was made, and the first run of its campaign, carry. Nothing has to be
declared, and old runs carry theirs too.

Both queries take direct children only, so that a search in all depths finds nothing behind a child that is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import and_, exists, false, func, literal, or_, select, type_coerce
from sqlalchemy.orm import aliased
from tiled.catalog import orm
from tiled.catalog.adapter import CatalogNodeAdapter

from sdl_bluesky.data.layout import ANALYSIS, RUN_CONTAINERS

_OF_RUNS = (("start", "tags"), ("start", "sample"), ("start", "campaign"), ("start", "uid"))
_OF_RESULTS = (("tags",), ("sample",), ("campaign",), ("run",))


@dataclass(frozen=True)
class Named:
    """Children of these names."""

    names: tuple[str, ...]


@dataclass(frozen=True)
class Carrying:
    """Children of a container at the top ("raw", "campaigns", "analysis") that carry one of these tags."""

    container: str
    tags: tuple[str, ...]


def _named(query: Named, tree: Any) -> Any:
    return _within(tree, orm.Node.key.in_(query.names))


def _carrying(query: Carrying, tree: Any) -> Any:
    dialect = tree.context.engine.dialect.name
    if query.container != ANALYSIS:
        return _within(tree, _holds(orm.Node, _OF_RUNS, query.tags, dialect))
    run, top = aliased(orm.Node), aliased(orm.Node)
    tops = select(top.id).where(top.parent == tree.node.parent, top.key.in_(RUN_CONTAINERS))
    made_for = exists(
        select(literal(1))
        .select_from(run)
        .where(run.key.in_(orm.Node.metadata_[key].as_string() for key in ("run", "campaign")), run.parent.in_(tops))
        .where(_holds(run, _OF_RUNS, query.tags, dialect))
        .correlate(orm.Node)
    )
    return _within(tree, or_(_holds(orm.Node, _OF_RESULTS, query.tags, dialect), made_for))


def _within(tree: Any, condition: Any) -> Any:
    return tree.new_variation(conditions=[*tree.conditions, and_(orm.Node.parent == tree.node.id, condition)])


def _holds(node: Any, places: Sequence[tuple[str, ...]], tags: Sequence[str], dialect: str) -> Any:
    """Condition: one of the tags stands at one of the places in a node's metadata, by itself or in a list."""
    if dialect == "postgresql":  # asked so, its index is used
        held = [_nested(place, value) for place in places for tag in tags for value in (tag, [tag])]
        return or_(false(), *(node.metadata_.op("@>")(type_coerce(one, orm.Node.metadata_.type)) for one in held))
    conditions = []
    for place in places:
        values = func.json_each(node.metadata_, "$" + "".join(f'."{key}"' for key in place)).table_valued("value")
        conditions.append(exists(select(literal(1)).select_from(values).where(values.c.value.in_(tags))))
    return or_(false(), *conditions)


def _nested(place: tuple[str, ...], value: Any) -> Any:
    for key in reversed(place):
        value = {key: value}
    return value


CatalogNodeAdapter.register_query(Named, _named)
CatalogNodeAdapter.register_query(Carrying, _carrying)
