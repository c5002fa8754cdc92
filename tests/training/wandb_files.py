"""Read back what an offline run of Weights & Biases wrote: LevelDB log blocks of protocol buffers."""

import json
import struct
from collections.abc import Iterator
from pathlib import Path

from wandb.proto.wandb_internal_pb2 import Record

FILE_HEADER, BLOCK = 7, 32768


def records(file: Path) -> Iterator[Record]:
    """All records of a .wandb file."""
    data, place, parts = file.read_bytes(), FILE_HEADER, b""
    while place + 7 <= len(data):
        if BLOCK - place % BLOCK < 7:  # too little room for a header: padding
            place += BLOCK - place % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", data, place)
        if kind == 0:
            break
        parts += data[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield Record.FromString(parts)
            parts = b""


class Logged:
    """What was logged by the runs under a folder.

    Attributes:
        history: {metric: [values in order]}.
        config: {key: value}.
        run: the run's record: project, run_group, run_id, ...
        exit_codes: of the runs that were finished.
    """

    def __init__(self, folder: Path) -> None:
        self.history: dict[str, list] = {}
        self.config: dict = {}
        self.exit_codes: list[int] = []
        self.files = sorted(folder.glob("wandb/*run-*/*.wandb"))
        for file in self.files:
            for record in records(file):
                kind = record.WhichOneof("record_type")
                if kind == "run":
                    self.run = record.run
                    self._configure(record.run.config)
                elif kind == "config":
                    self._configure(record.config)
                elif kind == "history":
                    for item in record.history.item:
                        name = item.key or "/".join(item.nested_key)
                        self.history.setdefault(name, []).append(json.loads(item.value_json))
                elif kind == "exit":
                    self.exit_codes.append(record.exit.exit_code)

    def _configure(self, config) -> None:
        for item in config.update:
            self.config[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
