"""Hide what Lightning and torch say about settings that are intended; several processes are as quiet as one."""

from __future__ import annotations

import logging
import warnings

from spot.runtime.ranks import is_first_process

_MEANT = (
    ".*module\\(s\\) in eval mode at the start of training.*",  # the teacher
    ".*is smaller than the logging interval.*",  # metrics are logged by the epoch
    ".*does not have many workers.*",
    ".*It is recommended to use .self.log.*sync_dist.*",  # of what only the first process logs
    ".*treespec, LeafSpec.*",
    ".*Checkpoint directory .* exists and is not empty.*",  # a continued run
    ".*torch.distributed.nn.functional.all_gather is deprecated.*",  # Lightning calls it
    ".*lr_scheduler.step\\(\\). before .optimizer.step\\(\\).*",  # the first step may be skipped whole
)


def quieten() -> None:
    """Hide the warnings above; all others are shown. Processes but the first say nothing but warnings."""
    for text in _MEANT:
        warnings.filterwarnings("ignore", message=text)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
    if not is_first_process():
        logging.getLogger().setLevel(logging.WARNING)
