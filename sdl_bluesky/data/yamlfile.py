"""Files that a person writes: YAML, checked against a pydantic model, every fault named at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from sdl_bluesky.errors import LabFileError, SDLError, UnitError

Model = TypeVar("Model", bound=BaseModel)


class FaultAt(ValueError):
    """A fault that a model finds in one of its parts.

    Attributes:
        place: keys and indices from the model to the part.
    """

    def __init__(self, message: str, *place: str | int) -> None:
        self.place = place
        super().__init__(message)


class Located(dict[str, Any]):
    """The content of a YAML file, and the tree of its nodes, which know their lines."""

    def __init__(self, content: Mapping[str, Any], tree: yaml.Node) -> None:
        super().__init__(content)
        self.tree = tree

    def line(self, place: Sequence[str | int]) -> int:
        """Line [from 1] of a key or of an item; of what is missing, that of what should hold it."""
        node, mark = self.tree, self.tree.start_mark
        for part in place:  # parts that are in no file, such as the name of a kind, are passed over
            if isinstance(node, yaml.MappingNode):
                for key, value in node.value:
                    if key.value == str(part):
                        node, mark = value, key.start_mark
                        break
            elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
                node = node.value[part]
                mark = node.start_mark
        return int(mark.line) + 1


def _explain(error: ValidationError, where: str, data: Any, model: type[BaseModel]) -> LabFileError:
    lines, unit = [], False
    for fault in error.errors():
        cause = (fault.get("ctx") or {}).get("error")
        keys = (*fault["loc"], *(cause.place if isinstance(cause, FaultAt) else ()))
        place = ".".join(str(p) for p in keys) or "(whole file)"
        unit = unit or isinstance(cause, UnitError)
        text = str(cause) if cause is not None else fault["msg"]
        if fault["type"] == "extra_forbidden":
            near = get_close_matches(str(fault["loc"][-1]), _keys(model), 1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            text = f"this key is not known here{hint}: correct its name or remove it"
        elif fault["type"] == "missing":
            text = "this key is missing: add it"
        line = f"line {data.line(keys)}: " if isinstance(data, Located) else ""
        lines.append(f"  {line}{place}: {text}")
    kind = UnitError if unit else LabFileError
    return kind(f"{where} has {len(lines)} fault(s):\n" + "\n".join(lines))


def _keys(model: Any, seen: tuple[Any, ...] = ()) -> set[str]:
    """Names of all keys of a model and of the models within."""
    if isinstance(model, type) and issubclass(model, BaseModel) and model not in seen:
        found = {field.alias or name for name, field in model.model_fields.items()}
        return found.union(*(_keys(field.annotation, (*seen, model)) for field in model.model_fields.values()))
    return set().union(*(_keys(part, seen) for part in get_args(model)))


def read_yaml(path: Path, model: type[Model]) -> Model:
    """Read a YAML file into a checked model.

    Raises:
        UnitError: a quantity has a wrong unit or none.
        LabFileError: the file is missing, is not YAML, or has another fault; all faults are listed.
    """
    return check(read_mapping(path), model, str(path))


def read_mapping(path: Path) -> Mapping[str, Any]:
    """Read a YAML file that holds a mapping, unchecked.

    Raises:
        LabFileError: the file is missing, is not YAML, or holds something else.
    """
    try:
        text = path.read_text(encoding="utf-8")
        data, tree = yaml.safe_load(text), yaml.compose(text, yaml.SafeLoader)
    except OSError as fault:
        raise LabFileError(f"cannot read {path}: {fault.strerror}; give the path of an existing file") from fault
    except yaml.YAMLError as fault:
        raise LabFileError(f"{path} is not valid YAML: {fault}") from fault
    if tree is None:
        raise LabFileError(f"{path} is empty: write a mapping of keys to values")
    found = Located(_mapping(data, str(path)), tree)
    twice = list(_twice(tree))
    if twice:
        told = "\n".join(
            f"  line {line}: {key}: this key stands here a second time: remove one of them" for key, line in twice
        )
        raise LabFileError(f"{path} has {len(twice)} fault(s):\n{told}")
    return found


def _twice(node: yaml.Node) -> Iterator[tuple[str, int]]:
    """Keys that a mapping holds more than once, of which YAML keeps the last without a word; with the line."""
    if isinstance(node, yaml.MappingNode):
        seen = set()
        for key, value in node.value:
            if key.value in seen:
                yield key.value, key.start_mark.line + 1
            seen.add(key.value)
            yield from _twice(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _twice(item)


@contextmanager
def located(path: Path) -> Iterator[None]:
    """Add to an error that knows its place in a file (`place`, its keys) the line, as a note."""
    try:
        yield
    except SDLError as fault:
        place = getattr(fault, "place", None)
        if place:
            content = read_mapping(path)
            line = content.line(place) if isinstance(content, Located) else 0
            fault.add_note(f"{path}, line {line}: {'.'.join(map(str, place))}")
        raise


@contextmanager
def at(*place: str | int) -> Iterator[None]:
    """Tell errors of what is checked inside which keys of a file they are about, if they do not know already."""
    try:
        yield
    except SDLError as fault:
        if not hasattr(fault, "place"):
            fault.place = place  # type: ignore[attr-defined]
        raise


def _mapping(data: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(data, Mapping):
        raise LabFileError(f"{where} must be a mapping of keys to values, not {type(data).__name__}")
    return data


def check(data: Any, model: type[Model], where: str) -> Model:
    """Check plain data against a model; errors as in `read_yaml`, with lines if `read_mapping` has read them."""
    try:
        return model.model_validate(_mapping(data, where))
    except ValidationError as fault:
        raise _explain(fault, where, data, model) from fault
