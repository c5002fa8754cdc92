"""The interface of an architecture: its network, its loss, and their inputs and outputs.

The rest of the program uses an architecture only through this file, `tracker.py` and `published.py`. Each network has
its own raw outputs: other code slices them with `rows` and reads them through `TrackerNetwork.candidates`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from spot.architectures.published import PublishedFormat
from spot.runtime.errors import SpotError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Prediction = tuple[Any, ...]  # a NamedTuple of batch-first tensors (or None), each architecture its own
P = TypeVar("P", bound=Prediction)


class Candidates(NamedTuple):
    """The predictions of a network for B search crops, with N candidate boxes each.

    Attributes:
        scores: (B, N) in [0, 1].
        boxes: (B, N, 4) xywh in pixels of the search crop, not clipped.
        ious: (B, N) predicted IoU of each box with the target, in [0, 1].
    """

    scores: Tensor
    boxes: Tensor
    ious: Tensor


class Best(NamedTuple):
    """The best cell of each crop: box (B, 4) xywh in crop pixels, score (B,), confidence (B,) = predicted IoU, cell (B,)."""

    box: Tensor
    score: Tensor
    confidence: Tensor
    cell: Tensor


class TrackerNetwork(nn.Module, ABC):
    """A network that finds the target of a template crop in search crops.

    Images are float, normalised by `normalise`. Boxes are (B, 4) xywh in pixels of their crop. A network reads the batch
    size as `x.shape[0]`: export traces the network, and tracing would record `len(x)` as a constant.

    Attributes:
        template_size, search_size: sides of the crops in pixels.
        grid: score cells a side; N = grid * grid candidates, row by row.
        backbone: the pretrained part. `begin_epoch` freezes it, `parameter_groups` gives it a separate learning rate.
        frozen_epochs: number of first epochs in which the backbone is not trained.
        published: format in which other programs store this architecture's weights; None if there is no such format.
        optional: prefixes of the names of tensors that a file need not have, such as a head that other programs do not
            have. Without a file they are initialised at random.
    """

    published: ClassVar[PublishedFormat | None] = None
    optional: ClassVar[tuple[str, ...]] = ()

    template_size: int
    search_size: int
    grid: int
    backbone: nn.Module
    frozen_epochs: int
    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(
        self,
        pixel_mean: tuple[float, ...] = IMAGENET_MEAN,
        pixel_std: tuple[float, ...] = IMAGENET_STD,
        frozen_epochs: int = 0,
    ) -> None:
        super().__init__()
        self.frozen_epochs = frozen_epochs
        self.register_buffer("pixel_mean", torch.tensor(pixel_mean).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(pixel_std).view(3, 1, 1), persistent=False)

    @abstractmethod
    def encode_template(self, template: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        """Encode the targets; called once a video.

        Args:
            template: (B, 3, template_size, template_size).
            boxes: (B, 4) the target in the template crop. Networks that know where it is may ignore it.

        Returns:
            Batch-first tensors, as `predict` takes them.
        """

    @abstractmethod
    def predict(self, template_features: tuple[Tensor, ...], search: Tensor) -> Prediction:
        """Find the encoded targets in (B, 3, search_size, search_size); called once a frame."""

    @abstractmethod
    def candidates(self, prediction: Any) -> Candidates:
        """Return score, box and predicted IoU of every cell, from what `predict` returned."""

    def forward(self, template: Tensor, boxes: Tensor, search: Tensor) -> Prediction:
        """Encode and predict, for template crops, their boxes and search crops of the same B instances."""
        return self.predict(self.encode_template(template, boxes), search)

    def normalise(self, images: Tensor) -> Tensor:
        """Map (B, 3, H, W) RGB in [0, 1] to the network's input range, in the images' own dtype."""
        return (images - self.pixel_mean.to(images.dtype)) / self.pixel_std.to(images.dtype)

    def parameter_groups(self, lr: float, backbone_lr_ratio: float = 1.0) -> list[dict[str, Any]]:
        """Return the optimiser's groups: `params`, `lr`, a `name` for the log, and other settings (`weight_decay`).

        An architecture with other needs (layer-wise decay, no decay on norms) overrides this method. Its arguments
        after `lr` are options of `arch.recipe`.

        Args:
            lr: highest learning rate.
            backbone_lr_ratio: ratio of the backbone's rate to `lr`.
        """
        backbone = list(self.backbone.parameters())
        inside = {id(parameter) for parameter in backbone}
        rest = [parameter for parameter in self.parameters() if id(parameter) not in inside]
        return [
            {"params": rest, "lr": lr, "name": "head"},
            {"params": backbone, "lr": lr * backbone_lr_ratio, "name": "backbone"},
        ]

    def begin_epoch(self, epoch: int) -> None:
        """Prepare for training epoch `epoch` (0-based): freeze the backbone in the first `frozen_epochs`, then train it.

        The result must depend only on `epoch`, so that a resumed run is the same run.

        Raises:
            SpotError: `frozen_epochs` is set and the backbone has no method `freeze`.
        """
        if not self.frozen_epochs:
            return
        freeze = getattr(self.backbone, "freeze", None)
        if freeze is None:
            raise SpotError(
                f"arch.network.frozen_epochs={self.frozen_epochs}: {type(self.backbone).__name__} cannot be frozen; "
                "give 0, or a backbone that can (ocean_resnet50)"
            )
        freeze(epoch < self.frozen_epochs)

    def export_inputs(self, batch: int = 1) -> tuple[Tensor, Tensor, Tensor]:
        """Return example inputs of `forward` for tracing and export: template, its boxes, search; seeded noise."""
        generator = torch.Generator().manual_seed(0)
        template, search = (
            torch.randn(batch, 3, side, side, generator=generator).to(self.pixel_mean)
            for side in (self.template_size, self.search_size)
        )
        quarter = torch.full((batch, 2), self.template_size / 4)
        return template, torch.cat([quarter, 2 * quarter], dim=1).to(self.pixel_mean), search


def in_float32(function: Callable[..., P], *features: Tensor) -> P:
    """Call a head in float32, inside autocast too: eight bits of mantissa would round boxes to half a pixel and more."""
    device = features[0].device.type
    if not torch.is_autocast_enabled(device):
        return function(*features)
    with torch.autocast(device, enabled=False):
        return function(*(each.float() for each in features))


def cell_rows(maps: Tensor) -> Tensor:
    """Map (B, C, H, W) to (B, H * W, C)."""
    return maps.flatten(2).transpose(1, 2)


def cell_positions(grid: int, stride: int, search_size: int) -> Tensor:
    """Return (grid * grid, 2) float32 x, y of the cells in search-crop pixels, row by row.

    Cell grid // 2 lies on the crop's centre pixel. With an even grid the cells are lopsided: -1 .. 239 for 16 cells of
    16 pixels in a crop of 255.
    """
    axis = (torch.arange(grid) - grid // 2) * stride + search_size // 2
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    return torch.stack([x, y], dim=-1).flatten(0, 1).float()


def rows(prediction: P, start: int, stop: int | None = None) -> P:
    """Return the predictions of the instances `start:stop` of the batch.

    >>> class Pair(NamedTuple):
    ...     logits: Tensor
    ...     align: Tensor | None = None
    >>> rows(Pair(torch.arange(4.0)), 1, 3)
    Pair(logits=tensor([1., 2.]), align=None)
    """
    parts: list[Any] = [None if part is None else part[start:stop] for part in prediction]
    return type(prediction)(*parts)


class Mean(NamedTuple):
    """A mean as sum and weight. It is divided later, because its parts may be on several processes.

    Attributes:
        sum: scalar, with gradient.
        weight: scalar, number or total weight of the values in the sum; if it is 0, the sum is 0 too.
    """

    sum: Tensor
    weight: Tensor

    def half(self) -> Mean:
        """Return half of the mean, for a term that is the average of two means."""
        return Mean(self.sum / 2, self.weight)


Terms = dict[str, tuple[Mean, ...]]  # each term is the sum of its means


class TrackerLoss(nn.Module, ABC):
    """The training criterion of an architecture: terms by name and the weight of each."""

    weights: dict[str, float]

    @abstractmethod
    def forward(self, prediction: Any, boxes: Tensor, keep: Tensor, train_iou: bool) -> Terms:
        """Return the unweighted loss terms, as sums and counts; `mean_terms` divides them.

        Args:
            prediction: the network's outputs for B search crops.
            boxes: (B, 4) target boxes, xywh in pixels of the search crop.
            keep: (B,) bool; instances that are False contribute nothing, as if they were not in the batch. With none kept
                every term is 0 with a defined (zero) gradient.
            train_iou: include the term of the IoU head (labelled pairs only, docs/method.md section 6).
        """

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Return the weighted sum of the terms from `mean_terms`."""
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()


def mean_terms(terms: Terms, average: Callable[[Tensor], Tensor] = lambda counts: counts) -> dict[str, Tensor]:
    """Divide each term's sums by their counts over all processes.

    With W processes a term is `W * sum / (counts of all processes)`. DistributedDataParallel averages gradients over
    the processes, so the step has the gradient that one process with the whole batch would have. Averaging the returned
    values over the processes gives the whole batch's loss.

    Args:
        terms: terms of this process's part of the batch.
        average: returns the mean over all processes of a 1-D tensor without gradient, for example
            `lambda counts: fabric.all_reduce(counts, reduce_op="mean")`. It is called once, with the same number of
            counts on every process. The default suits a single process.

    Returns:
        A scalar for each term.

    >>> two_means = (Mean(torch.tensor(6.0), torch.tensor(3)), Mean(torch.tensor(0.0), torch.tensor(0)))
    >>> mean_terms({"iou": two_means})
    {'iou': tensor(2.)}
    """
    means = [mean for term in terms.values() for mean in term]
    counts = average(torch.stack([mean.weight.detach().to(mean.sum.dtype) for mean in means]))
    counts = torch.where(counts > 0, counts, 1)
    divided = iter([mean.sum / count for mean, count in zip(means, counts, strict=True)])
    return {name: torch.stack([next(divided) for _ in term]).sum() for name, term in terms.items()}


def masked_sum(values: Tensor, mask: Tensor) -> Mean:
    """Add and count the values where the mask is True. Values elsewhere are ignored, NaN too."""
    return Mean(torch.where(mask, values, 0).sum(), mask.sum())


def hann_window(grid: int, device: torch.device | None = None) -> Tensor:
    """Return the (grid * grid,) float32 product of two symmetric Hann windows, row by row (docs/method.md section 4)."""
    window = torch.hann_window(grid, periodic=False, device=device)
    return torch.outer(window, window).flatten()


def best_cell(candidates: Candidates, window: Tensor, window_weight: float) -> Best:
    """Blend the scores with a window centred on the crop and take the best cell of each crop.

    Args:
        candidates: candidates of B crops with N cells.
        window: (N,) from `hann_window`.
        window_weight: 0 uses only the scores, 1 only the window (temporal calibration, docs/method.md section 4).
    """
    score, cell = (window_weight * window + (1 - window_weight) * candidates.scores).max(dim=1)
    box = candidates.boxes.gather(1, cell[:, None, None].expand(-1, 1, 4)).squeeze(1)
    return Best(box, score, candidates.ious.gather(1, cell[:, None]).squeeze(1), cell)
