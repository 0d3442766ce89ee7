"""Columns give every value back, whatever it is; also through HDF5."""

import io
import json
import math

import h5py
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl_bluesky.data.export import hdf
from sdl_bluesky.data.export.values import ABSENT, column_of, values_of

PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text()
NESTED = st.recursive(PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2))
COLUMN = st.lists(NESTED | st.just(ABSENT), max_size=5)
ONE_KIND = st.sampled_from(
    [st.floats(), st.integers(), st.text(), st.booleans(), st.lists(st.floats(), min_size=2, max_size=2)]
)


def told(values):
    """Equal for equal types and bits; Python's own JSON is the judge."""
    return ["absent" if value is ABSENT else json.dumps(value) for value in values]


def through_a_file(values):
    file = io.BytesIO()
    with h5py.File(file, "w") as root:
        hdf.put_columns(root, root.create_group("exact"), [("key", "mm", column_of(values))])
    with h5py.File(file, "r") as root:
        return values_of(hdf.get_columns(root, hdf.child(root, "exact"))["key"])


@given(COLUMN | ONE_KIND.flatmap(st.lists))
def test_any_column_comes_back_as_it_was(values):
    assert told(values_of(column_of(values))) == told(values)
    assert told(through_a_file(values)) == told(values)


@pytest.mark.parametrize(
    ("values", "dtype", "exact"),
    [
        ([0.5, math.nan, -0.0], "float64", False),
        ([1, 2], "int64", False),
        ([True, False], "bool", False),
        (["a", ""], "object", False),
        ([[1.0, 2.0], [3.0, 4.0]], "float64", False),
        ([0, 0.5], "float64", True),
        ([None, 1.5], "float64", True),
        ([ABSENT, 1], "float64", True),
        ([1, True], "float64", True),
        ([[1, 2], [1.5, 2]], "float64", True),
        ([[1], [1, 2]], "object", True),
        (["a", None], "object", True),
        (["nul \0"], "object", True),
        (["\ud800"], "object", True),
        ([2**70], "float64", True),
    ],
)
def test_what_a_viewer_sees(values, dtype, exact):
    column = column_of(values)
    assert column.array.dtype == dtype
    assert len(column.array) == len(values)
    assert (column.exact is not None) == exact


def test_a_missing_number_is_nan_to_a_viewer():
    np.testing.assert_array_equal(column_of([None, 2, ABSENT]).array, [math.nan, 2.0, math.nan])


@pytest.mark.parametrize(
    ("name", "safe"), [("a-b", "a_b"), ("_x_", "x"), ("ä", "unnamed"), ("", "unnamed"), ("a/b.c", "a_b_c")]
)
def test_names_are_those_of_nexus(name, safe):
    assert hdf.safe_name(name) == safe
    assert hdf.safe_name(name, {safe, f"{safe}_2"}) == f"{safe}_3"
