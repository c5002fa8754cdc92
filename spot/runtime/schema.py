"""The options of every command: their types and ranges, and whether they may change when a run is continued.

Values and explanations are in `conf/`; this file has only types, so each value has one home. A new option needs a line
here. `extra` says which other keys a group may have: none, components (nodes with `_target_`, checked by
`spot.runtime.checking` against the constructor's annotations), or any (settings of one architecture or data set).

`Free` marks options that do not change the weights. A continued run refuses another value of any other option.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from spot.runtime import schema_groups as groups
from spot.runtime.value_types import Count, Fraction, Free, Name, Names, Positive, Range


@dataclass
class Train:
    """`conf/train.yaml`."""

    extra: ClassVar[str] = groups.COMPONENTS
    paths: Annotated[groups.Paths, Free()]
    arch: groups.Arch
    data: groups.Data
    supervision: groups.Supervision
    trainer: groups.Trainer
    logger: Annotated[groups.Component | None, Free()]
    labels: Positive
    seed: groups.Seed
    run: Annotated[Name, Free()]
    sweep: Annotated[Name | None, Free()]
    resume: Annotated[Literal["auto", "never", "anyway"], Free()]
    initial: str | None
    compile: Annotated[bool, Free()]
    training: groups.Training
    teacher: groups.Teacher
    exploration: groups.Exploration
    augment: groups.Augment
    loader: groups.Loader
    state: groups.State
    validation: Annotated[str | None, Free()]
    monitor: Annotated[groups.Monitor, Free()]
    callbacks: groups.Callbacks
    checkpoint: Annotated[groups.Checkpoint, Free()]


@dataclass
class Testing:
    """Options that `spot.test` and `spot.onekey testing.` share."""

    tracker: Name | None
    videos: Positive | Names | None
    overwrite: bool
    batch: Positive
    corrupt_fraction: Fraction
    speed: bool
    accelerator: str
    devices: Positive | Literal["auto"]
    num_nodes: Positive
    precision: groups.Precision
    backend: groups.Backend


@dataclass
class Evaluation:
    """Options that `spot.evaluate` and `spot.onekey evaluation.` share."""

    extra: ClassVar[str] = groups.ANY
    protocol: groups.Protocol | None
    bootstrap: Count
    missing: Literal["stop", "skip"]


@dataclass
class Onekey(Train):
    """`conf/onekey.yaml`."""

    stages: Annotated[list[Literal["train", "test", "evaluate"]], Free()]
    start_epoch: Annotated[Positive | None, Free()]
    end_epoch: Annotated[Positive | None, Free()]
    interval: Annotated[Positive | None, Free()]
    model: Annotated[groups.Model | None, Free()]
    benchmark: Annotated[groups.Benchmark, Free()]
    testing: Annotated[Testing, Free()]
    evaluation: Annotated[Evaluation, Free()]


@dataclass
class Test(Testing):
    """`conf/test.yaml`."""

    extra: ClassVar[str] = groups.COMPONENTS
    paths: groups.Paths
    arch: groups.Arch
    benchmark: groups.Benchmark
    checkpoint: Path | None
    run: Name | None
    sweep: Name | None
    epoch: Positive | None
    model: groups.Model | None


@dataclass
class Evaluate(Evaluation):
    """`conf/evaluate.yaml`."""

    extra: ClassVar[str] = groups.COMPONENTS
    paths: groups.Paths
    benchmark: groups.Benchmark
    logger: groups.Component | None
    trackers: Names | None
    sweep: Path | None
    results: Path
    output: Path
    exclude_invalid: bool
    bounds: Literal["frame", "polygons", "none"] | None
    per_video: bool
    attributes: bool
    compare: Names | None
    seed: groups.Seed
    worst: Count
    plots: bool
    report: bool
    pack: bool


@dataclass
class Sample:
    """`conf/sample.yaml`."""

    extra: ClassVar[str] = groups.COMPONENTS
    paths: groups.Paths
    data: groups.Data
    labels: Positive
    seed: groups.Seed
    split: str | None
    strategy: Literal["windows", "uniform", "first"]
    budget: Positive | None
    human_only: bool | None
    targets: Positive
    merge: bool
    output: Path
    overwrite: bool


@dataclass
class Label:
    """`conf/label.yaml`."""

    extra: ClassVar[str] = groups.COMPONENTS
    paths: groups.Paths
    data: groups.Data
    frames: Path | None
    labels: Positive
    seed: groups.Seed
    at: str | None
    port: Annotated[int, Range(0, 65535)]
    browser: bool
    export: str | None
    import_: Path | None
    names: dict[str, int] | None
    format: str | None
    output: Path | None


@dataclass
class Network:
    """Options that choose a trained network."""

    run: Name | None
    checkpoint: Path | None
    initial: str | None
    epoch: Positive | None
    model: groups.Model | None
    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    backend: groups.Backend


@dataclass
class Annotate(Network):
    """`conf/annotate.yaml`."""

    extra: ClassVar[str] = groups.COMPONENTS
    paths: groups.Paths
    arch: groups.Arch
    data: groups.Data
    output: Path
    state: bool
    labels: Positive
    seed: groups.Seed
    suggest: Positive | None
    export: Names | None
    review: bool
    overlay: bool
    mirror: bool | None
    batch: Positive


@dataclass
class Track(Network):
    """`conf/track.yaml`."""

    extra: ClassVar[str] = groups.COMPONENTS
    paths: groups.Paths
    arch: groups.Arch
    video: Path | None
    box: list[float] | None
    start: Count
    output: Path
    overlay: bool


@dataclass
class Check:
    """`conf/check.yaml`."""

    extra: ClassVar[str] = groups.COMPONENTS
    paths: groups.Paths
    data: groups.Data | None
    benchmark: groups.Benchmark | None
    run: Name | None
    quick: bool
    workers: Positive | None


@dataclass
class Convert:
    """`conf/convert.yaml`."""

    extra: ClassVar[str] = groups.COMPONENTS
    paths: groups.Paths
    arch: groups.Arch
    data: groups.Data | None
    source: Path | list[Path] | None
    target: Path | None
    kind: Literal["native", "safetensors", "published", "backbone", "onnx", "state"] | None
    model: groups.Model | None
    epoch: Count | None
    overwrite: bool
    allow_pickle: bool


SCHEMAS: dict[str, type] = {
    "train": Train,
    "onekey": Onekey,
    "test": Test,
    "evaluate": Evaluate,
    "sample": Sample,
    "label": Label,
    "annotate": Annotate,
    "track": Track,
    "check": Check,
    "convert": Convert,
}
