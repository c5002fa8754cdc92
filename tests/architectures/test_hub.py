"""Weights on the hub: names, the hub's cache on disk, and one line for each fault. No test uses the network."""

import hashlib
import importlib.util
import logging
import shutil
from pathlib import Path

import pytest

from spot.architectures.hub import HubFile, check_upload, local_path, parse, upload
from spot.runtime.errors import SpotError

huggingface_hub = pytest.importorskip("huggingface_hub")
constants = pytest.importorskip("huggingface_hub.constants")
errors = pytest.importorskip("huggingface_hub.errors")
NAME = "hf:me/tracker/weights/tiny.safetensors"
COMMIT = "0123456789abcdef0123456789abcdef01234567"


def put(cache: Path, repository: str, file: str, content: bytes) -> None:
    """Store a file as huggingface_hub's cache does: a blob, a snapshot of links, and the commit of the main branch."""
    folder = cache / f"models--{repository.replace('/', '--')}"
    blob = folder / "blobs" / hashlib.sha256(content).hexdigest()
    link = folder / "snapshots" / COMMIT / file
    for place in (blob, link, folder / "refs" / "main"):
        place.parent.mkdir(parents=True, exist_ok=True)
    blob.write_bytes(content)
    link.unlink(missing_ok=True)
    link.symlink_to(blob)
    (folder / "refs" / "main").write_text(COMMIT)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of the hub, which cannot be reached."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


@pytest.fixture
def server(cache, monkeypatch):
    """A hub that keeps what is uploaded, in the layout of its cache."""

    class Api:
        made: list[tuple[str, bool]] = []  # noqa: RUF012

        def file_exists(self, repo_id, filename, revision=None):
            return (cache / f"models--{repo_id.replace('/', '--')}" / "snapshots" / COMMIT / filename).exists()

        def create_repo(self, repo_id, exist_ok, private):
            self.made.append((repo_id, private))

        def upload_file(self, path_or_fileobj, path_in_repo, repo_id, revision, commit_message):
            put(cache, repo_id, path_in_repo, Path(path_or_fileobj).read_bytes())

    monkeypatch.setattr(huggingface_hub, "HfApi", Api)
    return Api


def test_a_name_has_a_repository_a_revision_and_a_file():
    assert parse(NAME) == HubFile("me/tracker", None, "weights/tiny.safetensors")
    assert str(parse("hf:me/tracker@v1.0/a.pt")) == "hf:me/tracker@v1.0/a.pt"
    for name in (
        "hf:",
        "hf:me/tracker",
        "hf:me/tracker/",
        "hf:/me/tracker/a.pt",
        "hf:me/tracker/../../a.pt",
        "hf:a b/c/d",
    ):
        with pytest.raises(SpotError, match="write hf:OWNER/REPOSITORY/FILE"):
            parse(name)


def test_files_of_the_cache_are_found_without_the_network(cache):
    put(cache, "me/tracker", "weights/tiny.safetensors", b"content")
    found = local_path(NAME)
    assert found.name == "tiny.safetensors"
    assert found.read_bytes() == b"content"
    assert local_path("some/file.pt") == Path("some/file.pt")


def test_what_is_neither_in_the_cache_nor_to_be_reached_is_named(cache):
    with pytest.raises(
        SpotError, match=r"^hf:me/tracker/weights/tiny\.safetensors: it is not in the cache, and the hub "
    ):
        local_path(NAME)
    with pytest.raises(SpotError, match=r"^hf:me/tracker/weights/tiny\.safetensors: .*hub cannot be"):
        check_upload(parse(NAME), overwrite=False)


def test_retries_are_not_shown_but_what_is_fetched_is(cache, capsys, monkeypatch):
    logger = logging.getLogger("huggingface_hub.utils._http")

    def retry(*_, **__):
        assert not logger.isEnabledFor(logging.WARNING)
        raise errors.LocalEntryNotFoundError("no network")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", retry)
    with pytest.raises(SpotError, match="it is not in the cache"):
        local_path(NAME)
    assert capsys.readouterr().err == f"fetching {NAME} from the Hugging Face hub or its cache\n"
    assert logger.isEnabledFor(logging.WARNING)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SpotError, match=r"hf:me/tracker/.* needs huggingface_hub; pip install"):
        local_path(NAME)


def test_an_upload_keeps_its_names_and_makes_a_private_repository(server, tmp_path):
    files = [tmp_path / "tiny_template.onnx", tmp_path / "tiny_search.onnx"]
    for file in files:
        file.write_bytes(file.name.encode())
    places = upload(files, parse("hf:me/tracker/onnx/tiny.onnx"))
    assert [str(place) for place in places] == [f"hf:me/tracker/onnx/{file.name}" for file in files]
    assert [local_path(str(place)).read_bytes() for place in places] == [file.read_bytes() for file in files]
    assert server.made == [("me/tracker", True)]
    with pytest.raises(SpotError, match=r"tiny_search\.onnx exists; overwrite=true"):
        check_upload(places[1], overwrite=False)
    check_upload(places[1], overwrite=True)


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("RemoteEntryNotFoundError", "the repository has no such file"),
        ("RepositoryNotFoundError", "no such repository, or no right to use it; .*hf auth login"),
        ("GatedRepoError", "no such repository, or no right to use it"),
        ("RevisionNotFoundError", "no revision v2"),
        ("HfHubHTTPError", "the hub cannot be used"),
    ],
)
def test_what_the_hub_refuses_is_one_line(kind, said, monkeypatch):
    refusal = getattr(errors, kind)

    def refuse(*_, **__):
        raise refusal.__new__(refusal, "a long story\nof two lines")

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", refuse)
    with pytest.raises(SpotError, match=rf"^hf:me/tracker@v2/a\.pt: .*{said}[^\n]*$"):
        local_path("hf:me/tracker@v2/a.pt")


def test_a_network_travels_over_the_hub_with_its_settings(server, tmp_path):
    """spot.convert writes it there; spot.load, checkpoint= and initial= take it from there."""
    import numpy as np
    import torch
    from hydra.utils import instantiate

    import spot
    from spot.architectures.start_weights import load_initial
    from spot.convert import convert
    from spot.tracking.loading import build_network, locate_checkpoint, recorded_arch
    from tests.training.configs import composed

    cfg = composed("convert", "arch=ocean_tiny", f"target={NAME}", f"source={tmp_path}/tiny.pt")
    torch.manual_seed(3)
    network = instantiate(cfg.arch.network)
    torch.save(
        {"arch": "ocean_tiny", "model": None, "epoch": None, "net": network.state_dict(), "rest": {}}, cfg.source
    )
    cfg.arch.tracker.window = 0.123
    assert [str(place) for place in convert(cfg)] == [NAME]
    with pytest.raises(SpotError, match=r"tiny\.safetensors exists; overwrite=true"):
        convert(cfg)

    test = composed("test", f"checkpoint={NAME}", "benchmark=synthetic")  # the settings inside say which architecture
    place = locate_checkpoint(test)
    test.arch = recorded_arch(test, place)
    assert test.arch.tracker.window == 0.123
    started = instantiate(cfg.arch.network)
    load_initial(started, NAME, "ocean_tiny")
    for found in (build_network(test, place)[0], started):
        assert all(torch.equal(value, network.state_dict()[key]) for key, value in found.state_dict().items())
    tracker = spot.load(NAME)
    frame = np.full((60, 80, 3), 90, np.uint8)
    tracker.start(frame, [10, 10, 20, 20])
    assert len(tracker.step(frame)[0]) == 4

    with pytest.raises(SpotError, match="the hub takes weights"):
        convert(composed("convert", "target=hf:me/tracker/state.json", f"source={tmp_path}", "kind=state"))
    shutil.rmtree(local_path(NAME).parents[3])
    with pytest.raises(SpotError, match="not in the cache"):
        spot.load(NAME)
