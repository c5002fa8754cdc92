"""A label filter that adapts to the teacher: keep the best fraction of recent labels."""

from __future__ import annotations

import torch
from torch import Tensor
from torch import distributed as dist

from spot.architectures.base import TrackerNetwork
from spot.data.instances import UnlabelledInstances
from spot.supervision.label_filters import LabelFilter, ProposedLabels


class RunningQuantile(LabelFilter):
    """Keep the best fraction `keep` of the recent labels, whatever their confidence.

    A fixed threshold keeps nothing while the teacher's confidence is low, and everything once it is high. A quantile
    keeps the same fraction throughout. The memory has the labels of all processes and is saved in the checkpoint.

    Args:
        keep: fraction of the labels that is kept, in (0, 1].
        memory: number of recent labels that the quantile is taken of.
        least: labels below this confidence are never kept.

    Example:
        >>> filter = RunningQuantile(keep=0.5, memory=4)
        >>> labels = ProposedLabels(torch.zeros(4, 4), torch.zeros(4, 4), torch.tensor([0.1, 0.2, 0.3, 0.4]))
        >>> filter(labels, None, None)
        tensor([False, False,  True,  True])
    """

    recent: Tensor

    def __init__(self, keep: float = 0.5, memory: int = 1024, least: float = 0.0) -> None:
        super().__init__()
        self.keep = keep
        self.least = least
        self.register_buffer("recent", torch.full((memory,), torch.nan))  # NaN: not filled yet

    def forward(self, labels: ProposedLabels, batch: UnlabelledInstances, network: TrackerNetwork) -> Tensor:
        confidence = labels.confidence
        new = _of_all_processes(confidence.detach().float())[-len(self.recent) :]
        self.recent.copy_(torch.cat([self.recent[len(new) :], new]))
        # "higher" returns a value of the memory: an interpolated bound could drop a label that equals it, by rounding
        bound = torch.nanquantile(self.recent, 1 - self.keep, interpolation="higher")
        return (confidence >= bound) & (confidence >= self.least)


def _of_all_processes(values: Tensor) -> Tensor:
    """Return the values of all processes, in the order of their ranks."""
    if not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1:
        return values
    gathered = [torch.empty_like(values) for _ in range(dist.get_world_size())]
    dist.all_gather(gathered, values.contiguous())
    return torch.cat(gathered)
