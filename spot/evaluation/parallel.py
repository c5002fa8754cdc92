"""A map over processes that inherit what they work on."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def fork_map(function: Callable[[Item], Result], items: Sequence[Item], workers: int | None = None) -> list[Result]:
    """`[function(item) for item in items]`, shared out over forked processes.

    The processes see the memory of this one, so neither the function nor the items are copied; only results are, through
    a pipe. Where forking is not to be had, or not safe because torch with its threads is loaded, this process does it all.

    Args:
        function: called in a child; what it changes there is lost.
        items: the work, roughly even.
        workers: most processes to use; None for one a core.

    Raises:
        Exception: the first that a call raised, in the order of the items.
    """
    workers = min(len(items), workers or os.cpu_count() or 1)
    if workers < 2 or "torch" in sys.modules or "fork" not in multiprocessing.get_all_start_methods():
        return [function(item) for item in items]
    context = multiprocessing.get_context("fork")
    children = []
    for first in range(workers):
        receiver, sender = context.Pipe(duplex=False)
        child = context.Process(target=_work, args=(function, items[first::workers], sender), daemon=True)
        child.start()
        sender.close()
        children.append((child, receiver))
    shares = []
    for child, receiver in children:
        try:
            shares.append(receiver.recv())
        except EOFError:
            shares.append([(False, RuntimeError("a process that evaluates results was killed"))])
        child.join()
    ordered = [shares[i % workers][i // workers] for i in range(len(items)) if i // workers < len(shares[i % workers])]
    for succeeded, outcome in ordered:
        if not succeeded:
            raise outcome
    return [outcome for _, outcome in ordered]


def _work(function: Callable[[Item], Result], items: Sequence[Item], sender: Connection) -> None:
    """Send (succeeded, result or exception) of every item, up to the first that fails."""
    outcomes: list[tuple[bool, object]] = []
    for item in items:
        try:
            outcomes.append((True, function(item)))
        except Exception as error:
            outcomes.append((False, error))
            break
    sender.send(outcomes)
    sender.close()
