"""Gradients of one step on 1, 2 and 4 processes: python -m tests.training.gloo_steps OUTPUT ARCH ARCH ...

Processes are forked after the imports, which take longer than all else.
"""

import sys
from types import SimpleNamespace

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from hydra.utils import instantiate

from spot.data.instances import Batch, LabelledPairs, UnlabelledInstances
from spot.supervision.label_filters import ConfidenceThreshold
from spot.supervision.teacher import Teacher
from spot.training.module import SparseTracker
from tests.training.configs import composed

LABELLED, UNLABELLED = 4, 12


def noise(network) -> Batch:
    generator = torch.Generator().manual_seed(1)
    template, search = network.template_size, network.search_size

    def images(count, size):
        return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)

    def uniform(count, *ranges):
        return torch.stack([torch.rand(count, generator=generator) * (b - a) + a for a, b in ranges], 1)

    def boxes(count, size):
        return uniform(count, (0.2, 0.5), (0.2, 0.5), (0.15, 0.35), (0.15, 0.35)) * size

    def none(count):
        return torch.zeros(count, dtype=torch.bool)

    a, b = LABELLED, UNLABELLED
    pairs = LabelledPairs(
        images(a, template), boxes(a, template), images(a, search), boxes(a, search), torch.ones(a, 2), none(a)
    )
    geometry = torch.tensor([[200.0, 200, 1]]).repeat(b, 1)
    frames = UnlabelledInstances(
        images(b, template), boxes(b, template), images(b, search), geometry, images(b, template), boxes(b, template),
        images(b, search), geometry, torch.full((b, 2), 400.0), torch.zeros(b, 3), torch.ones(b, 4), none(b), none(b),
        torch.zeros(b), torch.zeros(b).long(), torch.arange(b), torch.arange(b), none(b),
    )  # fmt: skip
    return Batch(pairs, frames, [])


def part(instances, rank, world):
    """Every `world`-th instance, as `spot.data.steps.Steps` shares them."""
    return type(instances)(*(None if column is None else column[rank::world] for column in instances))


def gradients(arch, rank, world, folder):
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/{arch}_meet{world}", rank=rank, world_size=world)
    torch.manual_seed(0)
    cfg = composed("train", f"arch={arch}", "data=synthetic")
    tracker = SparseTracker(
        instantiate(cfg.arch.network), instantiate(cfg.arch.loss), instantiate(cfg.arch.recipe),
        lambda student: Teacher(student, ConfidenceThreshold(0), window=0.4, decay=0.99), seed=0, arch=arch,
    )  # fmt: skip
    tracker.student.eval()  # BatchNorm as it is
    tracker.student.double()  # what is left between the numbers of processes is the order of sums
    normalise = tracker.student.normalise
    tracker.student.normalise = lambda images: normalise(images.double())
    logged = {}
    tracker.log = lambda name, value, **_: logged.__setitem__(name, value)
    batch = noise(tracker.student)
    confidences = tracker.teacher.label(batch.unlabelled).confidence.sort().values
    tracker.teacher.label_filter.threshold = float(confidences[-7:-5].mean())  # 6 of 12 are kept

    def mean(values, reduce_op):
        assert reduce_op == "mean"
        dist.all_reduce(values)
        return values / world

    tracker._trainer = SimpleNamespace(world_size=world, strategy=SimpleNamespace(reduce=mean))
    mine = Batch(part(batch.labelled, rank, world), part(batch.unlabelled, rank, world), [])
    step = tracker.training_step(mine, 0)
    step["loss"].backward()
    grads = [p.grad.flatten() for p in tracker.student.parameters() if p.grad is not None]
    values = torch.cat([*grads, step["loss"].detach().view(1), step["labels"].kept.sum().view(1).float()])
    if world > 1:
        everyone = [torch.empty_like(values) for _ in range(world)]
        dist.all_gather(everyone, values)
        values = torch.stack(everyone).mean(0)  # as DistributedDataParallel does
        values[-1] *= world
        dist.destroy_process_group()
    if rank == 0:
        torch.save(values, f"{folder}/{arch}_{world}.pt")


def in_process(rank, arch, world, folder):
    gradients(arch, rank, world, folder)


if __name__ == "__main__":
    output, *architectures = sys.argv[1:]
    torch.set_num_threads(1)
    for architecture in architectures:
        for processes in (1, 2, 4):
            mp.start_processes(in_process, (architecture, processes, output), processes, start_method="fork")
