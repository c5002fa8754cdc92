"""The options of every command: their types and ranges, and whether they may change when a run is continued.

Values and explanations are in `conf/`; this file has only types, so each value has one home. A new option needs a line
here. `extra` says which other keys a group may have: none, components (nodes with `_target_`, checked by
`spot.runtime.checking` against the constructor's annotations), or any (settings of one architecture or data set).

`Free` marks options that do not change the weights. A continued run refuses another value of any other option.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from spot.runtime.value_types import Count, Fraction, Free, Name, Names, NonNegative, Positive, Range

NOTHING, COMPONENTS, ANY = "nothing", "components", "any"

Protocol = Literal["pysot", "pysot_original", "pytracking", "stark", "got10k"]
Backend = Literal["auto", "torch", "onnxruntime", "openvino"]
Model = Literal["teacher", "student"]
Seed = Annotated[int, Range(0, 2**32 - 1)]
Precision = Literal["auto", "32-true", "16-mixed", "bf16-mixed"]


@dataclass
class Component:
    """A node with `_target_`; the constructor's annotations are its schema."""

    extra: ClassVar[str] = ANY


@dataclass
class Paths:
    """Every path is a text or null."""

    extra: ClassVar[str] = ANY
    outputs: Path
    labels: Path
    results: Path
    reports: Path


@dataclass
class Crops:
    template_factor: Annotated[float, Range(0.5)]
    search_factor: Annotated[float, Range(0.5)]
    center_jitter: NonNegative
    scale_jitter: NonNegative
    rule: Literal["context", "area"]


@dataclass
class ArchTeacher:
    threshold: Fraction
    window: Fraction


@dataclass
class Arch:
    extra: ClassVar[str] = ANY
    name: Name
    network: Component
    loss: Component
    tracker: Annotated[Component, Free()]  # of testing
    recipe: Component
    crops: Crops
    teacher: ArchTeacher
    epochs: Positive
    burn_in: Count
    steps: Positive


@dataclass
class Data:
    extra: ClassVar[str] = ANY
    name: Name
    train: list[Any]
    key_frames: list[str] | None


@dataclass
class Benchmark:
    extra: ClassVar[str] = ANY
    name: Name
    protocol: Protocol | None
    result_format: str
    annotations: Path | None
    videos: Component


@dataclass
class Supervision:
    extra: ClassVar[str] = ANY
    name: Name


@dataclass
class Training:
    epochs: Positive
    burn_in: Count
    steps: Positive
    labelled: Positive
    unlabelled: Positive
    skip_limit: Annotated[Positive, Free()]
    distinct: bool


@dataclass
class Teacher:
    threshold: Fraction
    window: Fraction
    decay: Fraction
    ema_interval: Count


@dataclass
class Exploration:
    step: Count
    relay_template: bool


@dataclass
class Augment:
    brightness: Fraction
    grey: Fraction
    flip: Fraction
    angle: Annotated[int, Range(0, 180)]
    half_turn: Fraction
    strong: bool


@dataclass
class Loader:
    workers: Annotated[Count, Free()]
    decode: Literal["fast", "exact"]
    max_broken_fraction: Annotated[Fraction, Free()]


@dataclass
class State:
    snapshot_every: Annotated[Count, Free()]


@dataclass
class Monitor:
    validation_every: Positive
    validation_videos: Positive | None
    pictures_every: Count
    pictures: Count


@dataclass
class Checkpoint:
    every: Positive
    resume_every: Positive


@dataclass
class Callbacks:
    """Callbacks. Those that only observe or write files are free; the others change the training."""

    extra: ClassVar[str] = COMPONENTS
    throughput: Annotated[Component | None, Free()]
    progress: Annotated[Component | None, Free()]
    monitoring: Annotated[Component | None, Free()]
    pictures: Annotated[Component | None, Free()]
    model_summary: Annotated[Component | None, Free()]
    validation: Annotated[Component | None, Free()]
    kept_checkpoints: Annotated[Component | None, Free()]
    resume_point: Annotated[Component | None, Free()]


@dataclass
class Trainer:
    """Lightning's trainer. Precision, gradient settings and all keys not named here change the weights."""

    extra: ClassVar[str] = ANY
    accelerator: Annotated[str, Free()]
    devices: Annotated[Any, Free()]
    num_nodes: Annotated[Positive, Free()]
    strategy: Annotated[Any, Free()]
    max_epochs: Positive
    precision: Precision
    log_every_n_steps: Annotated[Count, Free()]
    enable_model_summary: Annotated[bool, Free()]
    enable_checkpointing: Annotated[bool, Free()]
    profiler: Annotated[Any, Free()]
    sync_batchnorm: bool
    benchmark: Annotated[bool | None, Free()]
    detect_anomaly: Annotated[bool, Free()]
    use_distributed_sampler: Annotated[bool, Free()]


@dataclass
class Train:
    """`conf/train.yaml`."""

    extra: ClassVar[str] = COMPONENTS
    paths: Annotated[Paths, Free()]
    arch: Arch
    data: Data
    supervision: Supervision
    trainer: Trainer
    logger: Annotated[Component | None, Free()]
    labels: Positive
    seed: Seed
    run: Annotated[Name, Free()]
    sweep: Annotated[Name | None, Free()]
    resume: Annotated[Literal["auto", "never", "anyway"], Free()]
    initial: str | None
    compile: Annotated[bool, Free()]
    training: Training
    teacher: Teacher
    exploration: Exploration
    augment: Augment
    loader: Loader
    state: State
    validation: Annotated[str | None, Free()]
    monitor: Annotated[Monitor, Free()]
    callbacks: Callbacks
    checkpoint: Annotated[Checkpoint, Free()]


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
    precision: Precision
    backend: Backend


@dataclass
class Evaluation:
    """Options that `spot.evaluate` and `spot.onekey evaluation.` share."""

    extra: ClassVar[str] = ANY
    protocol: Protocol | None
    bootstrap: Count
    missing: Literal["stop", "skip"]


@dataclass
class Onekey(Train):
    """`conf/onekey.yaml`."""

    stages: Annotated[list[Literal["train", "test", "evaluate"]], Free()]
    start_epoch: Annotated[Positive | None, Free()]
    end_epoch: Annotated[Positive | None, Free()]
    interval: Annotated[Positive | None, Free()]
    model: Annotated[Model | None, Free()]
    benchmark: Annotated[Benchmark, Free()]
    testing: Annotated[Testing, Free()]
    evaluation: Annotated[Evaluation, Free()]


@dataclass
class Test(Testing):
    """`conf/test.yaml`."""

    extra: ClassVar[str] = COMPONENTS
    paths: Paths
    arch: Arch
    benchmark: Benchmark
    checkpoint: Path | None
    run: Name | None
    sweep: Name | None
    epoch: Positive | None
    model: Model | None


@dataclass
class Evaluate(Evaluation):
    """`conf/evaluate.yaml`."""

    extra: ClassVar[str] = COMPONENTS
    paths: Paths
    benchmark: Benchmark
    logger: Component | None
    trackers: Names | None
    sweep: Path | None
    results: Path
    output: Path
    exclude_invalid: bool
    bounds: str | None
    per_video: bool
    attributes: bool
    compare: Names | None
    seed: Seed
    worst: Count
    plots: bool
    report: bool
    pack: bool


@dataclass
class Sample:
    """`conf/sample.yaml`."""

    extra: ClassVar[str] = COMPONENTS
    paths: Paths
    data: Data
    labels: Positive
    seed: Seed
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

    extra: ClassVar[str] = COMPONENTS
    paths: Paths
    data: Data
    frames: Path | None
    labels: Positive
    seed: Seed
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
    model: Model | None
    accelerator: Literal["auto", "cpu", "gpu", "mps"]
    backend: Backend


@dataclass
class Annotate(Network):
    """`conf/annotate.yaml`."""

    extra: ClassVar[str] = COMPONENTS
    paths: Paths
    arch: Arch
    data: Data
    output: Path
    state: bool
    labels: Positive
    seed: Seed
    suggest: Positive | None
    export: Names | None
    review: bool
    overlay: bool
    batch: Positive


@dataclass
class Track(Network):
    """`conf/track.yaml`."""

    extra: ClassVar[str] = COMPONENTS
    paths: Paths
    arch: Arch
    video: Path | None
    box: list[float] | None
    start: Count
    output: Path
    overlay: bool


@dataclass
class Check:
    """`conf/check.yaml`."""

    extra: ClassVar[str] = COMPONENTS
    paths: Paths
    data: Data | None
    benchmark: Benchmark | None
    run: Name | None
    quick: bool
    workers: Positive | None


@dataclass
class Convert:
    """`conf/convert.yaml`."""

    extra: ClassVar[str] = COMPONENTS
    paths: Paths
    arch: Arch
    data: Data | None
    source: Path | list[Path] | None
    target: Path | None
    kind: Literal["native", "safetensors", "published", "backbone", "onnx", "state"] | None
    model: Model | None
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
