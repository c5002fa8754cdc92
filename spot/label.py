"""python -m spot.label data=videos paths.videos=/clips: draw boxes on a local page; import= and export= for other tools."""

from __future__ import annotations

import secrets
import shlex
import webbrowser
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf

from spot.runtime.command import command
from spot.runtime.errors import SpotError
from spot.runtime.extras import how_to_install
from spot.runtime.wording import counted

if TYPE_CHECKING:
    from spot.data.labels import Sizes
    from spot.data.video import VideoSet


def label(cfg: DictConfig) -> Path:
    """Open the label page, or read or write another tool's file.

    Returns:
        The CSV file of labels.
    """
    from hydra.utils import instantiate

    from spot.data.datasets.videos import frame_sizes
    from spot.data.labels import labels_file

    videos = instantiate(cfg.data.train[0])
    file = labels_file(cfg.paths.labels, videos.name)
    if cfg.export is not None and cfg["import"] is not None:
        raise SpotError("give either export= or import=")
    if cfg.export is not None:
        from spot.annotation.label_files import export_labels

        written = export_labels(videos, cfg.export, Path(cfg.output or file.with_name(f"{file.stem}_{cfg.export}")))
        print(f"wrote {written[0]}" + (f" and {counted(len(written) - 1, 'more file')}" if written[1:] else ""))
    elif cfg["import"] is not None:
        from spot.annotation.label_files import import_labels

        new, left_out = import_labels(videos, cfg["import"], cfg.format, file, cfg.names)
        more = f" ({counted(left_out, 'box', 'boxes')} not drawn by a human: left out)" if left_out else ""
        print(f"{counted(len(new), 'label')} from {cfg['import']} -> {file}{more}\nnext: {_next_command(cfg)}")
    else:
        _serve(cfg, videos, frame_sizes(videos), file)
    return file


def _next_command(cfg: DictConfig) -> str:
    """Return the command that learns from the labels: the newest run on these videos goes on with its own options."""
    run = _newest_run(Path(cfg.paths.outputs), cfg.data.train[0].get("root"))
    options = [f"run={run}"] if run else ["experiment=own_videos", f"paths.videos={cfg.paths.videos}", "run=mine"]
    return shlex.join(["python", "-m", "spot.train", *options])


def _newest_run(outputs: Path, videos: str | None) -> str | None:
    """Return the run on a folder of videos that was started last; None if there is none."""
    from spot.runtime.run_record import CONFIG_FILE, read_record

    for file in sorted(outputs.glob(f"*/{CONFIG_FILE}"), key=lambda file: file.stat().st_mtime, reverse=True):
        try:
            record = read_record(file.parent)
        except SpotError:  # a damaged record of another run must not stop labelling
            continue
        if record and OmegaConf.select(record.settings, "data.train[0].root") == videos:
            return file.parent.name
    return None


def _serve(cfg: DictConfig, videos: VideoSet, sizes: Sizes, file: Path) -> None:
    try:
        import uvicorn

        from spot.annotation.label_server import HOST, build_app, open_socket
    except ImportError as error:
        raise SpotError(f"the label page needs {error.name}; {how_to_install('label')}") from None
    from spot.annotation.label_session import LabelSession
    from spot.data.frames_to_label import choose_frames, list_file, read_frames_to_label

    listed = Path(cfg.frames) if cfg.frames else list_file(cfg.paths.labels, videos.name)
    if cfg.frames or listed.is_file():
        chosen = read_frames_to_label(listed, videos)
    else:
        chosen = choose_frames(videos, cfg.labels, cfg.seed)
    first = _place(cfg.at, sizes) if cfg.at else None
    session = LabelSession(videos, sizes, chosen, file)
    opened = open_socket(cfg.port)
    token = secrets.token_urlsafe(16)
    next_command = _next_command(cfg)
    settings = uvicorn.Config("", log_level="error", timeout_graceful_shutdown=1)
    server = uvicorn.Server(settings)

    def finish() -> None:
        server.should_exit = True

    settings.app = build_app(session, token, next_command, finish, first)
    address = f"http://{HOST}:{opened.getsockname()[1]}/?token={token}"
    print(f"label page: {address}\nlabels are written to {file}; Ctrl-C ends", flush=True)
    if cfg.browser:
        webbrowser.open(address)
    try:
        server.run(sockets=[opened])
    except KeyboardInterrupt:
        pass
    finally:
        session.close()
    done, total = session.progress()
    print(f"{done} of {counted(total, 'frame')} labelled: {file}")
    print(f"next: {next_command}" if done == total else "the same command continues")


def _place(at: str, sizes: Sizes) -> tuple[str, int]:
    """Return video and frame of `at=video/frame`. Raise SpotError if there is no such frame."""
    name, _, frame = at.rpartition("/")
    if name not in sizes or not frame.isdecimal() or int(frame) >= sizes[name][0]:
        raise SpotError(f"at={at}: no such frame; give at=VIDEO/FRAME, with frames counted from 0")
    return name, int(frame)


@command("label")
def main(cfg: DictConfig) -> None:
    label(cfg)


if __name__ == "__main__":
    main()
