"""The schema: every configuration passes it, and wrong types, ranges and names are one line."""

import pytest
from omegaconf import OmegaConf

from spot.runtime.checking import check_components, check_settings, fields_of, is_free
from spot.runtime.composing import config_folder
from spot.runtime.errors import SpotError
from spot.runtime.schema import SCHEMAS, Onekey, Train
from tests.training.configs import composed

EXPERIMENTS = sorted(file.stem for file in (config_folder() / "experiment").glob("*.yaml"))


def check(command: str, *options: str) -> None:
    cfg = composed(command, *options)
    check_settings(cfg, SCHEMAS[command])
    check_components(cfg)


@pytest.mark.parametrize("command", SCHEMAS)
def test_every_command_passes_its_schema(command):
    check(command)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_passes_the_schema(experiment):
    check("train", f"experiment={experiment}")


@pytest.mark.parametrize("group", ["arch", "data", "supervision", "logger"])
def test_every_choice_passes_the_schema(group):
    for file in (config_folder() / group).glob("*.yaml"):
        check("train", f"{group}={file.stem}")


def test_convert_takes_several_sources_and_every_kind():
    from spot.convert import KINDS

    check("convert", "source=[backbone.onnx,head.onnx]", "target=nano.pt")
    for kind in KINDS:
        check("convert", "source=a.pt", "target=b", f"kind={kind}")


def test_every_key_of_train_yaml_has_a_type():
    cfg = composed("train", "experiment=smoke")
    untyped = [key for key in cfg if key not in fields_of(Train) and not OmegaConf.is_config(cfg[key])]
    assert not untyped


@pytest.mark.parametrize(
    ("options", "line"),
    [
        (("teacher.threshold=abc",), "teacher.threshold=abc: give a number from 0 to 1"),
        (("teacher.threshold=2",), "teacher.threshold=2: give a number from 0 to 1"),
        (("labels=true",), "labels=true: give a whole number of at least 1"),
        (("training.steps=0",), "training.steps=0: give a whole number of at least 1"),
        (("labels=2.5",), "labels=2.5: give a whole number of at least 1"),
        (("labels=null",), "labels=null: give a whole number of at least 1"),
        (("seed=-1",), "seed=-1: give a whole number from 0 to 4294967295"),
        (("run=../x",), "run=../x: give a name"),
        (("run=''",), "run=: give a name"),
        (("resume=maybe",), "resume=maybe: give auto, never or anyway"),
        (("training=3",), "training=3"),
        (("+training.stepz=3",), "unknown option training.stepz; did you mean training.steps?"),
        (("+labls=3",), "unknown option labls; did you mean labels?"),
        (("arch.recipe.lr=abc",), "arch.recipe.lr=abc: give a number"),
        (("arch.network.heads=2.5",), "arch.network.heads=2.5: give a whole number"),
        (("+arch.network.hed=2",), "unknown option arch.network.hed; did you mean arch.network.heads?"),
        (("trainer.precision=64-true",), "trainer.precision=64-true: give"),
        (("+trainer.benchmark=3",), "trainer.benchmark=3: give true or false, or null"),
        (("arch.network._target_=spot.nothing.X",), "arch.network._target_=spot.nothing.X: cannot be found"),
    ],
)
def test_wrong_settings_are_one_line(options, line):
    with pytest.raises(SpotError) as error:
        check("train", *options)
    assert str(error.value).startswith(line)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("option", ["missing=ignore", "bounds=image", "bootstrap=-1", "worst=-1"])
def test_wrong_settings_of_an_evaluation_are_one_line(option):
    with pytest.raises(SpotError, match=f"^{option}: give"):
        check("evaluate", option)


def test_a_single_word_is_a_list_of_one():
    cfg = composed("onekey", "stages=test", "testing.videos=car")
    check_settings(cfg, Onekey)
    assert cfg.stages == ["test"]
    assert cfg.testing.videos == ["car"]


@pytest.mark.parametrize(
    ("key", "free"),
    [
        ("checkpoint.every", True),
        ("state.snapshot_every", True),
        ("compile", True),
        ("model", True),
        ("start_epoch", True),
        ("loader.workers", True),
        ("arch.tracker.window", True),
        ("trainer.strategy.timeout.seconds", True),
        ("trainer.precision", False),
        ("labels", False),
        ("seed", False),
        ("loader.decode", False),
        ("arch.network.backbone.weights", False),
        ("supervision.name", False),
    ],
)
def test_what_may_change_when_a_run_is_continued(key, free):
    assert is_free(key, Onekey) is free


def test_a_missing_package_of_a_network_is_named_before_any_work(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    cfg = OmegaConf.create({"backbone": {"_target_": "spot.architectures.ostrack.transformer.JointViT"}})
    with pytest.raises(SpotError, match=r"JointViT needs timm; pip install -e \"\.\[timm\]\""):
        check_components(cfg)
