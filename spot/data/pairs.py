"""Training instances: labelled pairs and unlabelled instances (docs/method.md section 4).

Both data sets are map-style: an item depends only on (seed, epoch, index), not on the worker. Workers cut uint8 crops
and draw the augmentation. The pixels are augmented later, in batches, on the device.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from torch.utils.data import Dataset

from spot.data.boxes import to_crop
from spot.data.crops import crop, crop_side, jitter_box
from spot.data.images import Decode, Frame, read_frame
from spot.data.instances import Arrays, AugmentSettings, CropSettings, DrawnFrame
from spot.data.targets import Targets
from spot.runtime.errors import SpotError
from spot.state.sampler_state import TargetState
from spot.state.store import SamplerState, StateStore

ATTEMPTS = 20  # redraws of one instance whose frames cannot be read, before the run stops

_Crop = tuple[int, np.ndarray]  # a frame, and the box (4,) that a crop of it is taken around
# Streams keep the draws of the two kinds of instance apart.
_LABELLED, _UNLABELLED = 0, 1


class _Instances(Dataset):
    """Common part of both kinds: seeded draws, and redraws if a frame cannot be read."""

    stream: int

    def __init__(self, targets: Targets, crops: CropSettings, augment: AugmentSettings, seed: int, decode: Decode):
        self.targets = targets
        self.crops = crops
        self.augment = augment
        self.seed = seed
        self.decode: Decode = decode

    def make(self, epoch: int, index: int, build: Callable[[np.random.Generator], Arrays]) -> tuple[Arrays, list[str]]:
        """Return an instance, and the error messages of the failed draws before it."""
        broken: list[str] = []
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng((self.seed, epoch, index, self.stream, attempt))
            try:
                return build(rng), broken
            except SpotError as error:
                broken.append(str(error))
        raise SpotError(
            f"{ATTEMPTS} draws in a row could not be read; check the data with python -m spot.check; the last: {broken[-1]}"
        )

    def template(self, frame: Frame, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Crop of the template and the target's box in it."""
        c = self.crops
        pixels, geometry = crop(frame, box, c.template_factor, c.template_size, rule=c.rule)
        return _channels_first(pixels), to_crop(box, geometry, c.template_size).astype(np.float32)

    def search(self, frame: Frame, box: np.ndarray, around: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        c = self.crops
        pixels, geometry = crop(frame, around, c.search_factor, c.search_size, target=box, rule=c.rule)
        return _channels_first(pixels), geometry

    def jitter(self, box: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return jitter_box(box, rng, self.crops.center_jitter, self.crops.scale_jitter)

    def read(self, target: int, templates: list[_Crop], searches: list[_Crop]) -> dict[int, Frame]:
        """Decode the frames that crops are wanted of, each with the resolution that the finest of its crops needs."""
        c = self.crops
        wanted: dict[int, list[tuple[float, int]]] = {}
        for frame, box in searches:
            wanted.setdefault(frame, []).append((float(crop_side(box, c.search_factor, c.rule)), c.search_size))
        for frame, box in templates:
            wanted.setdefault(frame, []).append((float(crop_side(box, c.template_factor, c.rule)), c.template_size))
        finest = {frame: min(sides, key=lambda s: s[0] / s[1]) for frame, sides in wanted.items()}
        return {f: read_frame(self.targets.frame_path(target, f), self.decode, *side) for f, side in finest.items()}

    def brightness(self, rng: np.random.Generator, images: int) -> np.ndarray:
        spread = self.augment.brightness
        return rng.uniform(1 - spread, 1 + spread, images).astype(np.float32)


class LabelledDataset(_Instances):
    """Labelled pairs: two key frames of one target, drawn independently unless `distinct`."""

    stream = _LABELLED

    def __init__(
        self,
        targets: Targets,
        crops: CropSettings,
        augment: AugmentSettings,
        seed: int,
        decode: Decode = "fast",
        distinct: bool = False,
    ) -> None:
        super().__init__(targets, crops, augment, seed, decode)
        self.distinct = distinct

    def __getitem__(self, key: tuple[int, int]) -> tuple[Arrays, list[str]]:
        """Instance `index` of `epoch`, and complaints about unreadable frames before it."""
        epoch, index = key
        return self.make(epoch, index, self._build)

    def _build(self, rng: np.random.Generator) -> Arrays:
        target = self.targets.draw(rng)
        ids, boxes = self.targets.keys(target)
        a, b = rng.choice(len(ids), 2, replace=not self.distinct)
        around = self.jitter(boxes[b], rng)
        frames = self.read(target, templates=[(ids[a], boxes[a])], searches=[(ids[b], around)])
        search, geometry = self.search(frames[ids[b]], boxes[b], around)
        template, template_box = self.template(frames[ids[a]], boxes[a])
        return {
            "template": template,
            "template_box": template_box,
            "search": search,
            "box": to_crop(boxes[b], geometry, self.crops.search_size).astype(np.float32),
            "brightness": self.brightness(rng, 2),
            "grey": np.array(rng.random() < self.augment.grey),
        }


class UnlabelledDataset(_Instances):
    """Unlabelled instances, drawn from the sampler state of their epoch.

    Args:
        store: the sampler state; every worker opens it by memory map.
        explore: draws an instance of a target; see `spot.supervision.exploration.Exploration`.
        key_search: also make a search crop of the key frame.
    """

    stream = _UNLABELLED

    def __init__(
        self,
        targets: Targets,
        store: StateStore,
        crops: CropSettings,
        augment: AugmentSettings,
        seed: int,
        decode: Decode = "fast",
        *,
        explore: Callable[[TargetState, np.random.Generator], DrawnFrame],
        key_search: bool = False,
    ) -> None:
        super().__init__(targets, crops, augment, seed, decode)
        self.store = store
        self.explore = explore
        self.key_search = key_search
        self._opened: tuple[int, SamplerState] | None = None

    def state(self, epoch: int) -> SamplerState:
        """Return the state of this epoch, opened once per epoch and process."""
        if self._opened is None or self._opened[0] != epoch:
            self._opened = (epoch, self.store.at(epoch))
        return self._opened[1]

    def __getitem__(self, key: tuple[int, int]) -> tuple[Arrays, list[str]]:
        """Instance `index` of `epoch`, and complaints about unreadable frames before it."""
        epoch, index = key
        return self.make(epoch, index, lambda rng: self._build(rng, self.state(epoch), index))

    def _build(self, rng: np.random.Generator, state: SamplerState, number: int) -> Arrays:
        target = self.targets.draw(rng)
        return self.instance(target, self.explore(state.target(target), rng), rng, number)

    def instance(self, target: int, drawn: DrawnFrame, rng: np.random.Generator, number: int) -> Arrays:
        """Cut the crops of a drawn frame of a target and draw their augmentation."""
        box, around = drawn.box, self.jitter(drawn.box, rng)
        frames = self.read(
            target,
            templates=[(drawn.key, drawn.key_box), (drawn.relay, drawn.relay_box)],
            searches=[(drawn.frame, box), (drawn.frame, around)],
        )
        unlabelled = frames[drawn.frame]
        teacher_search, teacher_geometry = self.search(unlabelled, box, box)
        student_search, student_geometry = self.search(unlabelled, box, around)
        settings = self.augment
        key_crop, key_in_crop = self.template(frames[drawn.key], drawn.key_box)
        relay_crop, relay_in_crop = self.template(frames[drawn.relay], drawn.relay_box)
        flip, half_turn, angle = rng.random(), rng.random(), rng.integers(-settings.angle, settings.angle + 1)
        instance = {
            "key": key_crop,
            "key_box": key_in_crop,
            "teacher_search": teacher_search,
            "teacher_geometry": teacher_geometry,
            "relay": relay_crop,
            "relay_box": relay_in_crop,
            "student_search": student_search,
            "student_geometry": student_geometry,
            "image_size": np.array([unlabelled.width, unlabelled.height], np.float32),
            "fill": unlabelled.mean.astype(np.float32),
            "brightness": self.brightness(rng, 4),
            "grey": np.array(rng.random() < settings.grey),
            "flip": np.array(settings.strong and flip < settings.flip),
            "angle": np.float32((angle + 180 * (half_turn < settings.half_turn)) if settings.strong else 0),
            "target_index": np.int64(target),
            "frame": np.int64(drawn.frame),
            "number": np.int64(number),
            "propagated": np.array(drawn.propagated),
        }
        if self.key_search:
            jittered = self.jitter(drawn.key_box, rng)
            pixels, geometry = self.search(frames[drawn.key], drawn.key_box, jittered)
            instance |= {
                "key_search": pixels,
                "key_search_box": to_crop(drawn.key_box, geometry, self.crops.search_size).astype(np.float32),
            }
        return instance


def _channels_first(pixels: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
