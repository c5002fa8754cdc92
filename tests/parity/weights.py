"""The name-seeded weights of the golden data: both sides get the same numbers without storing them.

The value of a tensor depends only on its published name and its shape (recipe in golden/b_transt.json). Zero-mean
filters and the gains keep the activations of these random networks in a sensible range.
"""

import zlib
from collections.abc import Callable

import numpy as np
import torch
from torch import nn

GAINS = {
    "class_embed.layers.2.weight": 2.0,
    "bbox_embed.layers.2.weight": 1.5,
    "iou_embed.layers.2.weight": 2.0,
    "connect_model.iou_pred.weight": 0.3,
    "connect_model.cls_pred.weight": 4.0,
    "connect_model.bbox_pred.weight": 2.0,
    "align_head.rpn_cls.weight": 0.5,
    "box_head.conv5_ctr.weight": 4.0,
    "box_head.conv5_size.weight": 0.5,
}
SHIFTS = {"box_head.conv5_size.bias": -1.1, "box_head.conv5_ctr.bias": -2.0}


def seeded_value(name: str, shape: tuple[int, ...]) -> np.ndarray:
    """The weight of that published name: float32, or int64 zeros for `num_batches_tracked`."""
    last = name.rsplit(".", 1)[-1]
    if last == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    x = np.random.RandomState(zlib.crc32(name.encode())).standard_normal(shape)
    if last == "running_var":
        value = 1 + np.abs(x)
    elif last == "running_mean":
        value = 0.1 * x
    elif name == "connect_model.bias":
        value = 1 + 0.1 * x
    elif name == "connect_model.adjust":
        value = 0.1 + 0.01 * x
    elif len(shape) >= 2:
        x = x - x.mean(axis=tuple(range(1, len(shape))), keepdims=True)
        value = _gain(name, len(shape)) * x / np.sqrt(np.prod(shape[1:]))
    elif last == "weight":
        value = 1 + 0.1 * x
    else:
        value = 0.02 * x + SHIFTS.get(name, 0.0)
    return value.astype(np.float32)


def _gain(name: str, dimensions: int) -> float:
    if name in GAINS:
        return GAINS[name]
    if name.endswith("out_proj.weight"):
        return 0.3
    if name.endswith("in_proj_weight"):
        return 2.0
    return 1.7 if dimensions == 4 else float(np.sqrt(2.0))


@torch.no_grad()
def fill(network: nn.Module, published_key: Callable[[str], str] = str) -> None:
    """Fill every parameter and buffer of a network's state in place.

    Args:
        network: its state must be the published one but for names.
        published_key: maps one of its keys to the published key.
    """
    for key, tensor in network.state_dict().items():
        tensor.copy_(torch.from_numpy(np.asarray(seeded_value(published_key(key), tuple(tensor.shape)))))
