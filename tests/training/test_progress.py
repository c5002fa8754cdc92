"""What a terminal shows of training, and what a log file gets."""

import io
from types import SimpleNamespace

import pytest
import torch
from rich.console import Console

from spot.training.callbacks import progress
from spot.training.callbacks.progress import EpochBars, EpochLines, training_progress

METRICS = {
    "labelled/loss": 0.5234,
    "pseudo/loss": 0.25,
    "pseudo/kept_fraction": 0.814,
    "explored_fraction": 0.19,
    "speed/samples_per_second": 118.4,
}


@pytest.fixture
def trainer():
    return SimpleNamespace(
        is_global_zero=True,
        current_epoch=0,
        max_epochs=3,
        num_training_batches=4,
        world_size=2,
        callback_metrics={name: torch.tensor(value) for name, value in METRICS.items()},
    )


def run(callback, trainer, epochs):
    batch = SimpleNamespace(instances=8)
    callback.on_train_start(trainer, None)
    for trainer.current_epoch in range(epochs):
        callback.on_train_epoch_start(trainer, None)
        for index in range(trainer.num_training_batches):
            callback.on_train_batch_end(trainer, None, None, batch, index)
        callback.on_train_epoch_end(trainer, None)


def test_a_terminal_sees_steps_speed_and_what_remains(trainer, monkeypatch):
    screen = io.StringIO()
    bars = EpochBars()
    bars._console = Console(file=screen, force_terminal=True, width=100, color_system=None)
    run(bars, trainer, epochs=1)
    assert bars._live is not None
    bars._live.refresh()
    shown = screen.getvalue().replace("\r", "\n")
    assert "epoch 1/3" in shown
    assert "4/4" in shown
    assert "samples/s" in shown
    assert "run ends in 0:00:0" in shown
    bars.on_train_end(trainer, None)
    line = (
        "epoch 1/3  labelled/loss=0.5234  pseudo/loss=0.25  pseudo/kept_fraction=0.814  explored_fraction=0.19  speed/"
    )
    assert line in screen.getvalue()


def test_the_bars_end_with_an_error(trainer):
    bars = EpochBars()
    bars._console = Console(file=io.StringIO(), force_terminal=True)
    run(bars, trainer, epochs=1)
    bars.on_exception(trainer, None, KeyboardInterrupt())
    assert bars._live is None  # or the terminal would lose its cursor


def test_a_log_gets_a_plain_line_an_epoch(trainer, capsys):
    run(EpochLines(), trainer, epochs=3)
    lines = capsys.readouterr().err.splitlines()
    assert [line.split("  ")[0] for line in lines] == ["epoch 1/3", "epoch 2/3"]  # the third comes with the end
    assert "pseudo/kept_fraction=0.814" in lines[0]
    assert "\x1b" not in "".join(lines)


def test_the_other_processes_are_silent(trainer, capsys):
    trainer.is_global_zero = False
    for callback in (EpochLines(), EpochBars()):
        run(callback, trainer, epochs=2)
        callback.on_train_end(trainer, None)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(("terminal", "kind"), [(True, EpochBars), (False, EpochLines)])
def test_bars_are_for_terminals(terminal, kind, monkeypatch):
    monkeypatch.setattr(progress.sys, "stderr", SimpleNamespace(isatty=lambda: terminal))
    assert isinstance(training_progress(), kind)
