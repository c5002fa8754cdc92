"""spot.sample from its configuration to key-frame files."""

import json

import pytest
from hydra import compose, initialize_config_dir
from hydra.errors import InstantiationException

from spot.runtime.composing import config_folder
from spot.runtime.errors import SpotError
from spot.sample import sample
from tests.data import layouts
from tests.end_to_end.runs import complaint


def run(tmp_path, *options):
    """Names and contents of the files written."""
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        cfg = compose("sample", [f"paths.outputs={tmp_path / 'outputs'}", *options])
    return {file.name: json.loads(file.read_text()) for file in sample(cfg)}


def test_lasot(tmp_path, capsys):
    layouts.write_lasot(tmp_path / "lasot", frames=60)
    written = run(tmp_path, "data=lasot", f"paths.lasot={tmp_path / 'lasot'}", "labels=2")
    (name,) = written
    assert name == "LaSOT_train_kf_002.json"
    assert set(written[name]["sparse_sample_result"]) == {"LaSOT_bird-2", "LaSOT_airplane-10"}
    assert (tmp_path / "outputs" / "labels" / "LaSOT_train_kf_002.png").is_file()
    shown = capsys.readouterr().out
    assert "videos with 2 boxes" in shown


def test_files_are_not_overwritten(tmp_path):
    layouts.write_folder(tmp_path / "mine", frames=30)
    options = ["data=folder", f"paths.folder={tmp_path / 'mine'}"]
    first = run(tmp_path, *options)
    assert first == run(tmp_path, *options, "overwrite=true"), "the same seed draws the same frames"
    with pytest.raises(SpotError, match=r"mine_kf_003\.json exists; overwrite=true"):
        run(tmp_path, *options, "seed=1")
    assert first == run(tmp_path, *options, "overwrite=true")
    assert first != run(tmp_path, *options, "seed=1", "overwrite=true")


def test_trackingnet_sets_merged_and_single(tmp_path):
    """Both forms of docs/formats.md hold the same frames, and human ones alone."""
    layouts.write_trackingnet(tmp_path / "tn")
    options = ["data=trackingnet", f"paths.trackingnet={tmp_path / 'tn'}", "split=0-1"]
    merged = run(tmp_path, *options)
    single = run(tmp_path, *options, "merge=false")
    assert set(merged) == {"TrackingNet_0-1_kf_003.json"}
    assert set(single) == {"TrackingNet_0_kf_003.json", "TrackingNet_1_kf_003.json"}
    frames = merged["TrackingNet_0-1_kf_003.json"]["sparse_sample_result"]
    assert frames == {n: p for part in single.values() for n, p in part["sparse_sample_result"].items()}
    assert all(i % 30 == 0 for paths in frames.values() for i in paths[0]["f_ids"])
    every = run(tmp_path, *options, "human_only=false", "overwrite=true")
    assert any(
        i % 30 for p in every["TrackingNet_0-1_kf_003.json"]["sparse_sample_result"].values() for i in p[0]["f_ids"]
    )


def test_all_sets_of_the_published_recipe(tmp_path):
    layouts.write_lasot(tmp_path / "lasot", frames=30)
    layouts.write_got10k(tmp_path / "got10k", frames=30)
    layouts.write_trackingnet(tmp_path / "tn", sets=(0, 1, 2, 3), videos=1)
    layouts.write_text(tmp_path / "splits" / "got10k_vot_train_split.txt", "0\n2\n")
    places = {"lasot": "lasot", "got10k": "got10k", "trackingnet": "tn", "splits": "splits"}
    written = run(tmp_path, "data=full", *(f"paths.{key}={tmp_path / place}" for key, place in places.items()))
    assert list(written) == ["LaSOT_train_kf_003.json", "GOT-10k_vottrain_kf_003.json", "TrackingNet_0-3_kf_003.json"]


def test_budget_and_output(tmp_path):
    layouts.write_folder(tmp_path / "mine", ("a", "b", "c"), 30)
    target = tmp_path / "elsewhere" / "few.json"
    written = run(tmp_path, "data=folder", f"paths.folder={tmp_path / 'mine'}", "budget=4", f"output={target}")
    content = written["few.json"]
    assert content["fs_settings"]["budget"] == 4
    assert len(content["sparse_sample_result"]) == 2
    assert target.is_file()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["labels=0"], "labels=0"),
        (["labels=31"], "30 frames"),
        (["strategy=best"], "strategy=best is unknown"),
        (["budget=1"], "budget=1"),
        (["split=other"], "other"),
    ],
)
def test_impossible_requests_end_before_anything_is_written(tmp_path, options, said):
    layouts.write_folder(tmp_path / "mine", frames=30)
    with pytest.raises((SpotError, InstantiationException), match=said):
        run(tmp_path, "data=folder", f"paths.folder={tmp_path / 'mine'}", *options)
    assert not (tmp_path / "outputs" / "labels").exists()


def test_command_line_names_the_missing_data_set(tmp_path):
    line = complaint("sample", "data=lasot", "labels=3", outputs=tmp_path)
    assert line.startswith("error: paths.lasot is not set; give paths.lasot=/folder or set LASOT_ROOT")


def test_own_videos_get_a_list_of_frames(tmp_path, capsys):
    pytest.importorskip("av")
    from tests.data.clips import write_clip

    (tmp_path / "clips").mkdir()
    write_clip(tmp_path / "clips/a.mp4", 20)
    layouts.write_frames(tmp_path / "clips/b", 12)
    options = ["data=videos", f"paths.videos={tmp_path / 'clips'}", f"paths.outputs={tmp_path / 'outputs'}"]

    def list_frames(*more):
        with initialize_config_dir(str(config_folder()), version_base="1.3"):
            (file,) = sample(compose("sample", [*options, *more]))
        return file

    file = list_frames("labels=2", "strategy=diverse", "targets=2")
    assert file == tmp_path / "outputs/labels/clips_to_label.csv"
    assert len(file.read_text().splitlines()) == 1 + 2 * 2 * 2
    assert "8 frames to label in 2 videos" in capsys.readouterr().out
    with pytest.raises(SpotError, match="overwrite=true"):
        list_frames()
    with pytest.raises(SpotError, match="leave out budget="):
        list_frames("budget=9", "overwrite=true")
    (tmp_path / "outputs/labels/clips.csv").write_text("video,frame,x,y,w,h\na,10,1,1,9,9\n")
    assert len(list_frames("labels=2", "overwrite=true").read_text().splitlines()) == 1 + 2 * 2 - 1
    assert (tmp_path / "outputs/labels/clips.csv").read_text().endswith("a,10,1,1,9,9\n")
