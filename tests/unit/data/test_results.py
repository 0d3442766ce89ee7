"""Derived results and decisions, as far as they can be checked without a server."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl_bluesky.data.analysis import Analysis, _check, content_key
from sdl_bluesky.data.campaigns import _decoded
from sdl_bluesky.data.catalogue import _seconds
from sdl_bluesky.errors import CatalogueError

METADATA = {
    "units": {"rate": "ng cm^-2 s^-1"},
    "derived_from": ["b", "a"],
    "method": "mean of 1",
    "parameters": {"k": 2},
}


def test_results_are_the_same_by_kind_runs_method_and_parameters():
    key = content_key("rate", METADATA)
    assert content_key("rate", METADATA | {"derived_from": ["a", "b"], "time": 5.0, "software": {}}) == key
    for change in ({"derived_from": ["a"]}, {"method": "median"}, {"parameters": {"k": 3}}):
        assert content_key("rate", METADATA | change) != key
    assert content_key("composition", METADATA) != key


@pytest.mark.parametrize(
    ("arrays", "dims", "words"),
    [
        ({"a": np.zeros((2, 3))}, {"a": ["y"]}, "a name for each dimension"),
        ({"a": np.zeros(2)}, {}, "a name for each dimension"),
        ({"a": np.zeros((0, 3))}, {"a": ["y", "x"]}, "none may be empty"),
        ({"a": np.zeros((2, 3)), "x": np.zeros(4)}, {"a": ["y", "x"], "x": ["x"]}, "'x' is 3 and 4 long"),
    ],
)
def test_arrays_and_dimensions_must_agree(arrays, dims, words):
    with pytest.raises(CatalogueError, match=words):
        _check("rate", arrays, dims, METADATA)


def test_metadata_must_say_where_a_result_is_from():
    with pytest.raises(CatalogueError, match="units, derived_from, method"):
        _check("rate", {}, {}, {})


def test_as_xarray_the_axes_are_coordinates():
    arrays = {"c": np.arange(12.0).reshape(2, 3, 2), "element": np.array(["Cu", "Sn"]), "x": np.array([1.0, 2.0])}
    dims = {"c": ("element", "y", "x"), "element": ("element",), "x": ("x",)}
    data = Analysis("key", {"kind": "composition"}, arrays, dims).to_xarray()
    assert data.c.sel(element="Sn", x=2.0).values.tolist() == [7.0, 9.0, 11.0]
    assert data.attrs["kind"] == "composition"


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists))
def test_texts_that_hold_json_are_decoded(value):
    assert _decoded(json.dumps([value])) == [value]
    assert _decoded(json.dumps({"x": value})) == {"x": value}


@pytest.mark.parametrize("text", ["", "plain", "{not json", "[", "3", "true"])
def test_other_texts_are_left_alone(text):
    assert _decoded(text) == text


def test_moments():
    from datetime import UTC, datetime

    assert _seconds(5) == 5.0
    assert _seconds("1970-01-02T00:00:00+00:00") == 86400.0
    assert _seconds(datetime(1970, 1, 2, tzinfo=UTC)) == 86400.0
    assert _seconds("2026-08-01") == datetime(2026, 8, 1).timestamp()
