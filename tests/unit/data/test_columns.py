"""Column types: nothing is changed that a table could not tell apart, and nothing is refused."""

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdl_bluesky.data.columns import Columns, Misfit

VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.lists(st.integers(), max_size=2)
)


def descriptor(dtype, **spec):
    return {"uid": "d", "name": "primary", "data_keys": {"x": {"source": "s", "dtype": dtype, "shape": [], **spec}}}


def event(value):
    return {"descriptor": "d", "data": {"x": value}, "timestamps": {"x": 1}}


def settle(dtype, values):
    """Cast values as a run does: after each misfit everything again."""
    columns = Columns()
    for _ in range(5):
        declared = columns.descriptor(descriptor(dtype))["data_keys"]["x"]["dtype"]
        try:
            return declared, [columns.event(event(value))["data"]["x"] for value in values]
        except Misfit as misfit:
            columns.widen(misfit)
    raise AssertionError("no end of misfits")


def is_same(before, after):
    if isinstance(after, str) and not isinstance(before, str):
        before, after = json.dumps(before), after
    if before is None or (isinstance(before, float) and math.isnan(before)):
        return after is None or math.isnan(after)
    return before == after


@given(st.sampled_from(["boolean", "integer", "number", "string"]), st.lists(VALUES, max_size=6))
def test_any_values_end_in_one_type_and_keep_their_worth(dtype, values):
    declared, cast = settle(dtype, values)
    wanted = {"boolean": bool, "integer": int, "number": float, "string": str | None}[declared]
    assert all(isinstance(value, wanted) for value in cast)
    assert all(is_same(before, after) for before, after in zip(values, cast))


@pytest.mark.parametrize(
    ("dtype", "values", "declared"),
    [
        ("integer", [0, 0.5], "number"),  # a motor at rest, then moving
        ("integer", [1, 2], "integer"),
        ("number", [1, 2.5], "number"),
        ("number", [None, 2.5], "number"),
        ("boolean", [True, False], "boolean"),
        ("boolean", [1, 0], "integer"),
        ("number", ["Open"], "string"),
        ("integer", [2**63], "string"),
    ],
)
def test_types(dtype, values, declared):
    assert settle(dtype, values)[0] == declared


@pytest.mark.parametrize("value", [[1, 300], [-1], [0.5, 1.0], [math.nan, 1]])
def test_arrays_of_integers_are_not_rounded(value):
    columns = Columns()
    columns.descriptor(descriptor("array", dtype_numpy="|u1"))
    assert columns.event(event([1, 2]))["data"]["x"] == [1, 2]
    with pytest.raises(Misfit) as misfit:
        columns.event(event(value))
    columns.widen(misfit.value)
    assert "dtype_numpy" not in columns.descriptor(descriptor("array", dtype_numpy="|u1"))["data_keys"]["x"]
    assert columns.event(event(value))["data"]["x"] is value


def test_arrays_and_external_data_pass_untouched():
    columns = Columns()
    for spec in (descriptor("array"), descriptor("string", external="STREAM:")):
        assert columns.descriptor(spec) == spec
        assert columns.event(event([1, 2]))["data"]["x"] == [1, 2]


def test_the_documents_of_the_caller_are_not_changed():
    columns, before = Columns(), descriptor("integer", dtype_numpy="<i8")
    columns.widen(Misfit("primary", "x", "number"))
    assert columns.descriptor(before)["data_keys"]["x"]["dtype"] == "number"
    assert before == descriptor("integer", dtype_numpy="<i8")
    given_event = event(1)
    columns.event(given_event)
    assert given_event == event(1)
