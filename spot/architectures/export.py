"""A tracker as two ONNX files, so that it runs without PyTorch: one for the template, one for search crops.

    <stem>_template.onnx   template (B, 3, T, T), template_box (B, 4) -> template_features_0, template_features_1, ...
    <stem>_search.onnx     search (B, 3, S, S), template_features_0, ... -> scores (B, N), boxes (B, N, 4), ious (B, N)

An input that a network does not need (`template_box` of TransT and Ocean) is left out. Images are normalised RGB; the files' metadata holds mean and standard deviation. Boxes are xywh in pixels of the search
crop, N is the number of score cells; what a tracker does with them is in `spot/tracking`.
"""

from __future__ import annotations

import copy
import logging
import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from spot.architectures.base import Candidates, TrackerNetwork
from spot.runtime.atomic_files import replacing
from spot.runtime.errors import SpotError
from spot.runtime.extras import require

OPSET = 20  # the deformable convolution of Ocean exists from 19 on
TOLERANCE = 1e-3  # of scores and IoUs; of boxes in pixels


class TemplateNetwork(nn.Module):
    """The part that runs once for each video."""

    def __init__(self, network: TrackerNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, template: Tensor, boxes: Tensor) -> tuple[Tensor, ...]:
        """See `TrackerNetwork.encode_template`."""
        return self.network.encode_template(template, boxes)


class SearchNetwork(nn.Module):
    """The part that runs in every frame."""

    def __init__(self, network: TrackerNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, search: Tensor, *template_features: Tensor) -> tuple[Tensor, ...]:
        """See `TrackerNetwork.predict` and `TrackerNetwork.candidates`."""
        return tuple(self.network.candidates(self.network.predict(template_features, search)))


def onnx_files(target: str | Path) -> tuple[Path, Path]:
    """Return the files of template and search network that `folder/stem.onnx` stands for."""
    target = Path(target)
    template, search = (target.with_name(f"{target.stem}_{part}.onnx") for part in ("template", "search"))
    return template, search


def export_onnx(network: TrackerNetwork, target: str | Path) -> None:
    """Write both files and compare each with the network in onnxruntime. B may be any number.

    Args:
        network: on the CPU, float32; is put into evaluation mode.
        target: see `onnx_files`. Files of these names are replaced.

    Raises:
        SpotError: the optional packages are missing, an operator has no ONNX form, or outputs differ by more than 1e-3.
    """
    need_packages()
    files = onnx_files(target)
    template, boxes, search = network.export_inputs(batch=2)
    network.eval()
    with torch.no_grad():
        features = network.encode_template(template, boxes)
        names = [f"template_features_{i}" for i in range(len(features))]
        _export(TemplateNetwork(network).eval(), {"template": template, "template_box": boxes}, names, files[0])
        inputs = {"search": search, **dict(zip(names, features, strict=True))}
        _export(SearchNetwork(network).eval(), inputs, list(Candidates._fields), files[1])


def _export(part: TemplateNetwork | SearchNetwork, inputs: dict[str, Tensor], outputs: list[str], file: Path) -> None:
    arguments = tuple(inputs.values())
    axis = {0: torch.export.Dim("batch")}
    axes: Any = (axis, (axis,) * (len(arguments) - 1)) if isinstance(part, SearchNetwork) else (axis, axis)
    try:
        with quiet_exporter():
            program = torch.onnx.export(
                part, arguments, input_names=list(inputs), output_names=outputs, dynamic_shapes=axes,
                dynamo=True, opset_version=OPSET, verbose=False,
            )  # fmt: skip
    except torch.onnx.errors.OnnxExporterError as error:
        operator = re.search(r"target=([\w.]+)", _causes(error))
        reason = f"operator {operator[1]}" if operator else str(error).split("\n", 1)[0]
        raise SpotError(
            f"{file.name}: ONNX opset {OPSET} cannot express this network: {reason}; choose another kind="
        ) from error
    assert program is not None
    for unused in [value for value in program.model.graph.inputs if not value.uses()]:
        program.model.graph.inputs.remove(unused)
    for key, values in {"pixel_mean": part.network.pixel_mean, "pixel_std": part.network.pixel_std}.items():
        program.model.metadata_props[key] = " ".join(f"{value:g}" for value in values.flatten().tolist())
    with replacing(file) as partial:
        program.save(partial)
        _compare(part, inputs, partial, file.name)


def _compare(part: nn.Module, inputs: dict[str, Tensor], file: Path, name: str) -> None:
    """Compare outputs. Some weights amplify rounding, so the tolerance grows with PyTorch's own rounding error."""
    import onnxruntime

    try:
        session = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime has a class for each error code
        reason = str(error).split("\n", 1)[0]
        raise SpotError(f"{name}: onnxruntime {onnxruntime.__version__} cannot run it: {reason}; update it") from None
    found = session.run(None, {value.name: inputs[value.name].numpy() for value in session.get_inputs()})
    rounded = part(*inputs.values())
    exact = copy.deepcopy(part).double()(*(value.double() for value in inputs.values()))
    for output, theirs, ours, truth in zip(session.get_outputs(), found, rounded, exact, strict=True):
        if not ours.isfinite().all():
            raise SpotError(f"{name}: with these weights {output.name} is not finite; convert an undamaged checkpoint")
        noise, difference = (float((truth - value).abs().max()) for value in (ours, torch.from_numpy(theirs)))
        if not difference <= max(TOLERANCE, 4 * noise):
            raise SpotError(
                f"{name}: {output.name} of onnxruntime is off by {difference:.2g}, that of PyTorch by {noise:.2g}; "
                "try another version of onnxruntime"
            )


def need_packages() -> None:
    """Raise SpotError if one of the packages for ONNX files is missing."""
    for package in ("onnx", "onnxscript", "onnxruntime"):
        require(package, "onnx", "reading and writing ONNX files")


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Hide the exporter's hundreds of messages about its passes."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _causes(error: BaseException) -> str:
    return f"{error} {_causes(error.__cause__)}" if error.__cause__ else str(error)
