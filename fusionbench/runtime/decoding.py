"""Data that came from a file as a typed record, and what is wrong with it in one line.

Records are :class:`msgspec.Struct` classes. msgspec stops at the first fault, and writes ``[...]`` for a key that is
the user's own, such as the name of a variant; here that key is found and named.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import inspect

from fusionbench.errors import FusionbenchError, did_you_mean

T = TypeVar("T")
OWN_KEY = "[...]"
WORDS = {
    "array": "a list",
    "bool": "true or false",
    "float": "a number",
    "int": "a whole number",
    "null": "nothing",
    "object": "a table",
    "str": "text",
}


def decode(
    kind: type[T],
    data: object,
    file: Path,
    error: type[FusionbenchError] = FusionbenchError,
    what: str = "the record",
) -> T:
    """Data as a record.

    Args:
        kind: class of the record.
        data: as TOML or JSON gave it.
        file: where the data come from.
        error: class of what is raised.
        what: what the data are called in the message.

    Raises:
        FusionbenchError: a key that is missing, unknown, or of another type; one line that names file and key.
    """
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as problem:
        raise error(f"{file}: {_complaint(str(problem), kind, data, what)}") from None


def _complaint(problem: str, kind: type, data: object, what: str) -> str:
    """What is wrong and under which key, in the words of TOML."""
    text, _, path = problem.partition(" - at `")
    keys = re.findall(r"\[\.\.\.\]|\[\d+\]|[^.\[\]]+", path.removeprefix("$").rstrip("`"))
    for position, key in enumerate(keys):
        if key == OWN_KEY:
            keys[position] = _key_at_fault(problem, kind, data, keys[:position])
    where = "".join(k if k.startswith("[") else f".{k}" for k in keys).lstrip(".")
    here = _type_at(kind, keys)
    if missing := re.fullmatch("Object missing required field `(.*)`", text):
        return f"{where or what} lacks {missing[1]}"
    if unknown := re.fullmatch("Object contains unknown field `(.*)`", text):
        known = [field.encode_name for field in here.fields] if isinstance(here, inspect.StructType) else []
        return f"{where or what} has no key {unknown[1]!r}; {did_you_mean(unknown[1], known)}"
    if other := re.fullmatch("Invalid enum value (.*)", text):
        choices = map(str, here.values) if isinstance(here, inspect.LiteralType) else ()
        return f"{where}: {other[1]} is none of {', '.join(filter(None, choices))}"
    text = re.sub("`([a-z| ]+)`", lambda m: _in_words(m[1]), text)
    return f"{where}: {text[0].lower()}{text[1:]}" if where else text


def _in_words(types: str) -> str:
    names = [name for name in types.split(" | ") if name != "null"] or ["null"]
    return " or ".join(WORDS.get(name, name) for name in names)


def _key_at_fault(problem: str, kind: type, data: object, keys: list[str]) -> str:
    """The key in the table at ``keys`` whose value is at fault: the one that alone leads to the same complaint."""
    table = data
    for key in keys:
        table = table[int(key[1:-1])] if isinstance(table, (list, tuple)) else _item(table, key)
    for name in table if isinstance(table, Mapping) else ():
        try:
            msgspec.convert(_with_only(data, keys, name), kind)
        except msgspec.ValidationError as same:
            if str(same) == problem:
                return str(name)
    return OWN_KEY


def _item(table: object, key: str) -> object:
    return table[key] if isinstance(table, Mapping) else None


def _with_only(data: object, keys: list[str], name: str) -> object:
    """A copy of nested data in which the table at ``keys`` has only this key."""
    if isinstance(data, Mapping):
        if not keys:
            return {name: data[name]}
        return {k: _with_only(v, keys[1:], name) if k == keys[0] else v for k, v in data.items()}
    if isinstance(data, (list, tuple)) and keys:
        return [_with_only(v, keys[1:], name) if f"[{i}]" == keys[0] else v for i, v in enumerate(data)]
    return data


def _type_at(kind: type, keys: list[str]) -> inspect.Type | None:
    """The declared type of what lies at ``keys``."""
    types: list[inspect.Type] = [inspect.type_info(kind)]
    for key in keys:
        types = [inner for outer in types for inner in _inside(outer, key)]
    return types[0] if types else None


def _inside(outer: inspect.Type, key: str) -> list[inspect.Type]:
    if isinstance(outer, inspect.UnionType):
        return [inner for member in outer.types for inner in _inside(member, key)]
    if isinstance(outer, inspect.StructType):
        inner = [field.type for field in outer.fields if field.encode_name == key]
    elif isinstance(outer, inspect.DictType):
        inner = [outer.value_type]
    elif isinstance(outer, (inspect.VarTupleType, inspect.ListType)):
        inner = [outer.item_type]
    else:
        inner = []
    return [member for t in inner for member in (t.types if isinstance(t, inspect.UnionType) else (t,))]
