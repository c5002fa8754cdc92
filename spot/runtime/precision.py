"""The precision that `precision=auto` stands for."""

from __future__ import annotations


def resolve_precision(precision: str | int, accelerator: str = "auto") -> str:
    """Return the precision of `pytorch_lightning.Trainer` that an option asks for.

    Args:
        precision: `auto` means bf16-mixed on GPUs that have bfloat16 and 32-true elsewhere; other values are
            returned unchanged.
        accelerator: accelerator of the trainer: auto, cpu, gpu, ...

    >>> resolve_precision("auto", "cpu"), resolve_precision("16-mixed")
    ('32-true', '16-mixed')
    """
    if precision != "auto":
        return str(precision)
    if accelerator in ("auto", "gpu", "cuda"):
        import torch

        # emulated, bfloat16 is slower than float32
        if torch.cuda.is_available() and torch.cuda.is_bf16_supported(including_emulation=False):
            return "bf16-mixed"
    return "32-true"
