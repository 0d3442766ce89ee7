"""Groups and datasets by the rules of NeXus."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any, cast

import h5py
import numpy as np

from sdl_bluesky.data.export.values import Column

SMALL_BYTES = 4096
FIXED_CHARS = 80
DATA_KEY, FIELD = "data_key", "field"
"""Attributes of a column: its key in the data of an event, or in the event itself."""


def safe_name(name: str, taken: Collection[str] = ()) -> str:
    """A name that NeXus allows, and that no sibling has."""
    base = re.sub(r"[^A-Za-z0-9_]", "_", name).strip("_") or "unnamed"
    found, number = base, 2
    while found in taken:
        found, number = f"{base}_{number}", number + 1
    return found


def group(parent: h5py.Group, name: str, nx_class: str, **attributes: Any) -> h5py.Group:
    """A new group of a NeXus class."""
    made = parent.create_group(name)
    made.attrs["NX_class"] = nx_class
    for key, value in attributes.items():
        made.attrs[key] = value
    return made


def text(parent: h5py.Group, name: str, value: str, **attributes: Any) -> h5py.Dataset:
    """A dataset with one text; what HDF5 cannot keep is replaced."""
    plain = value.encode("utf-8", "replace").decode().replace("\0", "�")
    made = parent.create_dataset(name, data=plain, dtype=h5py.string_dtype())
    for key, one in attributes.items():
        made.attrs[key] = one
    return made


def put(parent: h5py.Group, name: str, array: np.ndarray, units: str = "", **attributes: Any) -> h5py.Dataset:
    """A dataset with an array of numbers, booleans or texts (dtype object or U); larger ones compressed, with check sums."""
    options: dict[str, Any] = {}
    if array.dtype.kind in "OU":
        array, options["dtype"] = _encoded(array)
    if array.nbytes > SMALL_BYTES and 0 not in array.shape:
        options |= {"compression": "gzip", "compression_opts": 4, "shuffle": True, "fletcher32": True}
    if options.get("dtype") == h5py.string_dtype():
        options.pop("shuffle", None)
        options.pop("fletcher32", None)  # HDF5 has none for texts of any length; the digest of the run covers them
    made = parent.create_dataset(name, data=array, **options)
    if units:
        made.attrs["units"] = units
    for key, value in attributes.items():
        made.attrs[key] = value
    return made


def _encoded(array: np.ndarray) -> tuple[np.ndarray, np.dtype]:
    """Texts in the form of HDF5: short ones in ASCII of a fixed length, which can be compressed."""
    values = cast("list[str]", array.ravel().tolist())
    longest = max(map(len, values), default=0)
    if longest <= FIXED_CHARS and all(value.isascii() and "\0" not in value for value in values):
        kind = f"S{max(longest, 1)}"
        return np.array([value.encode() for value in values], dtype=kind).reshape(array.shape), np.dtype(kind)
    return array.astype(object), h5py.string_dtype()


def is_link(dataset: h5py.Dataset) -> bool:
    """Whether a dataset was reached by a link of NeXus, which says where it leads, and not by its own name."""
    return str(dataset.attrs.get("target", dataset.name)) != dataset.name


def child(parent: h5py.Group, name: str) -> h5py.Group:
    """The group of this name.

    Raises:
        KeyError: there is none. ValueError: it is no group.
    """
    found = parent[name]
    if not isinstance(found, h5py.Group):
        raise ValueError(f"{found.name} is no group")
    return found


def get(parent: h5py.Group, name: str) -> np.ndarray:
    """The array of a dataset that `put` or `text` made; texts have dtype object.

    Raises:
        KeyError: there is none. ValueError: it is no dataset.
    """
    found = parent[name]
    if not isinstance(found, h5py.Dataset):
        raise ValueError(f"{found.name} is no dataset")
    if found.dtype.kind in "SO":
        return np.asarray(found.asstr()[()], dtype=object)
    return np.asarray(found[()])


def get_text(parent: h5py.Group, name: str) -> str:
    """The text of a dataset that `text` made; errors as of `get`."""
    return str(get(parent, name).item())


def long_name(key: str, units: str) -> str:
    """The title of a column in a plot."""
    return f"{key} ({units})" if units else key


def put_columns(
    shown: h5py.Group,
    exact: h5py.Group,
    columns: Sequence[tuple[str, str, Column]],
    reserved: Collection[str] = (),
    mark: str = DATA_KEY,
    titles: bool = True,
) -> dict[str, str]:
    """Columns as datasets of `shown`; where their values need it, as JSON in `exact` too.

    Args:
        shown: group of the arrays.
        exact: group of the JSON texts; the same names.
        columns: key, unit and column of each.
        reserved: names that belong to something else.
        mark: attribute that keeps the key.
        titles: with a text for the axis of a plot.

    Returns:
        key -> name of the dataset.
    """
    names: dict[str, str] = {}
    for key, units, column in columns:
        name = safe_name(key, {*reserved, *names.values()})
        names[key] = name
        put(shown, name, column.array, units, **{mark: key}, **({"long_name": long_name(key, units)} if titles else {}))
        if column.exact is not None:
            put(exact, name, np.array(column.exact, dtype=object))
    return names


def get_columns(shown: h5py.Group, exact: h5py.Group, mark: str = DATA_KEY) -> dict[str, Column]:
    """The columns that `put_columns` made, by key."""
    found: dict[str, Column] = {}
    for name, dataset in shown.items():
        if isinstance(dataset, h5py.Dataset) and mark in dataset.attrs and not is_link(dataset):
            texts = tuple(get(exact, name).tolist()) if name in exact else None
            found[str(dataset.attrs[mark])] = Column(get(shown, name), texts)
    return found


def plot(
    data: h5py.Group, signal: str, axes: Sequence[str], others: Sequence[str] = (), errors: str | None = None
) -> None:
    """Say what a viewer shows of an NXdata group.

    Args:
        data: the group.
        signal: name of the dataset that is plotted.
        axes: for each of its dimensions the name of an axis, or ".".
        others: datasets of the same shape and unit to be plotted with it.
        errors: dataset with the standard errors of the signal.
    """
    data.attrs["signal"] = signal
    data.attrs["axes"] = np.array(axes, dtype=h5py.string_dtype())
    for i, axis in enumerate(axes):
        if axis != ".":
            data.attrs[f"{axis}_indices"] = i
    if others:
        data.attrs["auxiliary_signals"] = np.array(others, dtype=h5py.string_dtype())
    if errors is not None and f"{signal}_errors" not in data:
        source = cast("h5py.Dataset", data[errors])
        source.attrs["target"] = source.name  # a link by the rules of NeXus says where it leads
        data[f"{signal}_errors"] = source
