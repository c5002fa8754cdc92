"""Run a trained network on a CPU through OpenVINO or ONNX Runtime, which are faster there than PyTorch."""

from __future__ import annotations

import copy
import logging
import tempfile
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from spot.architectures.base import Candidates, TrackerNetwork
from spot.architectures.export import SearchNetwork, TemplateNetwork, export_onnx, onnx_files
from spot.runtime.errors import SpotError

log = logging.getLogger(__name__)

BACKENDS = ("auto", "torch", "openvino", "onnxruntime")
NEEDED = {"openvino": ("openvino",), "onnxruntime": ("onnxruntime", "onnx", "onnxscript")}

Graph = Callable[..., list[Tensor]]  # tensors in, tensors out; any batch


def choose_backend(backend: str, device: torch.device) -> str:
    """Return the backend that `auto` stands for, or the named one.

    `auto` is OpenVINO on a CPU where it is installed, else ONNX Runtime, else PyTorch; always PyTorch on a GPU.

    Raises:
        SpotError: no such backend, a missing package, or a CPU's backend on a GPU.

    >>> choose_backend("auto", torch.device("cuda"))
    'torch'
    """
    if backend not in BACKENDS:
        raise SpotError(f"backend={backend}: choose {', '.join(BACKENDS)}")
    missing = {name: [p for p in packages if find_spec(p) is None] for name, packages in NEEDED.items()}
    if backend == "auto":
        usable = [name for name in NEEDED if not missing[name]] if device.type == "cpu" else []
        return usable[0] if usable else "torch"
    if backend != "torch":
        if device.type != "cpu":
            raise SpotError(f"backend={backend} runs on a CPU; add accelerator=cpu, or take backend=torch")
        if missing[backend]:
            raise SpotError(
                f"backend={backend} needs {', '.join(missing[backend])}; pip install {' '.join(missing[backend])}"
            )
    return backend


def with_backend(network: TrackerNetwork, backend: str = "auto") -> TrackerNetwork:
    """Return a network for inference whose `encode_template` and `predict` run through a backend.

    The result gives the boxes of PyTorch within 1e-3 pixels, for any batch; its `predict` returns `Candidates`, which
    `candidates` passes on. It takes `torch.get_num_threads()` threads. Converting takes seconds.

    Args:
        network: on the device on which it shall run, float32; is put into evaluation mode.
        backend: torch, openvino, onnxruntime or auto, see `choose_backend`. `auto` falls back on PyTorch, with one
            line, if the network cannot be converted.

    Raises:
        SpotError: the named backend is not installed or cannot run the network.
    """
    network = network.eval()
    chosen = choose_backend(backend, network.pixel_mean.device)
    if chosen == "torch":
        return network.to(memory_format=torch.channels_last)
    try:
        convert = _openvino_graphs if chosen == "openvino" else _onnxruntime_graphs
        encode, search = convert(network)
        found = _with_graphs(network, encode, search)
        _check(network, found)
    except Exception as error:  # each library has its own
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]
        if backend == "auto":
            log.warning("backend=auto: %s cannot run this network (%s); PyTorch does", chosen, reason)
            return network.to(memory_format=torch.channels_last)
        raise SpotError(f"backend={chosen} cannot run this network: {reason}; take backend=torch") from error
    return found


def _with_graphs(network: TrackerNetwork, encode: Graph, search: Graph) -> TrackerNetwork:
    """Return a copy that shares the weights, with three methods replaced."""
    network = copy.copy(network)
    replaced: dict[str, Callable[..., Any]] = {
        "encode_template": lambda template, boxes: tuple(encode(template, boxes)),
        "predict": lambda template_features, crops: Candidates(*search(crops, *template_features)),
        "candidates": lambda prediction: prediction,
    }
    for name, method in replaced.items():
        object.__setattr__(network, name, method)
    return network


@torch.inference_mode()
def _check(network: TrackerNetwork, converted: TrackerNetwork) -> None:
    """Raise ValueError where a conversion is wrong; rounding, which some weights amplify, is far below the limits."""
    inputs = network.export_inputs(batch=1)
    expected, found = (net.candidates(net(*inputs)) for net in (network, converted))
    for name, limit in (("scores", 0.01), ("boxes", 0.01 * network.search_size), ("ious", 0.01)):
        difference = (getattr(expected, name) - getattr(found, name)).abs().max().item()
        if not difference <= limit:
            raise ValueError(f"its {name} differ from PyTorch's by {difference:.2g}")


@torch.inference_mode()
def _parts(network: TrackerNetwork) -> list[tuple[nn.Module, tuple[Tensor, ...]]]:
    """Return the two modules that are converted, each with example inputs of two instances."""
    template, boxes, search = network.export_inputs(batch=2)
    features = network.encode_template(template, boxes)
    examples = (template, boxes), (search, *features)
    modules = TemplateNetwork(network).eval(), SearchNetwork(network).eval()
    return [(module, tuple(x.clone() for x in inputs)) for module, inputs in zip(modules, examples, strict=True)]


def _openvino_graphs(network: TrackerNetwork) -> tuple[Graph, Graph]:
    template, search = (_openvino_graph(module, inputs) for module, inputs in _parts(network))
    return template, search


def _openvino_graph(module: nn.Module, inputs: tuple[Tensor, ...]) -> Graph:
    """Convert a module; it is compiled once for each batch size.

    The front end is called directly: `openvino.convert_model` reports to a server first, which takes seconds offline.
    """
    import openvino
    from openvino.frontend import FrontEndManager
    from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

    front_end = FrontEndManager().load_by_framework("pytorch")
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        decoder = TorchScriptPythonDecoder(module, example_input=inputs)
        model = front_end.convert(front_end.load(decoder))
    core = openvino.Core()
    compiled: dict[int, Any] = {}

    def run(*values: Tensor) -> list[Tensor]:
        # tracing drops a template's box, the last input, where it is not used
        arrays = [value.contiguous().numpy() for value in values[: len(model.inputs)]]
        batch = len(arrays[0])
        if batch not in compiled:
            sized = model.clone()
            sized.reshape({i: list(array.shape) for i, array in enumerate(arrays)})
            settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": torch.get_num_threads()}
            compiled[batch] = core.compile_model(sized, "CPU", settings)
        return [torch.from_numpy(array) for array in compiled[batch](arrays).values()]

    return run


def _onnxruntime_graphs(network: TrackerNetwork) -> tuple[Graph, Graph]:
    """Through the files that `kind=onnx` of `spot.convert` writes."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        files = onnx_files(Path(folder) / "network.onnx")
        export_onnx(network, Path(folder) / "network.onnx")
        providers = ["CPUExecutionProvider"]
        template, search = (
            _onnxruntime_graph(onnxruntime.InferenceSession(file.read_bytes(), options, providers=providers))
            for file in files
        )
    return template, search


def _onnxruntime_graph(session: Any) -> Graph:
    names = [value.name for value in session.get_inputs()]

    def run(*values: Tensor) -> list[Tensor]:
        arrays: list[np.ndarray] = [value.contiguous().numpy() for value in values]
        found = session.run(None, dict(zip(names, arrays, strict=False)))
        return [torch.from_numpy(array) for array in found]

    return run
