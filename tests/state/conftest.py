import os

import pytest


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    """Most tests do not ask what a loss of power leaves; those that do put their own `fsync` in this one's place."""
    monkeypatch.setattr(os, "fsync", lambda _: None)
