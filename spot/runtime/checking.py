"""Check a composed configuration against the schema and against the constructors that `_target_` names."""

from __future__ import annotations

import dataclasses
import difflib
import functools
import inspect
import typing
from collections.abc import Iterator
from typing import Annotated, Any

from omegaconf import DictConfig, ListConfig, OmegaConf, open_dict
from omegaconf.errors import InterpolationKeyError, InterpolationResolutionError, InterpolationToMissingValueError

from spot.runtime import schema as options
from spot.runtime.errors import SpotError
from spot.runtime.extras import require
from spot.runtime.schema_groups import ANY, COMPONENTS, NOTHING
from spot.runtime.value_types import Free, describe, fits, takes, yaml_word

_HYDRA_KEYS = {"_target_", "_partial_", "_recursive_", "_convert_", "_args_"}
_UNKNOWN = object()


def check_configuration(command: str, cfg: DictConfig) -> None:
    """Check a command's whole configuration: its own keys by the schema, components by their constructors."""
    if command in options.SCHEMAS:
        check_settings(cfg, options.SCHEMAS[command])
    check_components(cfg, options.SCHEMAS.get(command))


def check_settings(cfg: DictConfig, schema: type, prefix: str = "") -> None:
    """Check types, ranges and names of all keys in the schema. A single word becomes a list where a list is expected.

    Raises:
        SpotError: a wrong key or value; the message names the key, its value and the allowed values.
    """
    kinds = fields_of(schema)
    for name in map(str, cfg):
        key = f"{prefix}{name}"
        if name in kinds:
            _check_value(cfg, name, key, kinds[name])
        elif not _may_be_extra(schema, cfg, name):
            raise SpotError(f"unknown option {key}{suggestion(name, kinds, prefix)}")


def check_components(cfg: Any, schema: type | None = None, prefix: str = "") -> None:
    """Check the keys below every `_target_` against the annotations of the class or function that it names.

    A class may name a package as `needs`; it must be installed.

    Keys that the schema types (the trainer's `precision=auto`) are checked by the schema alone. References that this
    command cannot resolve (an architecture's recipe in `spot.test`) are not checked.

    Raises:
        SpotError: the class or argument does not exist, or a value has another type.
    """
    if isinstance(cfg, DictConfig):
        if not OmegaConf.is_missing(cfg, "_target_") and cfg.get("_target_") is not None:
            _check_component(cfg, prefix.rstrip("."), schema)
        items: Iterator[tuple[Any, Any]] = ((name, _value(cfg, name)) for name in cfg)
    elif isinstance(cfg, ListConfig):
        items = ((i, _value(cfg, i)) for i in range(len(cfg)))
    else:
        return
    for name, child in items:
        check_components(child, schema, f"{prefix}{name}.")


@functools.cache
def fields_of(schema: type) -> dict[str, Any]:
    """Return the type of each key of a schema class. `import_` stands for the key `import`, a reserved word."""
    hints = typing.get_type_hints(schema, include_extras=True)
    return {field.name.rstrip("_"): hints[field.name] for field in dataclasses.fields(schema)}


def is_free(key: str, schema: type) -> bool:
    """Return whether a key may change when a run is continued.

    >>> is_free("checkpoint.every", options.Train), is_free("trainer.precision", options.Train)
    (True, False)
    """
    kind: Any = schema
    for part in key.split("."):
        if not (group := _group(kind)):
            return False
        kind = fields_of(group).get(part)
        if typing.get_origin(kind) is Annotated and any(isinstance(rule, Free) for rule in typing.get_args(kind)[1:]):
            return True
    return False


def kind_of(key: str, schema: type) -> Any:
    """Return the type of a dotted key; None if the schema does not name it."""
    kind: Any = schema
    for part in key.split("."):
        group = _group(kind)
        kind = fields_of(group).get(part) if group else None
    return kind


def suggestion(name: str, known: Any, prefix: str = "") -> str:
    """Return the end of a message about an unknown name: similar names, or a hint."""
    close = difflib.get_close_matches(name, list(known), n=3, cutoff=0.6)
    return (
        f"; did you mean {' or '.join(prefix + each for each in close)}?" if close else "; see --help for the options"
    )


def show(value: Any) -> str:
    """Return a value as YAML writes it."""
    return f"[{','.join(map(show, value))}]" if isinstance(value, list) else yaml_word(value)


def _check_value(cfg: DictConfig, name: str, key: str, kind: Any) -> None:
    value = _value(cfg, name)
    if value is _UNKNOWN:
        return
    if group := _group(kind):
        if isinstance(value, DictConfig):
            return check_settings(value, group, f"{key}.")
        if value is None and fits(None, kind):
            return None
        raise SpotError(f"{key}={show(_plain(value))}: choose one of the files in conf/{key}, or change {key}.<key>")
    value = _plain(value)
    if isinstance(value, str) and takes(kind, str, inside_list=True) and not takes(kind, str):
        value = [value]
        with open_dict(cfg):
            cfg[name] = value
    if not fits(value, kind):
        raise SpotError(f"{key}={show(value)}: give {describe(kind)}")
    return None


def _check_component(node: DictConfig, key: str, schema: type | None) -> None:
    target = str(node._target_)
    parameters, kinds, takes_any, needs = _parameters(target, key)
    if needs is not None:
        require(needs, needs, target)
    for name in map(str, node):
        if name in _HYDRA_KEYS or (schema and kind_of(f"{key}.{name}", schema) is not None):
            continue
        if name not in parameters:
            if takes_any:
                continue
            raise SpotError(f"unknown option {key}.{name}{suggestion(str(name), parameters, f'{key}.')}")
        value = _value(node, name)
        if value is _UNKNOWN or (isinstance(value, DictConfig) and "_target_" in value) or name not in kinds:
            continue
        if not fits(_plain(value), kinds[name]):
            raise SpotError(f"{key}.{name}={show(_plain(value))}: give {describe(kinds[name])}")


@functools.cache
def _parameters(target: str, key: str) -> tuple[frozenset[str], dict[str, Any], bool, str | None]:
    """Return the names and types of a target's arguments, whether it takes any other keyword, and the package it needs."""
    from hydra.utils import get_object

    try:
        found: Any = get_object(target)
    except Exception as error:
        reason = str(error.__cause__ or error).strip().splitlines()[0]
        raise SpotError(f"{key}._target_={target}: cannot be found ({reason}); check the name") from None
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):  # built in, as datetime.timedelta
        return frozenset(), {}, True, None
    takes_any = any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())
    try:
        described = inspect.unwrap(found.__init__ if inspect.isclass(found) else found)
        kinds = typing.get_type_hints(described, include_extras=True)
        if inspect.isclass(found) and dataclasses.is_dataclass(found):
            kinds = typing.get_type_hints(found, include_extras=True)
    except Exception:  # annotations that cannot be resolved at run time
        kinds = {}
    return frozenset(signature.parameters), kinds, takes_any, getattr(found, "needs", None)


def _group(kind: Any) -> type | None:
    """Return the schema class in a type, if any."""
    if typing.get_origin(kind) is Annotated:
        return _group(typing.get_args(kind)[0])
    if dataclasses.is_dataclass(kind):
        return kind if isinstance(kind, type) else None
    return next((group for each in typing.get_args(kind) if (group := _group(each))), None)


def _may_be_extra(schema: type, cfg: DictConfig, name: str) -> bool:
    extra = getattr(schema, "extra", NOTHING)
    return extra == ANY or (extra == COMPONENTS and _is_component(_value(cfg, name)))


def _is_component(node: Any) -> bool:
    if isinstance(node, DictConfig):
        return node.get("_target_") is not None or all(_is_component(_value(node, name)) for name in node)
    return node is None or node is _UNKNOWN or (isinstance(node, ListConfig) and all(map(_is_component, node)))


def _value(cfg: Any, name: Any) -> Any:
    """Return the resolved value; `_UNKNOWN` if a reference names a key that this command does not have."""
    try:
        return cfg[name]
    except (InterpolationKeyError, InterpolationToMissingValueError):
        return _UNKNOWN
    except InterpolationResolutionError as error:
        if "is not a container" in str(error):  # the key that it refers to is reported separately
            return _UNKNOWN
        raise


def _plain(value: Any) -> Any:
    if not OmegaConf.is_config(value):
        return value
    try:
        return OmegaConf.to_container(value, resolve=True)
    except (InterpolationKeyError, InterpolationToMissingValueError):
        return OmegaConf.to_container(value, resolve=False)
