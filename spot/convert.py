"""python -m spot.convert source=... target=... kind=native: checkpoints, backbones and sampler states, in and out."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig, OmegaConf, open_dict

from spot.runtime.command import command
from spot.runtime.composing import given_options
from spot.runtime.errors import SpotError

if TYPE_CHECKING:
    from spot.architectures.base import TrackerNetwork
    from spot.architectures.hub import HubFile
    from spot.architectures.published import PublishedFormat, Weights


def convert(cfg: DictConfig) -> tuple[Path | HubFile, ...]:
    """Write `source` as `target`, in the form that `kind` names. Both may be files on the hub (`hf:...`).

    Returns:
        The files written; for a sampler state from a published file its folder.
    """
    from spot.architectures.hub import check_upload, on_hub, parse, upload

    if cfg.source is None or cfg.target is None:
        raise SpotError("give source= and target=, each a file or a folder")
    if not on_hub(cfg.target):
        return _convert(cfg, Path(cfg.target).expanduser())
    if cfg.kind == "state":
        raise SpotError(f"target={cfg.target}: the hub takes weights; write a sampler state to a local target=")
    place = parse(cfg.target)
    check_upload(place, cfg.overwrite)
    with tempfile.TemporaryDirectory() as folder:
        return upload(_convert(cfg, Path(folder) / Path(place.file).name), place)


def _convert(cfg: DictConfig, target: Path) -> tuple[Path, ...]:
    from spot.architectures.hub import local_path

    sources = [local_path(each) for each in ([cfg.source] if isinstance(cfg.source, str) else cfg.source)]
    for each in sources:
        if not each.exists():
            raise SpotError(f"source={each}: no such file or folder; check the path")
    kind = cfg.kind or {".onnx": "onnx", ".safetensors": "safetensors"}.get(target.suffix, "native")
    if kind not in KINDS:
        raise SpotError(f"kind={kind}: choose {', '.join(KINDS)}")
    if kind not in ("backbone", "state"):
        sources = _with_settings(cfg, sources)
    written: tuple[Path, ...] = (target,)
    if kind == "onnx":
        from spot.architectures.export import onnx_files

        written = onnx_files(target)
    elif kind == "published":
        from hydra.utils import get_class

        published: PublishedFormat | None = getattr(get_class(cfg.arch.network._target_), "published", None)
        if published is None:
            raise SpotError(f"kind=published: arch={cfg.arch.name} has no published form; choose another kind=")
        written = published.targets(target)
    elif kind in ("backbone", "state") and len(sources) > 1:
        raise SpotError(f"kind={kind} takes one source; only a published form can have several files")
    for place in written:
        if place.exists() and not cfg.overwrite:
            raise SpotError(f"{place} exists; overwrite=true replaces it, target= writes elsewhere")
    KINDS[kind](cfg, sources, target)
    return written


def to_native(cfg: DictConfig, sources: Sequence[Path], target: Path) -> None:
    """Write one network by our names, for `checkpoint=` of the other commands."""
    from spot.architectures.checkpoint import native_content
    from spot.architectures.weight_files import write_file

    _, weights = _read(cfg, sources)
    write_file(target, native_content(weights, cfg.arch.name))


def to_safetensors(cfg: DictConfig, sources: Sequence[Path], target: Path) -> None:
    """Write one network by our names with its settings as a safetensors file, which other programs can read."""
    from spot.architectures.checkpoint import SAFETENSORS, write_safetensors

    if target.suffix != SAFETENSORS:
        raise SpotError(
            f"target={target}: a safetensors file is known by its ending; call it {target.stem}{SAFETENSORS}"
        )
    _, weights = _read(cfg, sources)
    parts = {part: OmegaConf.to_container(cfg.arch[part], resolve=True) for part in ("network", "crops", "tracker")}
    write_safetensors(target, weights, {"name": cfg.arch.name, **parts})


def to_published(cfg: DictConfig, sources: Sequence[Path], target: Path) -> None:
    """Write one network as the published program does."""
    network, weights = _read(cfg, sources)
    assert network.published is not None  # `convert` has looked
    network.published.write(weights, network, target)


def to_onnx(cfg: DictConfig, sources: Sequence[Path], target: Path) -> None:
    """Write template and search network as ONNX files."""
    from spot.architectures.export import export_onnx

    network, weights = _read(cfg, sources)
    network.load_state_dict(weights.tensors, strict=False)
    export_onnx(network, target)


def to_backbone(cfg: DictConfig, sources: Sequence[Path], target: Path) -> None:
    """Write pre-trained weights for `backbone.weights=`, after the architecture's backbone has checked them."""
    from hydra.utils import instantiate

    from spot.architectures.weight_files import write_file

    (source,) = sources
    if "weights" not in cfg.arch.network.get("backbone", {}):
        raise SpotError(f"kind=backbone: that of arch={cfg.arch.name} takes no weights; choose another arch=")
    write_file(target, instantiate(cfg.arch.network.backbone, weights=str(source)).state_dict())


def to_state(cfg: DictConfig, sources: Sequence[Path], target: Path) -> None:
    """Write a sampler state (or a run's) as the published JSON file, or such a file as a sampler state."""
    from hydra.utils import instantiate

    from spot.state.interchange import check_published, read_published, write_published
    from spot.state.store import StateStore

    (source,) = sources
    if source.is_dir():
        run = source / "sampler_state"
        store = StateStore.open(run if run.is_dir() else source)
        write_published(store.at(float("inf") if cfg.epoch is None else cfg.epoch), target)
        return
    if target.exists() and not StateStore.exists(target):
        raise SpotError(f"{target} is not a sampler state; choose a new folder as target=")
    if cfg.get("data") is None:
        raise SpotError("a published state names videos but not their lengths; add data=, the sets it was made with")
    check_published(source)  # before a data set is opened, which can take minutes
    sets = [instantiate(node) for node in cfg.data.train]
    lengths = {name: int(n) for videos in sets for name, n in zip(videos.names, videos.lengths, strict=True)}
    fresh = target.with_name(f".{target.name}.fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    read_published(source, fresh, lengths)
    if StateStore.exists(target):
        shutil.rmtree(target)
    fresh.rename(target)


def _with_settings(cfg: DictConfig, sources: Sequence[Path]) -> list[Path]:
    """Return the sources, the checkpoint for a run's folder; `cfg.arch` takes the settings that the source records."""
    from spot.architectures.checkpoint import find_checkpoint
    from spot.tracking.loading import recorded_arch

    if sources[0].is_dir():
        sources = [find_checkpoint(sources[0], cfg.epoch)]
    elif cfg.epoch is not None:
        raise SpotError(f"epoch={cfg.epoch} chooses among a run's checkpoints; give the run's folder as source=")
    explicit = given_options()
    with open_dict(cfg):
        cfg.arch = recorded_arch(cfg, sources[0], explicit)
    return list(sources)


def _read(cfg: DictConfig, sources: Sequence[Path]) -> tuple[TrackerNetwork, Weights]:
    """Return the architecture, with random weights, and those of the source."""
    from spot.architectures.checkpoint import read_weights
    from spot.tracking.loading import untrained_network

    network = untrained_network(cfg)
    weights = read_weights(sources, network, cfg.model, cfg.arch.name, cfg.allow_pickle)
    if weights.left_out:
        print(f"left out, because they are not plain data: {', '.join(weights.left_out)}")
    return network, weights


KINDS: dict[str, Callable[[DictConfig, Sequence[Path], Path], None]] = {
    "native": to_native,
    "safetensors": to_safetensors,
    "published": to_published,
    "backbone": to_backbone,
    "onnx": to_onnx,
    "state": to_state,
}


@command("convert")
def main(cfg: DictConfig) -> None:
    print(f"wrote {' and '.join(map(str, convert(cfg)))}")


if __name__ == "__main__":
    main()
