"""The benchmarks compare like with like, and their table says so."""

import numpy as np
import pytest


@pytest.mark.parametrize("arch", ["transt_tiny", "ocean_tiny"])
def test_the_plain_tracker_gives_our_boxes(arch):
    """The comparison inside the script, on a small network; a frame that the target leaves is among them."""
    import bench_tracker

    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (90, 160, 3), np.uint8) for _ in range(4)]
    figures = bench_tracker.bench_single(arch, frames, np.array([2.0, 3.0, 30.0, 24.0]), ("torch",))
    assert figures[f"tracker_{arch}_torch"] > 0


def test_the_table_says_what_is_reached():
    import run_all as bench

    table = bench.tabulate(
        {"step": {"ema": 7.0, "unknown": 1.0}, "startup": {"train_help_s": 4.0}, "data": {"augment_ms": 2.0}}
    )
    what, figures, reached = (list(table.columns[i].cells) for i in (1, 3, 5))
    assert dict(zip(what, zip(figures, reached, strict=True), strict=True)) == {
        "the teacher's average": ("7.00", "yes"),
        "spot.train --help, seconds": ("4.00", "no"),
        "augmentation of a step by kornia, milliseconds": ("2.00", ""),
    }


@pytest.mark.parametrize(
    "power", [pytest.param(0, id="flat"), pytest.param(1, id="linear"), pytest.param(2, id="quadratic")]
)
def test_the_exponent_of_growth(power):
    import bench_growth

    sizes = [10, 100, 1000]
    assert bench_growth.exponent(sizes, [3.0 * size**power for size in sizes]) == pytest.approx(power)


def test_the_gpu_table_goes_between_the_marks(tmp_path):
    import bench_gpu

    step = {"arch": "transt", "precision": "bf16", "compiled": True, "ms": 81.2, "gib": 4.0, "synchronisations": 0}
    figures = {"device": "X", "torch": "2", "commit": "c", "workers": 8, "loader_instances_per_second": 900.0}
    text = bench_gpu.table({**figures, "steps": [step], "trackers": {"transt": {"1": 50.0, "8": 200.0}}})
    assert "| transt | bf16, compiled | 81 ms | 4.0 GiB | 0 |" in text
    page = tmp_path / "speed.md"
    page.write_text("a\n<!-- gpu -->\nold\n<!-- /gpu -->\nb\n")
    bench_gpu.write_between_marks(page, text)
    assert page.read_text() == f"a\n<!-- gpu -->\n{text}\n<!-- /gpu -->\nb\n"
