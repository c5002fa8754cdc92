"""Every data set and benchmark that can be chosen opens a tiny set in its own layout."""

import pytest
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from spot.runtime.composing import config_folder
from tests.data import layouts

BENCHMARKS = {
    "lasot": (layouts.write_lasot, "lasot"),
    "lasot_extension": (layouts.write_lasot, "lasot_extension"),
    "got10k_val": (layouts.write_got10k, "got10k"),
    "got10k_test": (layouts.write_got10k, "got10k"),
    "trackingnet": (layouts.write_trackingnet, "trackingnet"),
    "otb100": (layouts.write_otb, "otb"),
    "otb50": (layouts.write_otb, "otb"),
    "otb2013": (layouts.write_otb, "otb"),
    "uav123": (layouts.write_uav, "uav"),
    "uav20l": (layouts.write_uav, "uav"),
    "nfs30": (layouts.write_nfs, "nfs"),
    "nfs240": (layouts.write_nfs, "nfs"),
    "tc128": (layouts.write_tc128, "tc128"),
    "vot2016": (lambda root: layouts.write_vot(root, "VOT2016"), "vot"),
    "vot2018": (lambda root: layouts.write_vot(root, "VOT2018"), "vot"),
    "vot2019": (lambda root: layouts.write_vot(root, "VOT2019"), "vot"),
    "folder": (layouts.write_folder, "folder"),
    "vot2018_lt": (lambda root: layouts.write_vot(root, "VOT2018-LT"), "vot"),
}


def configuration(*options):
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("check", list(options))


def test_every_benchmark_is_tried():
    there = {file.stem for file in (config_folder() / "benchmark").glob("*.yaml")}
    assert there - set(BENCHMARKS) == {"synthetic", "synthetic_val"}


@pytest.mark.parametrize("benchmark", BENCHMARKS)
def test_benchmarks(benchmark, tmp_path):
    write, key = BENCHMARKS[benchmark]
    write(tmp_path)
    cfg = configuration(f"benchmark={benchmark}", f"paths.{key}={tmp_path}", f"paths.outputs={tmp_path / 'outputs'}")
    videos = instantiate(cfg.benchmark.videos)
    assert len(videos) > 0
    assert benchmark == "folder" or cfg.benchmark.name.startswith(videos.name)
    assert cfg.benchmark.result_format in ("plain", "got10k", "vot", "vot_lt")
    assert all(video.visible[0] for video in videos), "trackers start from the first box"


@pytest.mark.parametrize(
    ("data", "write", "key"),
    [
        ("lasot", layouts.write_lasot, "lasot"),
        ("got10k", layouts.write_got10k, "got10k"),
        ("trackingnet", lambda root: layouts.write_trackingnet(root, (0, 1, 2, 3), 1), "trackingnet"),
        ("folder", layouts.write_folder, "folder"),
    ],
)
def test_training_sets(data, write, key, tmp_path):
    write(tmp_path / "set")
    options = (f"data={data}", f"paths.{key}={tmp_path / 'set'}", f"paths.outputs={tmp_path / 'outputs'}")
    cfg = configuration(*options)
    (videos,) = (instantiate(node) for node in cfg.data.train)
    assert len(videos) > 0
    assert cfg.data.name == data
    assert list((tmp_path / "outputs" / "cache").iterdir())
