"""Tracking as the published program does it, written plainly: what `bench_tracker.py` compares with.

One video, one frame at a time. The networks are ours with what costs time put back in (see `plain_networks.py`): nothing
is folded, attention returns its weights, position encodings are made for every frame. Crops are cut by padding the
whole frame with NumPy and become floats on the host.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
import torch
from plain_networks import plain_copy
from torchvision.transforms.functional import normalize

from spot.architectures.base import TrackerNetwork


class PlainTracker:
    """What both have in common: state, crops, normalisation."""

    def __init__(self, network: TrackerNetwork) -> None:
        self.network = plain_copy(network).eval()

    @torch.no_grad()
    def start(self, frame: np.ndarray, box: np.ndarray) -> None:
        self.center, self.size = box[:2] + box[2:] / 2, box[2:].copy()
        self.fill = np.mean(frame, axis=(0, 1))
        hanning = np.hanning(self.network.grid)
        self.window = np.outer(hanning, hanning)
        template = self.crop(frame, self.template_side(), self.network.template_size)
        self.template_features = self.network.encode_template(template, torch.zeros(1, 4))

    def template_side(self) -> int:
        raise NotImplementedError

    def crop(self, frame: np.ndarray, side: int, out: int) -> torch.Tensor:
        left, top = self.corner(side)
        height, width = frame.shape[:2]
        before_x, before_y = max(0, -left), max(0, -top)
        after_x, after_y = max(0, left + side - width), max(0, top + side - height)
        if any((before_x, before_y, after_x, after_y)):
            padded = np.zeros((height + before_y + after_y, width + before_x + after_x, 3), np.uint8)
            padded[before_y : before_y + height, before_x : before_x + width] = frame
            inside = slice(before_x, before_x + width)
            padded[:before_y, inside] = self.fill
            padded[before_y + height :, inside] = self.fill
            padded[:, :before_x] = self.fill
            padded[:, before_x + width :] = self.fill
            frame = padded
        top, left = top + before_y, left + before_x
        patch = cv2.resize(frame[top : top + side, left : left + side], (out, out))
        pixels = torch.from_numpy(patch.transpose(2, 0, 1)[None].astype(np.float32)).mul(1 / 255).clamp(0, 1)
        return normalize(pixels, self.network.pixel_mean.flatten().tolist(), self.network.pixel_std.flatten().tolist())

    def corner(self, side: int) -> tuple[int, int]:
        raise NotImplementedError

    def clip(self, frame: np.ndarray) -> np.ndarray:
        """Keep the state inside the frame; the new box xywh."""
        height, width = frame.shape[:2]
        self.center = np.array([max(0, min(c, limit)) for c, limit in zip(self.center, (width, height), strict=True)])
        self.size = np.array([max(10, min(s, limit)) for s, limit in zip(self.size, (width, height), strict=True)])
        return np.concatenate([self.center - self.size / 2, self.size])


class PlainTransTTracker(PlainTracker):
    """TransT: docs/method.md section 7."""

    def template_side(self) -> int:
        return self.side(2)

    def side(self, factor: int) -> int:
        w, h = self.size + (factor - 1) * self.size.sum() * 0.5
        return math.ceil(math.sqrt(w * h))

    def corner(self, side: int) -> tuple[int, int]:
        x, y = np.floor(self.center - (side + 1) / 2 + 0.5).astype(int)
        return int(x), int(y)

    @torch.no_grad()
    def step(self, frame: np.ndarray) -> np.ndarray:
        side = self.side(4)
        found = self.network.predict(self.template_features, self.crop(frame, side, self.network.search_size))
        logits = found.logits.permute(2, 1, 0).contiguous().view(2, -1).permute(1, 0)
        score = torch.softmax(logits, dim=1).data[:, 0].cpu().numpy()
        boxes = found.boxes.permute(2, 1, 0).contiguous().view(4, -1).cpu().numpy()
        best = np.argmax(score * (1 - 0.49) + self.window.flatten() * 0.49)
        box = boxes[:, best].astype(np.float64) * side
        self.center, self.size = box[:2] + self.center - side / 2, box[2:]
        return self.clip(frame)


class PlainOceanTracker(PlainTracker):
    """Ocean: docs/method.md section 7."""

    def template_side(self) -> int:
        return round(self.context())

    def context(self) -> float:
        w, h = self.size + 0.5 * self.size.sum()
        return math.sqrt(w * h)

    def corner(self, side: int) -> tuple[int, int]:
        return round(self.center[0] - (side + 1) / 2), round(self.center[1] - (side + 1) / 2)

    @torch.no_grad()
    def step(self, frame: np.ndarray) -> np.ndarray:
        network, context = self.network, self.context()
        scale = network.template_size / context
        # halves up, as Python 2 rounds
        side = math.floor(context * network.search_size / network.template_size + 0.5)
        found = network.predict(self.template_features, self.crop(frame, side, network.search_size))
        score = torch.sigmoid(found.logits).flatten().cpu().numpy()
        if found.align is not None:
            score = 0.94 * score + (1 - 0.94) * torch.sigmoid(found.align).flatten().cpu().numpy()
        left, top, right, bottom = found.boxes[0].T.cpu().numpy()
        x, y = network.cells.T.numpy()
        x0, y0, x1, y1 = x - left, y - top, x + right, y + bottom

        def area_side(w: np.ndarray, h: np.ndarray) -> np.ndarray:
            pad = (w + h) * 0.5
            return np.sqrt((w + pad) * (h + pad))

        old = self.size * scale
        change = area_side(x1 - x0, y1 - y0) / area_side(*old)
        aspect = (old[0] / old[1]) / ((x1 - x0) / (y1 - y0))
        penalty = np.exp(-(np.maximum(change, 1 / change) * np.maximum(aspect, 1 / aspect) - 1) * 0.062)
        best = np.argmax(penalty * score * (1 - 0.38) + self.window.flatten() * 0.38)
        middle = np.array([x0[best] + x1[best], y0[best] + y1[best]]) / 2
        size = np.array([x1[best] - x0[best], y1[best] - y0[best]]) / scale
        rate = penalty[best] * score[best] * 0.765
        smoothed = size * rate + (1 - rate) * self.size
        self.center = self.center + (middle - network.search_size // 2) / scale
        self.size = self.size * (1 - rate) + rate * smoothed
        return self.clip(frame)
