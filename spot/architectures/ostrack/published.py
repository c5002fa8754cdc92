"""OSTrack's published checkpoints: `{"net": state dict, "epoch", "optimizer", ...}` by the published names."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from spot.architectures.published import NetTypeFormat, Weights

_BRANCHES = {"score": "ctr", "offset": "offset", "size": "size"}


class OSTrackFormat(NetTypeFormat):
    """`{"net": ..., "net_type": "OSTrack"}`; the type may be missing. The IoU head is not in such files."""

    def __init__(self) -> None:
        super().__init__("OSTrack")

    def published_key(self, key: str) -> str:
        """See `NetTypeFormat.published_key`.

        >>> OSTrackFormat().published_key("size_branch.layers.0.1.weight")
        'box_head.conv1_size.1.weight'
        """
        if layer := re.fullmatch(r"(score|offset|size)_branch\.layers\.(\d)\.(.+)", key):
            return f"box_head.conv{int(layer[2]) + 1}_{_BRANCHES[layer[1]]}.{layer[3]}"
        if last := re.fullmatch(r"(score|offset|size)_branch\.out\.(.+)", key):
            return f"box_head.conv5_{_BRANCHES[last[1]]}.{last[2]}"
        return key

    def read(self, files: Sequence[Path], content: Any, network: nn.Module) -> Weights | None:
        """See `PublishedFormat.read`; the IoU head is missing from the result."""
        if isinstance(content, dict) and "net_type" not in content and _is_ostrack(content.get("net")):
            content = {**content, "net_type": self.net_type}
        return super().read(files, content, network)

    def content(self, weights: Weights) -> dict[str, Any]:
        """See `NetTypeFormat.content`; the IoU head is left out, which the published program does not have."""
        content = super().content(weights)
        content["net"] = {key: value for key, value in content["net"].items() if not key.startswith("iou_branch.")}
        return content


def _is_ostrack(net: Any) -> bool:
    return isinstance(net, dict) and any(key.removeprefix("module.").startswith("box_head.conv5_ctr") for key in net)
