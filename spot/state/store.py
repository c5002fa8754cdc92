"""The sampler state on disk: versions that share an append-only log of records.

A folder has these files:

    paths.state               names, lengths and key frames of the targets; written once
    VERSION-EPOCH.state       a version: its explored frames and, for each, a row of the record log
    VERSION-EPOCH.keep        marks a version that is not pruned
    records-VERSION.log       boxes and confidences, (r, 5) float32; written rows never change

A commit appends to the log, flushes it, and then switches to the new version by renaming one file. If it is stopped,
the previous version is intact, since it uses only the first rows of the log. A commit starts a new log if the unused
rows exceed a tenth of the used ones; this bounds a version to 32 bytes a frame. It also starts a new log after
version 0, whose log stays small. A log is removed when no version needs it.

Version 0 and the versions marked by `snapshot` are never pruned, so a run can start again or continue from any kept
checkpoint. There is one writer at a time; readers may open and read while it writes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from spot.runtime.atomic_files import remove_partial, sync, whole_folder
from spot.runtime.errors import SpotError
from spot.state.merge import CommitReport, Index, PseudoLabels, make_records, merge
from spot.state.sampler_state import TARGETS_FILE, SamplerState, TargetState, TargetTable, target_arrays
from spot.state.state_files import append_rows, checksum, write_arrays
from spot.state.version_files import (
    cut_log,
    explained,
    first_epoch,
    log_header,
    span,
    verify,
    version_name,
    versions_in,
    write_version,
)

__all__ = ["CommitReport", "PseudoLabels", "SamplerState", "StateStore", "TargetState"]

_EVER = float("inf")


class StateStore:
    """A sampler state and its versions. Each version is valid from the epoch that it was committed for.

    Make one with `create` or `open`. Pickling transfers the folder's name, not the content.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._targets = TargetTable(folder)

    @staticmethod
    def exists(folder: str | Path) -> bool:
        """Return whether the folder has a sampler state."""
        return (Path(folder) / TARGETS_FILE).exists()

    @staticmethod
    def fingerprint(
        names: Sequence[tuple[str, int]],
        lengths: Sequence[int] | np.ndarray,
        key_ids: Sequence[np.ndarray],
        key_boxes: Sequence[np.ndarray],
    ) -> str:
        """Return 32 hexadecimal digits that identify the targets and their key frames; arguments as for `create`."""
        return target_arrays(names, lengths, key_ids, key_boxes)[1]

    @classmethod
    def create(
        cls,
        folder: str | Path,
        names: Sequence[tuple[str, int]],
        lengths: Sequence[int] | np.ndarray,
        key_ids: Sequence[np.ndarray],
        key_boxes: Sequence[np.ndarray],
        explored: PseudoLabels | None = None,
    ) -> StateStore:
        """Make version 0, valid from epoch 0: the key frames, with confidence 1.

        Args:
            folder: must not exist, or be empty. It is written atomically.
            names: video name and number of the target within the video, of each of P targets, unique.
            lengths: frames of each target's video.
            key_ids: (k,) integers, the key frames of each target, sorted, at least one.
            key_boxes: (k, 4) float32 their boxes, xywh in image pixels.
            explored: further explored frames, for example from another program's state.

        Raises:
            SpotError: the folder is not empty or cannot be written, or a target's key frames are unusable.
        """
        folder = Path(folder)
        if folder.exists() and any(folder.iterdir()):
            raise SpotError(f"{folder}: not empty; open the sampler state in it, or choose another folder")
        arrays, fingerprint = target_arrays(names, lengths, key_ids, key_boxes)
        index = Index(arrays["key_bounds"], arrays["key_ids"], np.arange(len(arrays["key_ids"]), dtype=np.int32))
        records = make_records(arrays["key_boxes"], np.ones(len(index.ids)))
        if explored is not None:
            index, added, _ = merge(index, records, arrays["lengths"], index, explored)
            records = np.concatenate([records, added])
        with explained(folder), whole_folder(folder) as partial:
            write_arrays(partial / TARGETS_FILE, {"kind": "paths", "fingerprint": fingerprint}, arrays)
            header = {"parent": "", "fingerprint": fingerprint} | log_header(0, records)
            append_rows(partial / header["log"], records, 0)
            write_version(partial, 0, 0, header, index)
        return cls(folder)

    @classmethod
    def open(cls, folder: str | Path, fingerprint: str | None = None) -> StateStore:
        """Open a sampler state in milliseconds. Check headers and sizes; `verify` checks the content.

        Raises:
            SpotError: the folder has no state, it is damaged, or its targets and key frames are not those of the given
                `fingerprint`.
        """
        store = cls(Path(folder))
        found = store._targets.fingerprint
        if fingerprint is not None and fingerprint != found:
            raise SpotError(
                f"{folder}: belongs to other videos or key frames ({found[:8]}, not {fingerprint[:8]}); "
                "take the labels that it was made with, or another run name"
            )
        store.at(_EVER)
        return store

    @property
    def fingerprint_of_targets(self) -> str:
        """The fingerprint of the state's targets and key frames; see `fingerprint`."""
        return self._targets.fingerprint

    def __reduce__(self) -> tuple:
        return StateStore, (self.folder,)

    def at(self, epoch: float) -> SamplerState:
        """Return the version at an epoch: the newest one committed for it or for an earlier epoch.

        Raises:
            SpotError: no version is that old, or the version's file is damaged.
        """
        while True:
            file = self.folder / self._in_force(epoch)
            try:
                return SamplerState(self._targets, file)
            except SpotError:
                if file.exists():
                    raise  # otherwise a writer has pruned it meanwhile: search again

    def commit(self, results: PseudoLabels, epoch: int) -> CommitReport:
        """Merge the pseudo labels of the previous epoch into a new version, valid from `epoch` on.

        Args:
            results: see `PseudoLabels`; may be empty.
            epoch: greater than that of every version.

        Returns:
            How many results were inserted, replaced a box, or were refused.

        Raises:
            SpotError: the epoch has been committed before, or the disk is full; the state is unchanged.
            ValueError: a result has a target or frame that does not exist, or a number that is not finite.
        """
        remove_partial(self.folder)
        now = self.at(_EVER)
        if epoch <= now.epoch:
            raise SpotError(f"{self.folder}: already at epoch {now.epoch}; roll back before committing epoch {epoch}")
        index, records, report = merge(now.index, now.log, self._targets.lengths, self._targets.keys, results)
        version, kept = now.version + 1, len(now.log)
        header = {"log": now.log_file.name, "log_rows": kept + len(records)}
        header["log_crc32"] = checksum(records, now.log_crc32)
        if now.version == 0 or 10 * (kept + len(records) - len(index.ids)) > len(index.ids):
            records = np.concatenate([now.log, records])[index.records]
            index = index._replace(records=np.arange(len(records), dtype=np.int32))
            kept, header = 0, log_header(version, records)
        header |= {"parent": now.digest, "fingerprint": self._targets.fingerprint}

        log, file = self.folder / header["log"], self.folder / version_name(version, epoch)
        with explained(self.folder):
            try:
                append_rows(log, records, kept)
                write_version(self.folder, version, epoch, header, index)
            except OSError:
                if not file.exists():
                    cut_log(log, kept * records.shape[1] * records.itemsize)
                raise
        return report

    def rollback(self, version: int, digest: str | None = None) -> None:
        """Return to a version and remove later ones. Committing the same results again makes the same files.

        Args:
            version: its number; 0 is the version that `create` made.
            digest: digest of that version from a checkpoint; None without a checkpoint.

        Raises:
            SpotError: the version does not exist, is damaged, or has another digest.
        """
        entries = versions_in(self.folder)
        if version not in entries:
            remedy = "resume from another checkpoint" if version else "remove this folder to start again"
            raise SpotError(f"{self.folder}: has no version {version} (it has {span(entries)}); {remedy}")
        state = SamplerState(self._targets, self.folder / entries[version])
        if digest is not None and state.digest != digest:
            raise SpotError(
                f"{self.folder}: version {version} is {state.digest[:8]}, not {digest[:8]} as the checkpoint says; "
                "resume from the checkpoint of this state"
            )
        verify(state)
        remove_partial(self.folder)
        self._remove([v for v in entries if v > version])

    def snapshot(self, epoch: int) -> None:
        """Mark the version at this epoch, so that it is never pruned."""
        with explained(self.folder):
            (self.folder / self._in_force(epoch)).with_suffix(".keep").touch()
            sync(self.folder)

    def prune(self, keep_from: int | None = None) -> None:
        """Remove versions. Version 0, the newest version and those marked by `snapshot` are kept.

        Args:
            keep_from: versions valid at this epoch or later are kept too.
        """
        entries = versions_in(self.folder)
        stay = {0, max(entries)}
        stay |= {v for v, name in entries.items() if (self.folder / name).with_suffix(".keep").exists()}
        if keep_from is not None:
            epochs = {v: first_epoch(name) for v, name in entries.items()}
            start = max((e for e in epochs.values() if e <= keep_from), default=0)
            stay |= {v for v, e in epochs.items() if e >= start}
        self._remove([v for v in entries if v not in stay])

    def verify(self) -> None:
        """Read and check every byte of every version. Raise SpotError with the name of a damaged file."""
        self._targets.file.verify()
        for name in versions_in(self.folder).values():
            verify(SamplerState(self._targets, self.folder / name))

    def _in_force(self, epoch: float) -> str:
        entries = versions_in(self.folder)
        fitting = [name for name in entries.values() if first_epoch(name) <= epoch]
        if not fitting:
            raise SpotError(f"{self.folder}: has no version for epoch {epoch} (but {span(entries)})")
        return fitting[-1]

    def _remove(self, versions: Collection[int]) -> None:
        """Remove versions, oldest first so that the newest is always there; then remove logs that are not needed."""
        entries = versions_in(self.folder)
        with explained(self.folder):
            for version in sorted(versions):
                file = self.folder / entries.pop(version)
                file.with_suffix(".keep").unlink(missing_ok=True)
                file.unlink()
            needed = {SamplerState(self._targets, self.folder / name).log_file for name in entries.values()}
            for log in set(self.folder.glob("records-*.log")) - needed:
                log.unlink()
            sync(self.folder)
