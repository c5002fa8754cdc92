"""What precision=auto stands for."""

import pytest
import torch

from spot.runtime.precision import resolve_precision


@pytest.mark.parametrize(
    ("gpu", "bf16", "accelerator", "expected"),
    [
        (True, True, "auto", "bf16-mixed"),
        (True, True, "cpu", "32-true"),
        (True, False, "gpu", "32-true"),
        (False, False, "auto", "32-true"),
    ],
)
def test_auto_is_bfloat16_where_the_gpu_has_it(monkeypatch, gpu, bf16, accelerator, expected) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16)
    assert resolve_precision("auto", accelerator) == expected
    assert resolve_precision("32-true", accelerator) == "32-true"
