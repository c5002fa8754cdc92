"""A sparse training step as the published program takes it, written plainly: what `bench_step.py` compares with.

The networks are ours in all that does not cost time: they share our weights by name. What the published ones do
otherwise is put back in: attention that returns its weights, position encodings and masks made for every batch, one
offset field and one label map at a time. The order of operations is the published one: teacher in training mode, one
forward pass of the student for both halves, losses by cells picked instance by instance, a number read back for each
figure that is shown, and an average of the teacher over the dictionary of its state.
"""

from __future__ import annotations

import copy
import math
from collections import OrderedDict

import numpy as np
import torch
from bench_data import plain_augment
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.ops import DeformConv2d, box_convert

from spot.architectures.base import TrackerNetwork, rows
from spot.architectures.convolution import Conv2d
from spot.architectures.linear import Linear
from spot.architectures.ocean.loss import OceanLoss
from spot.architectures.ocean.network import MovedTaps, Ocean, OceanPrediction, correlate
from spot.architectures.transt.attention import Attention, Dropout
from spot.architectures.transt.loss import TransTLoss, iou_and_giou
from spot.architectures.transt.network import CrossFeature, TransT, TransTPrediction
from spot.data.augmentation import LUMA
from spot.data.crops import clip_boxes, to_crop, to_image
from spot.data.pairs import Batch
from spot.training.module import SparseTracker


class PlainAttention(nn.MultiheadAttention):
    """With mean weights that nobody reads and a padding mask that masks nothing."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        mask = torch.zeros(key.shape[0], key.shape[1], dtype=torch.bool)
        return super().forward(query, key, value, key_padding_mask=mask)[0]


class PlainCrossFeature(CrossFeature):
    """With ReLU on its own."""

    def forward(self, x: Tensor, positions: Tensor, other: Tensor, other_positions: Tensor) -> Tensor:
        attended = self.attention(x + positions, other + other_positions, other)
        x = self.norm1(x + self.dropout(attended))
        hidden = self.dropout(self.linear1(x).relu())
        return self.norm2(x + self.dropout(self.linear2(hidden)))


class PlainTransT(TransT):
    """TransT with `PlainAttention`, and position encodings made for every batch."""

    def _tokens(self, images: Tensor) -> Tensor:
        features = self.backbone(images)
        name = "search_positions" if images.shape[-1] == self.search_size else "template_positions"
        setattr(self, name, plain_positions(features, self.projection.out_channels))
        return self.projection(features).flatten(2).transpose(1, 2)


def plain_positions(features: Tensor, width: int) -> Tensor:
    """(B, N, width) sine encodings by cumulated masks, for each instance of the batch."""
    inside = torch.ones(features.shape[0], *features.shape[2:], dtype=torch.bool)
    y, x = inside.cumsum(1, dtype=torch.float32), inside.cumsum(2, dtype=torch.float32)
    y = y / (y[:, -1:, :] + 1e-6) * (2 * math.pi)
    x = x / (x[:, :, -1:] + 1e-6) * (2 * math.pi)
    number = torch.arange(width // 2, dtype=torch.float32)
    wavelength = 10000 ** (2 * (number // 2) / (width // 2))
    waves = [axis[..., None] / wavelength for axis in (y, x)]
    lines = [torch.stack((w[..., 0::2].sin(), w[..., 1::2].cos()), dim=4).flatten(3) for w in waves]
    return torch.cat(lines, dim=3).flatten(1, 2)


class PlainOcean(Ocean):
    """Ocean with kernels weighted after the correlation, and the taps of one instance at a time."""

    def predict(self, template_features: tuple[Tensor, ...], search: Tensor) -> OceanPrediction:
        features = self.neck(self.backbone(search))
        cls_map = self._matched(template_features[:3], features, True)
        box_map = self._matched(template_features[3:], features, False)
        box_features = self.box_tower(box_map)
        distances = (self.box_scale * self.box_pred(box_features) + self.box_bias).clamp(max=4.7).exp()
        taps = torch.cat([self._taps(one) for one in distances])
        aligned = F.relu(self.align_conv(box_features, taps))
        ious = self.iou_pred(self.iou_tower(box_map.detach())).sigmoid()
        maps = 0.1 * self.cls_pred(self.cls_tower(cls_map)), distances, ious, self.align_pred(aligned)
        logits, boxes, iou, align = (x.flatten(2).transpose(1, 2) for x in maps)
        return OceanPrediction(logits, boxes, iou.squeeze(-1), align.squeeze(-1))

    def encode_template(self, template: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        cut = slice(self.template_margin, -self.template_margin or None)
        target = self.neck(self.backbone(template))[..., cut, cut]
        return tuple(encode(target) for match in (self.cls_match, self.box_match) for encode in match.template)

    def _matched(self, kernels: tuple[Tensor, ...], features: Tensor, cls: bool) -> Tensor:
        match = self.cls_match if cls else self.box_match
        weights, total = match.weight.softmax(0), 0
        found = [correlate(encode(features), kernel) for encode, kernel in zip(match.search, kernels, strict=True)]
        for weight, one in zip(weights, found, strict=True):
            total = total + weight * one
        return total

    def _taps(self, distances: Tensor) -> Tensor:
        """(1, 18, H, W) of one instance's (4, H, W) distances, by METHOD.md section 6 word for word."""
        grid, stride = self.grid, self.stride
        x, y = self.cells.T.reshape(2, grid, grid)
        left, top, right, bottom = x - distances[0], y - distances[1], x + distances[2], y + distances[3]
        index = torch.arange(grid, dtype=distances.dtype)
        middle, area = grid // 2, self.search_size / 2
        shift_x = ((left + right) / 2 - area) / stride + middle - index
        shift_y = ((top + bottom) / 2 - area) / stride + middle - index[:, None]
        reach_x, reach_y = (right - left + 1) / (2 * stride) - 1, (bottom - top + 1) / (2 * stride) - 1
        taps = [(ky * reach_y + shift_y, kx * reach_x + shift_x) for ky in (-1, 0, 1) for kx in (-1, 0, 1)]
        return torch.stack([number for tap in taps for number in tap])[None]


PLAIN_LAYERS = {
    Attention: PlainAttention,
    CrossFeature: PlainCrossFeature,
    Linear: nn.Linear,
    Dropout: nn.Dropout,
    Conv2d: nn.Conv2d,
    MovedTaps: DeformConv2d,
}


def plain_copy(network: TrackerNetwork) -> TrackerNetwork:
    """A network with the same weights that works the plain way."""
    copied = copy.deepcopy(network).to(memory_format=torch.contiguous_format)
    copied.__class__ = PlainTransT if isinstance(copied, TransT) else PlainOcean
    for module in copied.modules():
        for ours, plain in PLAIN_LAYERS.items():
            if isinstance(module, ours):
                module.__class__ = plain
    return copied


class PlainStep:
    """Takes steps with plain copies of a `SparseTracker`'s networks."""

    def __init__(self, tracker: SparseTracker, teacher_mode: bool = True) -> None:
        assert tracker.teacher is not None
        self.student = plain_copy(tracker.student).train(tracker.student.training)
        self.teacher = plain_copy(tracker.teacher.network).train(teacher_mode)
        self.threshold, self.window_weight = tracker.teacher.label_filter.threshold, tracker.teacher.window_weight
        self.criterion, self.recipe = tracker.loss, tracker.recipe
        backbone = set(self.student.backbone.parameters())
        head = [p for p in self.student.parameters() if p not in backbone]
        self.optimizer = self.recipe.optimizer(
            [{"params": head, "lr": 1e-4}, {"params": [*self.student.backbone.parameters()], "lr": 1e-5}]
        )

    def step(self, batch: Batch) -> float:
        """Label, learn, and move the weights; returns the loss."""
        loss = self.loss(batch)
        self.optimizer.zero_grad()
        loss.backward()
        if self.recipe.clip_norm is not None:
            norm = torch.nn.utils.clip_grad_norm_(self.student.parameters(), self.recipe.clip_norm)
            if norm.isnan() or norm.isinf():
                return float("nan")
        self.optimizer.step()
        return loss.item()

    def loss(self, batch: Batch) -> Tensor:
        """The teacher's labels, and the student's loss on both halves."""
        pairs, frames = batch.labelled, batch.unlabelled
        assert frames is not None
        boxes, kept = self.label(batch)
        black = torch.zeros(len(boxes), 3)
        relay = _augmented(frames.relay, boxes, frames.brightness[:, 2], frames.grey, None, None, black)[0]
        target = to_crop(boxes, frames.student_geometry, self.student.search_size)
        search, target = _augmented(
            frames.student_search, target, frames.brightness[:, 3], frames.grey, frames.angle, frames.flip, frames.fill
        )
        chosen = [i for i in range(len(kept)) if kept[i]]
        relay, search, target = (torch.stack([x[i] for i in chosen]) for x in (relay, search, target))
        template = _augmented(pairs.template, pairs.box, pairs.brightness[:, 0], pairs.grey, None, None, pairs.box)[0]
        other = _augmented(pairs.search, pairs.box, pairs.brightness[:, 1], pairs.grey, None, None, pairs.box)[0]
        templates, searches = (self.student.normalise(torch.cat(x)) for x in ((template, relay), (other, search)))
        prediction = self.student(templates, torch.cat([pairs.template_box, frames.relay_box[chosen]]), searches)
        labelled, total = len(pairs.box), len(searches)
        criterion = plain_transt_loss if isinstance(self.student, TransT) else plain_ocean_loss
        first = criterion(self.criterion, rows(prediction, 0, labelled), pairs.box, True)
        second = criterion(self.criterion, rows(prediction, labelled), target, False)
        for terms in (first, second):
            for (
                name,
                term,
            ) in terms.items():  # a number is read back for each; means over no cell become 0, as published
                terms[name] = term if math.isfinite(term.item()) else torch.zeros_like(term)
        halves = [sum(self.criterion.weights[name] * term for name, term in t.items()) for t in (first, second)]
        return (labelled * halves[0] + (total - labelled) * halves[1]) / total

    @torch.no_grad()
    def label(self, batch: Batch) -> tuple[Tensor, list[bool]]:
        """(B, 4) boxes in the image, and which are kept, decided one by one."""
        frames, network = batch.unlabelled, self.teacher
        assert frames is not None
        none = torch.zeros(len(frames.key), dtype=torch.bool)
        keys, search = (
            network.normalise(_augmented(x, frames.fill, frames.brightness[:, i], none, None, None, frames.fill)[0])
            for i, x in enumerate((frames.key, frames.teacher_search))
        )
        found = network.candidates(network(keys, frames.key_box, search))
        hanning = torch.tensor(np.hanning(network.grid), dtype=torch.float32)
        window = torch.outer(hanning, hanning).flatten()
        best = (self.window_weight * window + (1 - self.window_weight) * found.scores).max(1).indices
        number = torch.arange(len(best))
        boxes = to_image(found.boxes[number, best], frames.teacher_geometry, network.search_size)
        boxes = clip_boxes(boxes, *frames.image_size.unbind(1))
        return boxes, [confidence.item() >= self.threshold for confidence in found.ious[number, best]]


@torch.no_grad()
def plain_update_ema(teacher: nn.Module, student: nn.Module, decay: float) -> None:
    """Two whole states as dictionaries, a third one as their average, loaded back."""
    new, theirs = OrderedDict(), student.state_dict()
    for key, value in teacher.state_dict().items():
        new[key] = theirs[key] * (1 - decay) + value * decay
    teacher.load_state_dict(new)


def _augmented(images, boxes, brightness, grey, angle, flip, fill) -> tuple[Tensor, Tensor]:
    """Brightness and grey-scale in batches; flip and rotation, where asked for, image by image."""
    if angle is not None:
        outs = [plain_augment(*one) for one in zip(images, boxes, angle, flip, fill, brightness, grey, strict=True)]
        return torch.stack([image for image, _ in outs]), torch.stack([box for _, box in outs])
    pixels = images.float().mul((brightness / 255)[:, None, None, None]).clamp(0, 1)
    weights = torch.tensor(LUMA)[:, None, None]
    return torch.where(grey[:, None, None, None], (pixels * weights).sum(1, keepdim=True), pixels), boxes


def plain_transt_loss(
    criterion: TransTLoss, prediction: TransTPrediction, boxes: Tensor, labelled: bool
) -> dict[str, Tensor]:
    """METHOD.md section 6, the cells of one instance at a time."""
    count, cells = prediction.logits.shape[:2]
    grid = math.isqrt(cells)
    numbers = np.arange(cells).reshape(grid, grid)
    targets = box_convert(boxes / criterion.search_size, "xywh", "cxcywh")
    picked: dict[str, list] = {"inside": [], "ring": []}
    for i in range(count):
        x, y, w, h = (targets[i, j].item() for j in range(4))
        x0, y0 = (max(math.ceil(low * grid), 0) for low in (x - w / 2, y - h / 2))
        x1, y1 = (min(math.ceil(high * grid), grid) for high in (x + w / 2, y + h / 2))
        x1, y1 = max(x1, x0 + 1), max(y1, y0 + 1)
        inside = numbers[y0:y1, x0:x1].flatten()
        around = numbers[
            max(y0 - criterion.ring, 0) : y1 + criterion.ring, max(x0 - criterion.ring, 0) : x1 + criterion.ring
        ]
        for name, chosen in (("inside", inside), ("ring", np.setdiff1d(around, inside))):
            picked[name].append((torch.full((len(chosen),), i), torch.as_tensor(chosen)))
    at = {name: tuple(torch.cat(part) for part in zip(*lists, strict=True)) for name, lists in picked.items()}

    classes = torch.ones(count, cells, dtype=torch.int64)
    classes[at["inside"]] = 0
    weight = torch.tensor([1.0, criterion.background_weight])

    def pairs(name: str) -> tuple[Tensor, Tensor]:
        return prediction.boxes[at[name]], targets[at[name][0]]

    found, wanted = pairs("inside")
    iou, giou = iou_and_giou(*(box_convert(x, "cxcywh", "xyxy") for x in (found, wanted)))
    terms = {
        "class": F.cross_entropy(prediction.logits.transpose(1, 2), classes, weight),
        "box": F.l1_loss(found, wanted, reduction="none").sum() / len(found),
        "giou": (1 - giou).sum() / len(found),
    }
    if labelled:
        ring = iou_and_giou(*(box_convert(x, "cxcywh", "xyxy") for x in pairs("ring")))[0]
        terms["iou"] = F.l1_loss(prediction.ious[at["inside"]], iou.detach()) + F.l1_loss(
            prediction.ious[at["ring"]], ring.detach()
        )
    return terms


def plain_ocean_loss(
    criterion: OceanLoss, prediction: OceanPrediction, boxes: Tensor, labelled: bool
) -> dict[str, Tensor]:
    """METHOD.md section 6, the class labels of one instance at a time, losses over picked cells."""
    assert prediction.align is not None
    cells, grid = criterion.cells, math.isqrt(len(criterion.cells))
    axis, labels = torch.arange(grid), []
    for box in boxes:
        center = (box[:2] + (box[:2] + box[2:])) / 2
        column, row = grid // 2 + ((center - criterion.search_size / 2) / criterion.stride).long()
        distance = (axis - column).abs()[None] + (axis - row).abs()[:, None]
        labels.append(torch.where(distance <= criterion.radius, 1.0, 0.0).flatten())
    label, logits = torch.stack(labels).flatten(), prediction.logits.flatten()
    halves = [label.eq(value).nonzero().squeeze(1) for value in (1, 0)]
    errors = [F.binary_cross_entropy_with_logits(logits[chosen], label[chosen]) for chosen in halves]

    def sides(margin: float) -> Tensor:
        reach = margin * boxes[:, 2:].clamp(min=1)
        low, high = boxes[:, :2] - reach, boxes[:, :2] + boxes[:, 2:] + reach
        return torch.cat([cells - low[:, None], high[:, None] - cells], dim=-1)

    def iou(a: Tensor, b: Tensor) -> Tensor:
        shared = torch.min(a, b)
        areas = [(x[..., 0] + x[..., 2]) * (x[..., 1] + x[..., 3]) for x in (shared, a, b)]
        return (areas[0] + 1) / (areas[1] + areas[2] - areas[0] + 1)

    target = sides(0)
    inside = (target.min(-1).values > 0).float()
    align = (inside * iou(prediction.boxes, target)).abs().clamp(0, 1)
    chosen = torch.nonzero(inside.flatten() > 0).squeeze(1)
    terms = {
        "class": errors[0] * 0.5 + errors[1] * 0.5,
        "box": -iou(prediction.boxes.reshape(-1, 4)[chosen], target.reshape(-1, 4)[chosen]).log().mean(),
        "align": F.binary_cross_entropy_with_logits(prediction.align, align),
    }
    if labelled:
        near = (sides(criterion.iou_margin).min(-1).values > 0).float()
        terms["iou"] = (F.l1_loss(align.detach(), prediction.ious, reduction="none") * near).sum() / near.sum()
    return terms
