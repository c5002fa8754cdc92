"""Types of options: types with ranges, a test whether a value fits a type, and a description of a type in words.

The functions serve both the schema of the options (`spot.runtime.schema`) and the annotations of the constructors that
`_target_` names (`spot.runtime.checking`).
"""

from __future__ import annotations

import collections.abc
import inspect
import re
import types
import typing
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, Any, Literal, Union


@dataclass(frozen=True)
class Range:
    """Bounds of a number, both included; None for no bound."""

    least: float | None = None
    most: float | None = None


class NameRule:
    """Marks a text as the name of a folder below another: not empty, no `..`, not absolute."""


class Free:
    """Marks a key that may change in a continued run, because it does not change the weights."""


Count = Annotated[int, Range(0)]
Positive = Annotated[int, Range(1)]
Fraction = Annotated[float, Range(0, 1)]
NonNegative = Annotated[float, Range(0)]
Name = Annotated[str, NameRule()]
Names = list[Name]


def fits(value: Any, kind: Any) -> bool:
    """Return whether a value fits a type. Types that YAML cannot write fit any value.

    >>> fits(3, Positive), fits(0, Positive), fits(True, int), fits(2.5, int), fits(1, float)
    (True, False, False, False, True)
    >>> fits("../x", Name), fits(None, int | None), fits(["a"], Names), fits("b", Literal["a", "b"])
    (False, True, True, True)
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return fits(value, arguments[0]) and all(_obeys(value, rule) for rule in arguments[1:])
    if origin in (Union, types.UnionType):
        return any(fits(value, each) for each in arguments)
    if origin is Literal:
        return any(value == each and type(value) is type(each) for each in arguments)
    if kind in (None, type(None)):
        return value is None
    if kind is bool:
        return isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is str:
        return isinstance(value, str)
    container = origin or kind
    if inspect.isclass(container):
        if issubclass(container, PurePath):
            return isinstance(value, str | PurePath)
        if container in (list, tuple, set, frozenset) or container in _SEQUENCES:
            return _fits_list(value, container, arguments)
        if issubclass(container, dict | collections.abc.Mapping):
            return isinstance(value, dict)
    return True


def describe(kind: Any) -> str:
    """Describe the values of a type, as the end of a message "give ...".

    >>> describe(Positive)
    'a whole number of at least 1'
    >>> describe(Fraction | None)
    'a number from 0 to 1, or null'
    >>> describe(Literal["auto", "never"])
    'auto or never'
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        bounds = next((rule for rule in arguments[1:] if isinstance(rule, Range)), Range())
        if any(isinstance(rule, NameRule) for rule in arguments[1:]):
            return "a name (letters, digits, and / for folders; no ..)"
        return describe(arguments[0]) + _between(bounds)
    if origin in (Union, types.UnionType):
        return ", or ".join(dict.fromkeys(describe(each) for each in arguments))
    if origin is Literal:
        words = [yaml_word(each) for each in arguments]
        return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))
    if kind in (None, type(None)):
        return "null"
    if kind in _WORDS:
        return _WORDS[kind]
    container = origin or kind
    if inspect.isclass(container):
        if issubclass(container, PurePath):
            return "a path"
        if container in (list, tuple, set, frozenset) or container in _SEQUENCES:
            inner = [each for each in arguments if each is not Ellipsis]
            return "a list" + (f" ({describe(inner[0])} each)" if inner else "")
        if issubclass(container, dict | collections.abc.Mapping):
            return "a mapping"
        return container.__name__
    return str(kind)


def takes(kind: Any, wanted: type, inside_list: bool = False) -> bool:
    """Return whether a type allows values of a plain type, directly or as elements of a list.

    >>> takes(int | Names | None, str), takes(int | Names | None, str, inside_list=True)
    (False, True)
    """
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return takes(arguments[0], wanted, inside_list)
    if origin in (Union, types.UnionType):
        return any(takes(each, wanted, inside_list) for each in arguments)
    if inside_list:
        return origin is list and takes(arguments[0], wanted)
    if origin is Literal:
        return any(isinstance(each, wanted) for each in arguments)
    return kind is wanted or (wanted is str and kind is Path)


_SEQUENCES = (collections.abc.Sequence, collections.abc.Iterable, collections.abc.Collection)
_WORDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def _fits_list(value: Any, container: Any, arguments: tuple[Any, ...]) -> bool:
    if not isinstance(value, list | tuple):
        return container in _SEQUENCES and isinstance(value, str) and not arguments
    if container is tuple and arguments and arguments[-1] is not Ellipsis:
        return len(value) == len(arguments) and all(map(fits, value, arguments))
    return not arguments or all(fits(each, arguments[0]) for each in value)


def _obeys(value: Any, rule: Any) -> bool:
    if isinstance(rule, Range):
        return (rule.least is None or value >= rule.least) and (rule.most is None or value <= rule.most)
    if isinstance(rule, NameRule):
        return is_name(value)
    return True


def is_name(text: str) -> bool:
    """Return whether a text can be the name of a folder below another one.

    >>> [is_name(text) for text in ("study/labels-2", "", "../x", "/x", "a//b", "nan")]
    [True, False, False, False, False, True]
    """
    parts = text.split("/")
    return not any(part in ("", ".", "..") or len(part.encode()) > 200 for part in parts) and not re.search(
        r"[\x00-\x1f\\]", text
    )


def _between(bounds: Range) -> str:
    if bounds.least is not None and bounds.most is not None:
        return f" from {bounds.least} to {bounds.most}"
    if bounds.least is not None:
        return f" of at least {bounds.least}"
    return f" of at most {bounds.most}" if bounds.most is not None else ""


def yaml_word(value: Any) -> str:
    """Return a plain value as YAML writes it."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)
