"""OSTrack: one transformer for template and search together, and a head that finds the target's centre.

Ye et al., "Joint Feature Learning and Relation Modeling for Tracking: A One-Stream Framework", ECCV 2022. The predicted IoU
is this project's addition; sparse supervision needs it (docs/method.md section 4).
"""

from __future__ import annotations

import itertools
import math
from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from spot.architectures.base import IMAGENET_MEAN, IMAGENET_STD, Candidates, TrackerNetwork, in_float32
from spot.architectures.ostrack.published import OSTrackFormat
from spot.architectures.ostrack.transformer import JointViT
from spot.runtime.errors import SpotError

EDGE = 1e-4  # scores and sizes stay this far from 0 and 1

Voters = Literal["center", "region", "all", "box"]


class OSTrackPrediction(NamedTuple):
    """Raw outputs for B search crops, on a grid x grid map.

    Attributes:
        scores: (B, grid, grid) score of the target's centre, in [1e-4, 1 - 1e-4].
        offsets: (B, 2, grid, grid) x, y of the centre from the cell's index, in cells.
        sizes: (B, 2, grid, grid) w, h as fractions of the search crop, in [1e-4, 1 - 1e-4].
        ious: (B, grid, grid) predicted IoU of each cell's box with the target, in [0, 1].
    """

    scores: Tensor
    offsets: Tensor
    sizes: Tensor
    ious: Tensor


class OSTrack(TrackerNetwork):
    """OSTrack with a predicted IoU.

    Args:
        backbone: the joint transformer; its crop sizes are this network's.
        template_size, search_size: sides of the crops in pixels.
        channels: width of the head's first convolution; later ones have a half, a quarter and an eighth.
        voters: which template tokens decide on candidate elimination: `center` (one token, published), `region` (the
            middle four), `box` (those in the target's box) or `all`.
        quality: where the predicted IoU comes from: `iou_head` (a branch of its own on detached features) or `score`
            (the centre's score itself, which the loss then trains towards the box's IoU).
        warm_up_start, warm_up_end: training epochs (1-based) between which the fraction of kept tokens falls from 1 to the
            backbone's own, by a cosine (published: 20 and 100).
        pixel_mean, pixel_std: normalisation that the backbone expects.
        frozen_epochs: the first epochs, in which the backbone is not trained.
    """

    published: ClassVar[OSTrackFormat] = OSTrackFormat()
    optional: ClassVar[tuple[str, ...]] = ("iou_branch.",)

    backbone: JointViT

    def __init__(
        self,
        backbone: JointViT,
        template_size: int = 128,
        search_size: int = 256,
        channels: int = 256,
        voters: Voters = "center",
        quality: Literal["iou_head", "score"] = "iou_head",
        warm_up_start: int = 20,
        warm_up_end: int = 100,
        pixel_mean: tuple[float, ...] = IMAGENET_MEAN,
        pixel_std: tuple[float, ...] = IMAGENET_STD,
        frozen_epochs: int = 0,
    ) -> None:
        super().__init__(pixel_mean, pixel_std, frozen_epochs)
        if (backbone.template_grid, backbone.search_grid) != (
            template_size // backbone.patch,
            search_size // backbone.patch,
        ):
            raise SpotError(
                "arch.network.backbone: its template_size and search_size differ from the network's; give the same sizes"
            )
        self.template_size, self.search_size = template_size, search_size
        self.backbone, self.grid, self.voters, self.quality = backbone, backbone.search_grid, voters, quality
        self.warm_up_start, self.warm_up_end = warm_up_start, warm_up_end
        self._training_keep_ratio: float | None = None
        self.score_branch = Branch(backbone.channels, channels, 1)
        self.offset_branch = Branch(backbone.channels, channels, 2)
        self.size_branch = Branch(backbone.channels, channels, 2)
        if quality == "iou_head":
            self.iou_branch = Branch(backbone.channels, channels, 1)

    def encode_template(self, template: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        """Return (B, Nz, C) tokens of the template, and (B, Nz): 1 for tokens that vote on candidate elimination, else 0."""
        tokens = self.backbone.encode_template(template)
        voters = voting_tokens(boxes, self.template_size, self.backbone.template_grid, self.voters)
        return tokens, voters.to(tokens.dtype)

    def predict(self, template_features: tuple[Tensor, ...], search: Tensor) -> OSTrackPrediction:
        """Outputs for (B, 3, search_size, search_size)."""
        template, voters = template_features
        ratio = self._training_keep_ratio if self.training else None
        tokens, _ = self.backbone(template, search, voters, ratio)
        return in_float32(self._heads, tokens)

    def candidates(self, prediction: OSTrackPrediction) -> Candidates:
        """Score, xywh box in search-crop pixels (not clipped) and predicted IoU of every cell."""
        axis = torch.arange(self.grid, device=prediction.offsets.device, dtype=prediction.offsets.dtype)
        cells = torch.stack([axis.expand(self.grid, -1), axis[:, None].expand(-1, self.grid)])
        centers = (cells + prediction.offsets) / self.grid
        boxes = torch.cat([centers - prediction.sizes / 2, prediction.sizes], dim=1) * self.search_size
        return Candidates(prediction.scores.flatten(1), boxes.flatten(2).transpose(1, 2), prediction.ious.flatten(1))

    def begin_epoch(self, epoch: int) -> None:
        """See `TrackerNetwork.begin_epoch`; sets the fraction of search tokens that training keeps."""
        super().begin_epoch(epoch)
        self._training_keep_ratio = keep_ratio_at(
            epoch + 1, self.backbone.keep_ratio, self.warm_up_start, self.warm_up_end
        )

    def parameter_groups(
        self, lr: float, backbone_lr_ratio: float = 0.1, layer_decay: float = 1.0, decay_norms: bool = True
    ) -> list[dict[str, Any]]:
        """See `TrackerNetwork.parameter_groups`.

        Args:
            lr: rate of the head.
            backbone_lr_ratio: the last block's rate over that.
            layer_decay: each earlier block's rate over that of the next one; 1 for the same rate everywhere (published).
            decay_norms: whether norms, biases and position embeddings have weight decay, too (published: yes).
        """
        depth = len(self.backbone.blocks)
        groups: dict[str, dict[str, Any]] = {}
        for name, parameter in self.named_parameters():
            if not parameter.requires_grad:
                continue
            part, rate = "head", lr
            if name.startswith("backbone."):
                part, below = "backbone", depth - _layer(name, depth)
                rate = lr * backbone_lr_ratio * layer_decay**below
                if layer_decay != 1:
                    part = f"backbone_{depth - below:02d}"
            plain = decay_norms or (parameter.dim() > 1 and "pos_embed" not in name)
            part = part if plain else f"{part}_no_decay"
            group = groups.setdefault(part, {"params": [], "lr": rate, "name": part})
            group["params"].append(parameter)
            if not plain:
                group["weight_decay"] = 0.0
        return list(groups.values())

    def _heads(self, tokens: Tensor) -> OSTrackPrediction:
        searched = tokens[:, -(self.grid**2) :].transpose(1, 2).unflatten(2, (self.grid, self.grid))
        scores = _inside(self.score_branch(searched)).squeeze(1)
        ious = scores
        if self.quality == "iou_head":
            # The gradient of the IoU head must not change the boxes: its input is detached.
            ious = self.iou_branch(searched.detach()).sigmoid().squeeze(1)
        return OSTrackPrediction(scores, self.offset_branch(searched), _inside(self.size_branch(searched)), ious)


class Branch(nn.Module):
    """Four 3x3 convolutions with BatchNorm and ReLU, each half as wide as the one before, and a 1x1 convolution.

    Args:
        inputs: channels of the tokens.
        channels: of the first convolution.
        outputs: channels of the map.
    """

    def __init__(self, inputs: int, channels: int, outputs: int) -> None:
        super().__init__()
        widths = [inputs, *(channels // 2**i for i in range(4))]
        self.layers = nn.ModuleList(
            nn.Sequential(nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU(inplace=True))
            for before, after in itertools.pairwise(widths)
        )
        self.out = nn.Conv2d(widths[-1], outputs, 1)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def forward(self, maps: Tensor) -> Tensor:
        """Map (B, inputs, grid, grid) to (B, outputs, grid, grid)."""
        for layer in self.layers:
            maps = layer(maps)
        return self.out(maps)


def voting_tokens(boxes: Tensor, size: int, grid: int, kind: Voters) -> Tensor:
    """Return which template tokens decide on candidate elimination.

    Args:
        boxes: (B, 4) xywh of the target in the template crop, pixels.
        size: side of the template crop, pixels.
        grid: tokens a side.
        kind: see `OSTrack`. `center` is the token up and left of the middle of an even grid, as published.

    Returns:
        (B, grid * grid) bool, at least one True a row.

    >>> voting_tokens(torch.tensor([[32.0, 32.0, 64.0, 64.0]]), 128, 8, "box").sum().item()
    16
    """
    first, last = {"center": (grid // 2 - 1, grid // 2), "region": (grid // 2 - 1, grid // 2 + 1)}.get(kind, (0, grid))
    axis = torch.arange(grid, device=boxes.device)
    line = ((axis >= first) & (axis < last)).expand(boxes.shape[0], -1)
    rows, columns = line, line
    if kind == "box":
        middle = (axis + 0.5) * (size / grid)
        columns = (middle >= boxes[:, :1]) & (middle < boxes[:, :1] + boxes[:, 2:3])
        rows = (middle >= boxes[:, 1:2]) & (middle < boxes[:, 1:2] + boxes[:, 3:4])
        columns = torch.where(columns.any(1, keepdim=True), columns, axis == grid // 2)
        rows = torch.where(rows.any(1, keepdim=True), rows, axis == grid // 2)
    return (rows[:, :, None] & columns[:, None, :]).flatten(1)


def keep_ratio_at(epoch: int, ratio: float, start: int, end: int) -> float:
    """Return the fraction of search tokens that training keeps in `epoch` (1-based).

    >>> keep_ratio_at(1, 0.7, 20, 100), keep_ratio_at(60, 0.7, 20, 100), keep_ratio_at(100, 0.7, 20, 100)
    (1.0, 0.85, 0.7)
    """
    if epoch < start:
        return 1.0
    if epoch >= end:
        return ratio
    return ratio + (1 - ratio) * (1 + math.cos(math.pi * (epoch - start) / (end - start))) / 2


def _layer(name: str, depth: int) -> int:
    """Depth of a parameter of the backbone: 0 for the embeddings, i + 1 for block i, the last block's for the norm."""
    if name.startswith("backbone.blocks."):
        return int(name.split(".")[2]) + 1
    return depth if name.startswith("backbone.norm.") else 0


def _inside(logits: Tensor) -> Tensor:
    return logits.sigmoid().clamp(EDGE, 1 - EDGE)
