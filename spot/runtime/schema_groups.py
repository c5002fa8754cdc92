"""The groups of options: their types and ranges, and whether they may change when a run is continued.

`spot.runtime.schema` puts them together into commands and says how to read them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from spot.runtime.value_types import Count, Fraction, Free, Name, NonNegative, Positive, Range

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
