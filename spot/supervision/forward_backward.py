"""A label filter that tracks back to the key frame and compares boxes there (forward-backward consistency)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F
from torchvision.ops import box_convert, box_iou

from spot.architectures.base import TrackerNetwork, best_cell
from spot.data.augmentation import photometric
from spot.data.instances import UnlabelledInstances
from spot.runtime.errors import SpotError
from spot.supervision.label_filters import LabelFilter, ProposedLabels


class ForwardBackward(LabelFilter):
    """Keep a label if the teacher, started from it, finds the human box of the key frame again.

    The idea is from Kalal et al., "Forward-Backward Error" (ICPR 2010), with one step in each direction. The backward
    step uses a jittered crop of the key frame, so that a network that always predicts the centre is not rewarded. The
    loader makes that crop if `supervision.key_search` is true.

    Args:
        iou: least IoU in [0, 1] of the box of the backward step with the human box.
        threshold: labels below this predicted IoU are never kept.
        template_factor: area factor of the architecture's template crops.
    """

    def __init__(self, iou: float = 0.5, threshold: float = 0.0, template_factor: float = 2.0) -> None:
        super().__init__()
        self.iou = iou
        self.threshold = threshold
        self.template_factor = template_factor

    def forward(self, labels: ProposedLabels, batch: UnlabelledInstances, network: TrackerNetwork) -> Tensor:
        if batch.key_search is None or batch.key_search_box is None:
            raise SpotError("this label filter needs a search crop of the key frame; set supervision.key_search=true")
        templates, boxes = self.templates(batch.teacher_search, labels.crop_box, network.template_size)
        factors = batch.brightness[:, 1], batch.brightness[:, 0]
        template, search = (photometric(*each) for each in zip((templates, batch.key_search), factors, strict=True))
        candidates = network.candidates(network(network.normalise(template), boxes, network.normalise(search)))
        found = best_cell(candidates, torch.zeros_like(candidates.scores[0]), 0).box.float()
        corners = (box_convert(boxes, "xywh", "xyxy") for boxes in (found, batch.key_search_box))
        return (box_iou(*corners).diagonal() >= self.iou) & (labels.confidence >= self.threshold)

    def templates(self, search: Tensor, boxes: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Cut a template crop around each box out of the teacher's search crops, bilinearly.

        Args:
            search: (B, 3, S, S) uint8.
            boxes: (B, 4) xywh in pixels of the search crop.
            size: T, pixels of the template crop.

        Returns:
            The crops, (B, 3, T, T) uint8; outside the search crop its border is repeated. The boxes in them, (B, 4)
            xywh.
        """
        w, h = boxes[:, 2], boxes[:, 3]
        context = (self.template_factor - 1) * (w + h) / 2
        side = ((w + context) * (h + context)).clamp(min=1).sqrt()
        last = search.shape[-1] - 1
        center = (boxes[:, :2] + boxes[:, 2:] / 2) * (2 / last) - 1  # -1..1 from the first to the last pixel
        steps = torch.linspace(-1, 1, size, device=search.device) * (size - 1) / size
        offsets = (side / last)[:, None] * steps
        grid = torch.stack(
            [
                (center[:, :1] + offsets)[:, None, :].expand(-1, size, -1),
                (center[:, 1:] + offsets)[:, :, None].expand(-1, -1, size),
            ],
            dim=-1,
        )
        cut = F.grid_sample(search.float(), grid, padding_mode="border", align_corners=True)
        sizes = boxes[:, 2:] * (size / side)[:, None]
        return cut.round_().byte(), torch.cat([(size - 1) / 2 - sizes / 2, sizes], dim=1)
