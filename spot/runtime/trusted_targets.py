"""Which classes a run folder of somebody else may name (docs/security.md).

`instantiate` calls whatever `_target_` names. The user's own `conf/` may name anything. A config.yaml that came with a
checkpoint may name networks and trackers alone.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from spot.runtime.errors import SpotError

ALLOWED = (
    "spot.architectures.",
    "spot.training.module.Recipe",
    "spot.training.schedules.",
    "torch.nn.",
    "torch.optim.",
    "torchvision.models.",
    "torchvision.ops.",
    "timm.models.",
)
"""Modules whose classes may be named. Functions may not: some of them read or write files."""


def refuse_foreign_targets(node: Any, own: Any, file: Path, key: str = "arch") -> None:
    """Check every `_target_` below a node that was read from a file.

    Args:
        node: of the file.
        own: the same node of the user's own configuration; what it names is allowed too.
        file: for the message.

    Raises:
        SpotError: a target that is neither a class of the modules above nor named by the user's own configuration.
    """
    named = targets_of(own)
    for target in sorted(targets_of(node) - named):
        if not _is_allowed(target):
            raise SpotError(
                f"{file}: {key} names {target}, which is no part of SPOT and could run any code; if you trust it, give "
                f"its own configuration by arch=NAME and --config-dir"
            )


def targets_of(node: Any) -> set[str]:
    """All values of `_target_` below a node."""
    if isinstance(node, DictConfig):
        found = {str(node._get_node("_target_"))} if "_target_" in node else set()
        return found.union(*(targets_of(node._get_node(name)) for name in node))
    if isinstance(node, ListConfig):
        return set().union(*(targets_of(node._get_node(i)) for i in range(len(node))))
    return set()


def _is_allowed(target: str) -> bool:
    """Whether a target is a class that lies in an allowed module, not one that such a module imports from elsewhere."""
    from hydra.utils import get_object

    if not target.startswith(ALLOWED):
        return False
    try:
        found = get_object(target)
    except Exception:
        return False
    return inspect.isclass(found) and f"{found.__module__}.{found.__qualname__}".startswith(ALLOWED)
