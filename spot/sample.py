"""python -m spot.sample data=lasot labels=3: draw the frames to label and write the key-frame file.

Of the user's own videos (data=videos), which have no boxes yet, a list of frames for spot.label.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, open_dict

from spot.runtime.command import command
from spot.runtime.errors import SpotError
from spot.runtime.wording import counted

if TYPE_CHECKING:
    from spot.data.video import VideoSet


def sample(cfg: DictConfig) -> list[Path]:
    """Draw key frames for each set of `data=`; nothing is written if any of the files is there already.

    Returns:
        The files written.
    """
    from rich.console import Console
    from rich.progress import track
    from rich.table import Table

    from spot.data.key_frame_sampling import sample_budget, sample_key_frames
    from spot.data.sampling_report import draw_histogram, summarise

    console = Console(stderr=True)
    sets = _open_sets(cfg)
    if any(videos.own_labels is not None for videos in sets):
        return [_list_own(cfg, videos) for videos in sets]
    draw, number = (sample_budget, cfg.budget) if cfg.budget is not None else (sample_key_frames, cfg.labels)
    drawn = []
    for videos in sets:
        progress = lambda each, v=videos: track(each, v.name, len(v), console=console, transient=True)  # noqa: E731
        drawn.append(draw(videos, number, cfg.seed, cfg.strategy, cfg.human_only, progress))
    files = [_file(cfg, key_frames.settings["name"], len(sets)) for key_frames in drawn]
    if not cfg.overwrite and (there := [file for file in files if file.exists()]):
        raise SpotError(f"{there[0]} exists; overwrite=true replaces it, output= writes elsewhere")
    for videos, key_frames, file in zip(sets, drawn, files, strict=True):
        if not key_frames.targets:
            raise SpotError(f"{videos.name}: no video has enough visible frames for labels={cfg.labels}; choose fewer")
        key_frames.write(file)
        draw_histogram(key_frames, videos, file.with_suffix(".png"))
        print(f"wrote {file}")
        table = Table(show_header=False)
        for name, value in summarise(key_frames, videos).items():
            table.add_row(name, f"{value:,}")
        Console().print(table)
    return files


def _list_own(cfg: DictConfig, videos: VideoSet) -> Path:
    """Write the frames of the user's own videos that are to be labelled."""
    from rich.console import Console
    from rich.progress import track

    from spot.data.frames_to_label import choose_frames, list_file, write_frames

    file = Path(cfg.output) if str(cfg.output).endswith(".csv") else list_file(cfg.output, videos.name)
    if not cfg.overwrite and file.exists():
        raise SpotError(f"{file} exists; overwrite=true replaces it, output= writes elsewhere")
    if videos.own_labels is None or cfg.budget is not None or cfg.split is not None:
        raise SpotError("data=videos takes labels=, strategy=, targets= and seed=; leave out budget= and split=")
    show = Console(stderr=True)
    frames = choose_frames(
        videos,
        cfg.labels,
        cfg.seed,
        cfg.strategy,
        cfg.targets,
        lambda each: track(each, "choosing frames", len(videos), console=show, transient=True),
    )
    write_frames(file, frames)
    known = f"; {counted(len(videos.own_labels), 'label')} exist already" if len(videos.own_labels) else ""
    print(f"wrote {file}: {counted(len(frames), 'frame')} to label in {counted(len(videos), 'video')}{known}")
    place = f"paths.videos={cfg.data.train[0].get('root')}"
    print(f"next: {shlex.join(['python', '-m', 'spot.label', 'data=videos', place])}")
    return file


def _open_sets(cfg: DictConfig) -> list[VideoSet]:
    from hydra.utils import instantiate

    nodes = list(cfg.data.train)
    if cfg.split is not None and not any(node._target_.endswith("videos.load") for node in nodes):
        if len(nodes) > 1:
            raise SpotError(f"split={cfg.split}: data={cfg.data.name} has {len(nodes)} sets; choose one of them")
        with open_dict(nodes[0]):
            nodes[0].split = cfg.split
    opened = []
    for node in nodes:
        videos = instantiate(node)
        if cfg.merge or len(videos.parts) < 2:
            opened.append(videos)
        else:
            opened += [instantiate(node, split=part) for part in videos.parts]
    return opened


def _file(cfg: DictConfig, stem: str, sets: int) -> Path:
    """Return the path of a set's file: `output` is a folder, or for a single set a file."""
    output = Path(cfg.output)
    if output.suffix == ".json":
        if sets > 1:
            raise SpotError(f"output={output}: {sets} files are to be written; give a folder")
        return output
    return output / f"{stem}.json"


@command("sample")
def main(cfg: DictConfig) -> None:
    sample(cfg)


if __name__ == "__main__":
    main()
