"""A training step on a GPU copies nothing to the host: no GPU is needed to know."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from spot.data.instances import Batch, LabelledPairs, UnlabelledInstances
from tests.training.test_module import logged, make_tracker, steps  # noqa: F401

DEVICE = "cuda"  # of tensors without memory; reading a value of theirs raises


class HostCopies(TorchDispatchMode):
    """Names of operations that turn device tensors into host tensors."""

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        given, made = (
            {t.device.type for t in tree_leaves(tree) if isinstance(t, torch.Tensor)} for tree in (args, result)
        )
        if DEVICE in given and "cpu" in made:
            self.found.append(str(function))
        return result


def on_device(instances):
    """The same shapes and types, on the device."""
    empty = (None if t is None else torch.empty(t.shape, dtype=t.dtype, device=DEVICE) for t in instances)
    return type(instances)(*empty)


def move(module: nn.Module) -> None:
    """Replace every parameter and buffer by one of the same layout on the device."""
    for part in module.modules():
        for tensors in (part._parameters, part._buffers):
            for name, tensor in tensors.items():
                if tensor is not None:
                    moved = torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device=DEVICE)
                    tensors[name] = (
                        nn.Parameter(moved, tensor.requires_grad) if isinstance(tensor, nn.Parameter) else moved
                    )


@pytest.mark.parametrize("arch", [pytest.param("transt_tiny", marks=pytest.mark.slow), "ocean_tiny"])
def test_a_step_copies_nothing_to_the_host(arch, steps, logged):  # noqa: F811
    tracker = make_tracker(arch)
    batch = steps(tracker)[1, 0]
    with FakeTensorMode():
        move(tracker)
        pairs, frames = on_device(batch.labelled), on_device(batch.unlabelled)
        assert isinstance(pairs, LabelledPairs)
        assert isinstance(frames, UnlabelledInstances)
        with HostCopies() as watch:
            loss = tracker.training_step(Batch(pairs, frames, []), 0)["loss"]
            tracker.teacher.update_ema(tracker.student)
    assert loss.device.type == DEVICE
    assert watch.found == []


def test_what_the_watch_catches():
    """Otherwise the test above might see nothing at all."""
    with FakeTensorMode():
        x = torch.empty(3, device=DEVICE)
        with HostCopies() as watch:
            x.cpu()
        assert watch.found
        for read in (torch.Tensor.tolist, lambda t: t.sum().item(), lambda t: t[t > 0]):
            with pytest.raises(Exception, match=r"tolist|item|nonzero|unbacked|[Dd]ata|dynamic|local_scalar"):
                read(x)
