"""Which changes of a run's settings are refused when it continues, and what a run records."""

import pytest
from omegaconf import DictConfig

from spot.runtime.errors import SpotError
from spot.runtime.run_record import read_record, with_recorded_options, write_record
from spot.training.run import check_settings, open_run
from tests.training.configs import composed


def configuration(folder, command: str, *options: str) -> DictConfig:
    cfg = composed(command, "experiment=smoke", "run=a", *options)
    cfg.paths.outputs = str(folder)
    return cfg


def start(folder, *options: str, recorded: list[str] | None = None) -> None:
    cfg = configuration(folder, "train", *options)
    write_record(folder / "a", cfg, recorded or [], [], 1)


def go_on(folder, *options: str, command: str = "train") -> None:
    open_run(configuration(folder, command, *options))


@pytest.mark.parametrize(
    "option",
    [
        "checkpoint.every=7",
        "state.snapshot_every=0",
        "loader.workers=3",
        "compile=true",
        "trainer=ddp",
        "logger=tensorboard",
        "callbacks=[default,model_summary]",
        "validation=synthetic",
        "paths.labels=/elsewhere",
    ],
)
def test_what_does_not_change_the_weights_may_change(tmp_path, option):
    start(tmp_path)
    go_on(tmp_path, option)


@pytest.mark.parametrize("option", ["model=student", "start_epoch=2", "benchmark=otb100", "testing.batch=2"])
def test_onekey_continues_what_train_began(tmp_path, option):
    start(tmp_path)
    go_on(tmp_path, option, command="onekey")


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("trainer.precision=bf16-mixed", "trainer.precision=32-true then, bf16-mixed now"),
        ("labels=2", "labels=3 then, 2 now"),
        ("training.unlabelled=4", "training.unlabelled=6 then, 4 now"),
        ("callbacks.teacher_average=null", "callbacks.teacher_average"),
        ("loader.decode=exact", "loader.decode=fast then, exact now"),
    ],
)
def test_what_changes_the_weights_is_refused(tmp_path, option, said):
    start(tmp_path)
    with pytest.raises(SpotError, match="another configuration") as error:
        go_on(tmp_path, option)
    assert said in str(error.value)
    go_on(tmp_path, option, "resume=anyway")
    with pytest.raises(SpotError, match="exists in"):
        go_on(tmp_path, "resume=never")


def test_a_run_of_version_0_1_is_refused_in_one_line(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "config.yaml").write_text("labels: 3\nteacher: {every: 5}\n")
    with pytest.raises(SpotError, match=r"SPOT 0.1") as error:
        go_on(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["run=a"], ["experiment=smoke", "labels=2", "run=a"]),
        (["run=a", "checkpoint.every=3"], ["experiment=smoke", "labels=2", "run=a", "checkpoint.every=3"]),
        (["run=a", "labels=5"], ["experiment=smoke", "run=a", "labels=5"]),
        (["run=a", "experiment=smoke"], ["run=a", "experiment=smoke"]),  # the whole command again
        (["run=b"], ["run=b"]),
        (["labels=2"], ["labels=2"]),
    ],
)
def test_run_alone_takes_the_options_that_it_recorded(tmp_path, given, taken):
    start(tmp_path, recorded=["experiment=smoke", "labels=2", "run=a", "benchmark=otb100"])
    place = f"paths.outputs={tmp_path}"
    words = with_recorded_options("train", [*given, place])
    assert [word for word in words if word != place] == taken
    assert with_recorded_options("train", words)[-len(words) :] == words  # as further processes do
    assert with_recorded_options("test", given) == given


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\nb: &b [*a, *a, *a, *a, *a, *a]\nc: [*b, *b, *b, *b, *b, *b]\n"


@pytest.mark.parametrize("text", ["a: [", "- 1", "\x00", BOMB, "a: ${", "{" * 100_000, "x" * 3_000_000])
def test_a_damaged_config_file_is_one_line(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(SpotError, match=r"config\.yaml") as error:
        read_record(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("+trainer.fast_dev_run=true",), "experiment=smoke"),
        (("+trainer.overfit_batches=2",), "train on few videos"),
        (("trainer.max_epochs=9",), "set training.epochs"),
        (("training.burn_in=3",), "no epoch"),
        (("logger=wandb", "logger.mode=online"), "wandb login"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(options, said, monkeypatch, tmp_path):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    with pytest.raises(SpotError, match=said):
        check_settings(composed("train", "experiment=smoke", *options))


def test_a_missing_package_is_one_line(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    for logger in ("wandb", "tensorboard"):
        with pytest.raises(SpotError, match=rf"needs {logger}; pip install"):
            check_settings(composed("train", "experiment=smoke", f"logger={logger}"))
