"""Files of the published SP-TransT: how it names its parameters."""

from __future__ import annotations

import re

from spot.architectures.published import NetTypeFormat


class TransTFormat(NetTypeFormat):
    """`{"net_type": "TransT", "net": ...}`."""

    def published_key(self, key: str) -> str:
        """See `NetTypeFormat.published_key`."""
        for pattern, replacement in _NAMES:
            key = re.sub(pattern, replacement, key)
        return key


def _published_names() -> list[tuple[str, str]]:
    """Pattern and replacement of each part's name, in the order in which they apply."""
    fusion = "featurefusion_network"
    names = [
        (r"^backbone\.", "backbone.0.body."),
        (r"^projection\.", "input_proj."),
        (r"^fusion\.", f"{fusion}.encoder.layers."),
        (r"^decoder\.attention\.", f"{fusion}.decoder.layers.0.multihead_attn."),
        (r"^decoder\.", f"{fusion}.decoder.layers.0."),
        (r"^decoder_norm\.", f"{fusion}.decoder.norm."),
    ]
    for branch, number in (("template", 1), ("search", 2)):
        names += [
            (rf"{branch}_ego\.attention\.", f"self_attn{number}."),
            (rf"{branch}_ego\.norm\.", f"norm{number}1."),
            (rf"{branch}_cross\.attention\.", f"multihead_attn{number}."),
            (rf"{branch}_cross\.norm1\.", f"norm{number}2."),
            (rf"{branch}_cross\.norm2\.", f"norm{number}3."),
            (rf"{branch}_cross\.linear", f"linear{number}"),
        ]
    for ours, theirs in (("class", "class"), ("box", "bbox"), ("iou", "iou")):
        names += [(rf"^{ours}_head\.{2 * i}\.", f"{theirs}_embed.layers.{i}.") for i in range(3)]
    return names


_NAMES = _published_names()
