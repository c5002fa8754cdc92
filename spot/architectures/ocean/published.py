"""Files of the published SP-Ocean: how it names its parameters."""

from __future__ import annotations

from spot.architectures.published import NetTypeFormat

# Beginnings of our keys and of the published ones.
_NAMES = {
    "backbone.stem.": "features.features.",
    "backbone.": "features.features.",
    "neck.": "neck.downsample.",
    **{
        f"{ours}_match.{side}.{i}.": f"connect_model.{theirs}_encode.{matrix}_{letter}."
        for ours, theirs in (("cls", "cls"), ("box", "reg"))
        for side, letter in (("template", "k"), ("search", "s"))
        for i, matrix in enumerate(("matrix11", "matrix12", "matrix21"))
    },
    "cls_match.": "connect_model.cls_dw.",
    "box_match.": "connect_model.reg_dw.",
    "box_tower.": "connect_model.bbox_tower.",
    "box_pred.": "connect_model.bbox_pred.",
    "box_scale": "connect_model.adjust",
    "box_bias": "connect_model.bias",
    "iou_tower.": "connect_model.iou_pred_tower.",
    "align_conv.": "align_head.rpn_conv.conv.",
    "align_pred.": "align_head.rpn_cls.",
    "": "connect_model.",
}


class OceanFormat(NetTypeFormat):
    """`{"net_type": "Ocean", "net": ...}`."""

    def published_key(self, key: str) -> str:
        """See `NetTypeFormat.published_key`."""
        ours = next(ours for ours in _NAMES if key.startswith(ours))
        return _NAMES[ours] + key.removeprefix(ours)
