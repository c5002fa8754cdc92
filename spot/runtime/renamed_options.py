"""Renamed options and classes. The old names still work; an old option prints a one-line notice."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from typing import Any

RENAMED: dict[str, str] = {
    "teacher.every": "teacher.ema_interval",
    "corrupt_share": "corrupt_fraction",
    "testing.corrupt_share": "testing.corrupt_fraction",
    "loader.max_broken_share": "loader.max_broken_fraction",
    "arch.network.class_share": "arch.network.class_fraction",
    "arch.recipe.frozen_epochs": "arch.network.frozen_epochs",
}
"""Old key -> new key. A row for a group (`old.group`) covers the keys below it."""

RENAMED_CHOICES: dict[tuple[str, str], str] = {
    ("supervision", "sparse"): "key_frames_only",
    ("logger", "null"): "csv",  # metrics.csv is always written
    ("logger", "none"): "csv",
}
"""(group, old choice) -> new choice."""


MOVED_TARGETS: dict[str, str] = {
    "spot.learning.csv_logger.": "spot.training.csv_logger.",
    "spot.learning.loggers.": "spot.training.loggers.",
    "spot.learning.schedules.": "spot.training.schedules.",
    "spot.learning.sparse_tracker.Recipe": "spot.architectures.recipe.Recipe",
    "spot.training.module.Recipe": "spot.architectures.recipe.Recipe",
    "spot.data.pairs.": "spot.data.instances.",
    "spot.models.backbones.EfficientNetLite0": "spot.architectures.backbones.efficientnet.EfficientNetLite0",
    "spot.models.backbones.MobileNetV2": "spot.architectures.backbones.mobilenet.MobileNetV2",
    "spot.models.backbones.ResNet50": "spot.architectures.backbones.resnet.ResNet50",
    "spot.models.backbones.SmallCNN": "spot.architectures.backbones.small_cnn.SmallCNN",
    "spot.models.ocean.": "spot.architectures.ocean.network.",
    "spot.models.ocean_backbone.": "spot.architectures.ocean.backbone.",
    "spot.models.ocean_loss.": "spot.architectures.ocean.loss.",
    "spot.models.transt.": "spot.architectures.transt.network.",
    "spot.models.transt_loss.": "spot.architectures.transt.loss.",
    "spot.tracking.ocean.": "spot.architectures.ocean.tracker.",
    "spot.tracking.transt.": "spot.architectures.transt.tracker.",
}
"""`_target_` in a config.yaml of an earlier version, or the beginning of one -> where it is now."""


def with_new_names(words: Sequence[str], tell: bool = True) -> list[str]:
    """Replace old names among `key=value` options; print a notice for each.

    >>> with_new_names(["teacher.every=3", "+a=b", "--cfg"], tell=False)
    ['teacher.ema_interval=3', '+a=b', '--cfg']
    """
    renamed = [_new_word(word) for word in words]
    for old, new in zip(words, renamed, strict=True):
        if tell and old != new:
            print(f"{old}: the new name is {new}", file=sys.stderr)
    return renamed


def new_key(key: str) -> str:
    """Return the present name of a dotted key."""
    for old, new in RENAMED.items():
        if key == old or key.startswith(f"{old}."):
            return new + key.removeprefix(old)
    return key


def new_settings(settings: dict[str, Any]) -> dict[str, Any]:
    """The settings of a config.yaml of any version, by their present names.

    >>> new_settings({"teacher": {"every": 3}, "arch": {"network": {"_target_": "spot.models.ocean.Ocean"}}})
    {'teacher': {'ema_interval': 3}, 'arch': {'network': {'_target_': 'spot.architectures.ocean.network.Ocean'}}}
    """
    settings = _with_new_targets(settings)
    for old, new in RENAMED.items():
        *groups, name = old.split(".")
        node = _group(settings, groups)
        if node is not None and name in node:
            *groups, new_name = new.split(".")
            if (place := _group(settings, groups)) is not None:
                place.setdefault(new_name, node.pop(name))
    return settings


def _group(settings: dict[str, Any], keys: Sequence[str]) -> dict[str, Any] | None:
    node: Any = settings
    for key in keys:
        node = node.get(key) if isinstance(node, dict) else None
    return node if isinstance(node, dict) else None


def _with_new_targets(node: Any, key: object = None) -> Any:
    if isinstance(node, dict):
        return {name: _with_new_targets(child, name) for name, child in node.items()}
    if isinstance(node, list):
        return [_with_new_targets(child) for child in node]
    if key == "_target_" and isinstance(node, str):
        for old, new in MOVED_TARGETS.items():
            if node.startswith(old):
                return new + node.removeprefix(old)
    return node


def _new_word(word: str) -> str:
    match = re.fullmatch(r"([+~]{0,2})([\w./@-]+)=(.*)", word, re.DOTALL)
    if not match or word.startswith("--"):
        return word
    sign, key, value = match.groups()
    values = [RENAMED_CHOICES.get((key, each), each) for each in value.split(",")]
    return f"{sign}{new_key(key)}={','.join(values)}"
