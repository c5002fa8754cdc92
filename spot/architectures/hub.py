"""Weights on the Hugging Face hub: a file there is named `hf:OWNER/REPOSITORY/FILE`.

`OWNER/REPOSITORY@REVISION/FILE` takes a branch, tag or commit. huggingface_hub keeps what it downloads in its cache; its
own settings hold (`HF_HOME`, `HF_TOKEN`, `HF_HUB_OFFLINE`).
"""

from __future__ import annotations

import contextlib
import logging
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from spot.runtime.errors import SpotError
from spot.runtime.extras import require
from spot.runtime.ranks import is_first_process

PREFIX = "hf:"


class HubFile(NamedTuple):
    """A file on the hub.

    Attributes:
        repository: owner and name.
        revision: branch, tag or commit; None for the main branch.
        file: its path in the repository.
    """

    repository: str
    revision: str | None
    file: str

    def __str__(self) -> str:
        revision = "" if self.revision is None else f"@{self.revision}"
        return f"{PREFIX}{self.repository}{revision}/{self.file}"


def on_hub(name: str | Path) -> bool:
    """Return whether a name of weights is one of the hub."""
    return str(name).startswith(PREFIX)


def parse(name: str | Path) -> HubFile:
    """Split the name of a file on the hub.

    Raises:
        SpotError: it does not have the form `hf:OWNER/REPOSITORY/FILE`.

    >>> parse("hf:me/tracker@v2/weights/nano.safetensors")
    HubFile(repository='me/tracker', revision='v2', file='weights/nano.safetensors')
    """
    part = r"[\w.-]+"
    found = re.fullmatch(rf"{PREFIX}({part}/{part})(?:@({part}))?/({part}(?:/{part})*)", str(name), re.ASCII)
    if found is None or ".." in str(name).split("/"):
        raise SpotError(f"{name}: not a file on the hub; write hf:OWNER/REPOSITORY/FILE")
    return HubFile(found[1], found[2], found[3])


def local_path(name: str | Path) -> Path:
    """Return the path that a name of weights means. A file on the hub is downloaded, or taken from the cache.

    Raises:
        SpotError: huggingface_hub is not installed; or the hub has no such file, or cannot be reached.
    """
    if not on_hub(name):
        return Path(name).expanduser()
    wanted = parse(name)
    require("huggingface_hub", "hub", f"{wanted}")
    from huggingface_hub import hf_hub_download

    try:
        with asking_hub(f"{wanted}"):
            return Path(hf_hub_download(wanted.repository, wanted.file, revision=wanted.revision))
    except Exception as error:  # errors of the network are those of several libraries
        raise _explained(wanted, error) from None


@contextlib.contextmanager
def asking_hub(what: str) -> Iterator[None]:
    """Say what is fetched, and hide what timm and huggingface_hub log (each retry): one line follows the last retry."""
    if is_first_process():
        print(f"fetching {what} from the Hugging Face hub or its cache", file=sys.stderr)
    loggers = [logging.getLogger(name) for name in ("huggingface_hub", "timm")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def check_upload(target: HubFile, overwrite: bool) -> None:
    """Refuse a name that is taken, before any work.

    Raises:
        SpotError: the file exists and `overwrite` is False; or as in `local_path`.
    """
    require("huggingface_hub", "hub", f"{target}")
    from huggingface_hub import HfApi

    try:
        exists = HfApi().file_exists(target.repository, target.file, revision=target.revision)
    except Exception as error:
        raise _explained(target, error) from None
    if exists and not overwrite:
        raise SpotError(f"{target} exists; overwrite=true replaces it, target= writes elsewhere")


def upload(files: Sequence[Path], target: HubFile) -> tuple[HubFile, ...]:
    """Upload files beside each other. A repository that does not exist is made, as a private one.

    Args:
        files: what to upload; the names are kept.
        target: the folder of `target.file` takes them.

    Returns:
        The files on the hub.

    Raises:
        SpotError: no right to write there, or as in `local_path`.
    """
    require("huggingface_hub", "hub", f"{target}")
    from huggingface_hub import HfApi

    api: Any = HfApi()
    places = tuple(target._replace(file=str(Path(target.file).with_name(each.name))) for each in files)
    try:
        api.create_repo(target.repository, exist_ok=True, private=True)
        for file, place in zip(files, places, strict=True):
            api.upload_file(
                path_or_fileobj=file,
                path_in_repo=place.file,
                repo_id=place.repository,
                revision=place.revision,
                commit_message=f"Upload {place.file} with SPOT",
            )
    except Exception as error:
        raise _explained(target, error) from None
    return places


def _explained(file: HubFile, error: Exception) -> SpotError:
    """Return one line for an error of huggingface_hub."""
    from huggingface_hub import errors

    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.LocalEntryNotFoundError | errors.OfflineModeIsEnabled):
        reason = "it is not in the cache, and the hub cannot be reached; connect, or give the path of a file"
    elif isinstance(error, errors.RepositoryNotFoundError) or status in (401, 403):
        reason = "no such repository, or no right to use it; check the name, or log in (hf auth login, or HF_TOKEN)"
    elif isinstance(error, errors.RevisionNotFoundError):
        reason = f"the repository has no revision {file.revision}; check the name"
    elif isinstance(error, errors.EntryNotFoundError):
        reason = "the repository has no such file; check the name"
    else:
        reason = f"the hub cannot be used ({_first_line(error)}); check the connection and try again"
    return SpotError(f"{file}: {reason}")


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:160]}" if lines else type(error).__name__
