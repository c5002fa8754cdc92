"""Hide warnings of Lightning and torch about settings that are intended."""

from __future__ import annotations

import warnings

_MEANT = (
    ".*module\\(s\\) in eval mode at the start of training.*",  # the teacher
    ".*is smaller than the logging interval.*",  # metrics are logged by the epoch
    ".*does not have many workers.*",
    ".*It is recommended to use .self.log.*sync_dist.*",  # of what only the first process logs
    ".*treespec, LeafSpec.*",
    ".*Checkpoint directory .* exists and is not empty.*",  # a continued run
    ".*lr_scheduler.step\\(\\). before .optimizer.step\\(\\).*",  # the first step may be skipped whole
)


def quieten() -> None:
    """Hide the warnings above; all others are shown."""
    for text in _MEANT:
        warnings.filterwarnings("ignore", message=text)
