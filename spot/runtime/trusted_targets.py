"""Check which classes the run folder of another person names (docs/security.md).

`instantiate` calls whatever `_target_` names. The user's own `conf/` may name anything. A config.yaml that came with a
checkpoint may name only networks and trackers.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

from spot.runtime.errors import SpotError

ALLOWED = (
    "spot.architectures.",
    "spot.training.schedules.",
    "torch.nn.",
    "torch.optim.",
    "torchvision.models.",
    "torchvision.ops.",
    "timm.models.",
)
"""Modules whose classes may be named. Functions may not: some of them read or write files."""
_NAMED = re.compile(r"_target_['\"]?\s*:\s*['\"]?([\w.]+)")


def conf_folders() -> list[Path]:
    """The user's own configuration: the folders that the present command composes from."""
    if not HydraConfig.initialized():
        return []
    return [Path(each.path) for each in HydraConfig.get().runtime.config_sources if each.schema == "file"]


def refuse_foreign_targets(node: Any, own: Any, file: Path, key: str = "arch", conf: Sequence[Path] = ()) -> None:
    """Check every `_target_` below a node that was read from a file.

    Args:
        node: node of the file.
        own: the same node of the user's own configuration; the targets that it names are allowed too.
        file: for the message.
        key: key of the node, for the message.
        conf: folders of configuration files; the targets that these name are allowed too.

    Raises:
        SpotError: a target is neither a class of the modules above nor named by the user's own configuration.
    """
    named = targets_of(own, follow=False)  # some refer to settings of other commands
    named |= {t for folder in conf for f in folder.rglob("*.yaml") for t in _NAMED.findall(f.read_text("utf-8"))}
    for target in sorted(targets_of(node) - named):
        if not _is_allowed(target):
            raise SpotError(
                f"{file}: {key} names {target}, which is not part of SPOT and could run any code; if you trust it, give "
                "its own configuration by --config-dir"
            )


def targets_of(node: Any, follow: bool = True) -> set[str]:
    """All values of `_target_` below a node, behind references too where these are followed.

    >>> targets_of(OmegaConf.create({"a": ["${b}"], "b": {"_target_": "os.system"}}))
    {'os.system'}
    """
    if OmegaConf.is_config(node):
        node = OmegaConf.to_container(node, resolve=follow)
    if isinstance(node, dict):
        found = {str(node["_target_"])} if "_target_" in node else set()
        return found.union(*map(targets_of, node.values()))
    return set().union(*map(targets_of, node)) if isinstance(node, list) else set()


def _is_allowed(target: str) -> bool:
    """Return whether a target is a class defined in an allowed module, not one that such a module imports."""
    from hydra.utils import get_object

    if not target.startswith(ALLOWED):
        return False
    try:
        found = get_object(target)
    except Exception:
        return False
    return inspect.isclass(found) and f"{found.__module__}.{found.__qualname__}".startswith(ALLOWED)
