"""What happens to the words of a command line before Hydra reads them, and what Hydra's errors become."""

import pytest

from spot.runtime.command_line import prepare
from spot.runtime.errors import SpotError
from spot.runtime.hydra_messages import explain
from tests.training.configs import composed


@pytest.mark.parametrize("name", ["42", "1_1_1", "1e5", "nan", "true", "a=b", "a b"])
def test_a_name_is_a_name(name):
    assert composed("train", *prepare("train", [f"run={name}"])).run == name


@pytest.mark.parametrize(
    ("command", "word", "key", "value"),
    [
        ("train", "sweep=7", "sweep", "7"),
        ("train", "sweep=null", "sweep", None),
        ("train", "labels=3", "labels", 3),
        ("test", "videos=[1,2]", "videos", ["1", "2"]),
        ("test", "videos=3", "videos", 3),
        ("test", "tracker=12", "tracker", "12"),
        ("evaluate", "trackers=[12]", "trackers", ["12"]),
        ("evaluate", "trackers=12", "trackers", "12"),
        ("evaluate", "'trackers=[sp_*]'".strip("'"), "trackers", ["sp_*"]),
        ("train", "data.key_frames=x.json", "data.key_frames", "x.json"),
        ("train", "teacher.every=3", "teacher.ema_interval", 3),
    ],
)
def test_values_are_what_the_option_takes(command, word, key, value):
    cfg = composed(command, *prepare(command, [word]))
    for part in key.split("."):
        cfg = cfg[part]
    assert cfg == value


def test_old_choices_work():
    assert prepare("train", ["supervision=sparse,full"]) == ["supervision=key_frames_only,full"]
    assert prepare("train", ["logger=null"]) == ["logger=csv"]  # metrics.csv is written in any case


def test_words_are_prepared_once():
    """Further processes of a run get the prepared words again."""
    words = ["run=1e5", "-m", "--config-dir=conf", "hydra.job.name=3"]
    assert prepare("train", prepare("train", words)) == prepare("train", words)


def test_an_old_name_works_with_a_notice(capsys):
    assert prepare("test", ["corrupt_share=0.1"]) == ["corrupt_fraction=0.1"]
    assert prepare("train", ["labels=3", "supervision=spot"]) == ["labels=3", "supervision=spot"]
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "word", ["trainer.max_epochs=9", "hydra.mode=MULTIRUN", "hydra.run.dir=x", "hydra.sweeper.params.labels=2"]
)
def test_options_with_another_home_are_refused(word):
    with pytest.raises(SpotError, match=word.split("=", maxsplit=1)[0]):
        prepare("train", [word])


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("labls=3", "unknown option labls; did you mean labels"),
        ("arch=trnst", "arch=trnst does not exist; choose from: "),
        ("labels=2,3", "labels=...: several values are a sweep: add -m"),
        ("labels=(3", "labels=(3: quote the value"),
        ("run='a", "run='a: quote the value"),
        ("run=a b(c", "run=a b(c: quote the value"),
        ("foo", "foo: options are written key=value"),
        ("+labels=3", "labels exists already; leave out the +"),
        ("~foo", "~foo: there is no such option"),
        ("arch=[a,b]", "arch/b does not exist"),
        ("data.key_frames.x=1", "unknown option data.key_frames.x"),
    ],
)
def test_errors_of_hydra_are_one_line(word, line):
    with pytest.raises(Exception) as error:  # noqa: PT011
        composed("train", *prepare("train", [word]))
    said = explain(error.value, "train")
    assert line in said
    assert "\n" not in said


def test_processes_that_lightning_starts_may_name_hydras_folder(monkeypatch):
    """Lightning's launcher gives its processes hydra.run.dir; users may not."""
    with pytest.raises(SpotError, match="outputs go to"):
        prepare("train", ['hydra.run.dir="."'])
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert prepare("train", ['hydra.run.dir="."']) == ['hydra.run.dir="."']
