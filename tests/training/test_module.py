"""A training step: its loss, what it records, and what it must not do."""

import pytest
import torch
from hydra.utils import instantiate
from torch.utils._python_dispatch import TorchDispatchMode

from spot.data.boxes import to_image
from spot.data.instances import AugmentSettings, CropSettings
from spot.data.key_frame_sampling import sample_key_frames
from spot.data.pairs import LabelledDataset, UnlabelledDataset
from spot.data.steps import StepPlan, Steps
from spot.data.targets import Targets
from spot.state.store import StateStore
from spot.supervision.exploration import Exploration
from spot.supervision.label_filters import ConfidenceThreshold
from spot.supervision.teacher import Teacher
from spot.training.callbacks.state_keeper import step_labels
from spot.training.module import SparseTracker
from tests.training.configs import composed

PLAN = StepPlan(steps=4, burn_in=1, labelled=2, unlabelled=6)


def make_tracker(arch="transt_tiny", threshold=0.0, decay=0.5):
    torch.manual_seed(0)
    cfg = composed("train", f"arch={arch}", "data=synthetic")
    return SparseTracker(
        instantiate(cfg.arch.network),
        instantiate(cfg.arch.loss),
        instantiate(cfg.arch.recipe),
        lambda student: Teacher(student, ConfidenceThreshold(threshold), window=0.4, decay=decay),
        seed=0,
        arch=arch,
    )


@pytest.fixture
def steps(videos, tmp_path):
    def build(tracker):
        targets = Targets([videos], [sample_key_frames(videos, 3, seed=0)])
        store = StateStore.create(tmp_path / "state", *targets.state_arguments())
        student = tracker.student
        crops = CropSettings(student.template_size, student.search_size, 2.0, 4.0, 3.0, 0.25)
        labelled = LabelledDataset(targets, crops, AugmentSettings(), seed=0)
        return Steps(
            PLAN,
            labelled,
            UnlabelledDataset(targets, store, crops, AugmentSettings(), seed=0, explore=Exploration()),
            0,
            1,
        )

    return build


@pytest.fixture
def logged(monkeypatch):
    """What a module logs, without a trainer."""
    values = {}
    monkeypatch.setattr(SparseTracker, "log", lambda self, name, value, **_: values.__setitem__(name, value))
    return values


@pytest.mark.parametrize("arch", ["transt_tiny", "ocean_tiny"])
def test_the_loss_weighs_the_halves_by_their_instances(arch, steps, logged):
    """(8 * L_labelled + 24 * L_pseudo) / 32 with the published sizes, each a mean over its own instances."""
    tracker = make_tracker(arch)
    batch = steps(tracker)[1, 0]
    loss = tracker.training_step(batch, 0)["loss"]
    assert float(logged["pseudo/kept_fraction"]) == 1
    expected = 2 / 8 * logged["labelled/loss"] + 6 / 8 * logged["pseudo/loss"]
    assert float(loss) == pytest.approx(float(expected), rel=1e-6)
    assert "labelled/iou" in logged
    assert "pseudo/iou" not in logged  # the IoU head learns from human boxes alone


def test_without_kept_labels_the_labelled_half_still_learns(steps, logged):
    tracker = make_tracker(threshold=1.1)
    loss = tracker.training_step(steps(tracker)[1, 0], 0)["loss"]
    loss.backward()
    assert float(logged["pseudo/loss"]) == 0
    assert all(p.grad is not None and p.grad.isfinite().all() for p in tracker.student.parameters())
    assert sum(float(p.grad.abs().sum()) for p in tracker.student.parameters()) > 0


def test_the_teacher_gets_no_gradient_and_stays_in_evaluation_mode(steps, logged):
    tracker = make_tracker()
    tracker.train()
    assert not any(m.training for m in tracker.teacher.modules())
    before = {k: v.clone() for k, v in tracker.teacher.state_dict().items()}
    tracker.training_step(steps(tracker)[1, 0], 0)["loss"].backward()
    assert all(p.grad is None for p in tracker.teacher.parameters())
    assert all(torch.equal(v, before[k]) for k, v in tracker.teacher.state_dict().items())


def test_the_teacher_follows_as_a_moving_average():
    tracker = make_tracker("ocean_tiny", decay=0.75)
    teacher, student = tracker.teacher.network, tracker.student
    before = [p.clone() for p in teacher.parameters()]
    with torch.no_grad():
        for p in student.parameters():
            p.add_(1)
        next(m for m in student.modules() if isinstance(m, torch.nn.BatchNorm2d)).running_mean.fill_(4)
    tracker.teacher.update_ema(student)
    assert all(torch.allclose(p, b + 0.25, atol=1e-6) for p, b in zip(teacher.parameters(), before, strict=True))
    mean = next(m for m in teacher.modules() if isinstance(m, torch.nn.BatchNorm2d)).running_mean
    assert torch.allclose(mean, torch.ones_like(mean))  # buffers too: 0.75 * 0 + 0.25 * 4
    tracker.teacher.update_ema(student, decay=0)
    assert all(torch.equal(a, b) for a, b in zip(teacher.parameters(), student.parameters(), strict=True))


def test_recorded_labels_are_the_teachers_boxes_in_the_image(steps, logged):
    tracker = make_tracker()
    batch = steps(tracker)[1, 0]
    labels = tracker.training_step(batch, 0)["labels"]
    recorded = step_labels(batch.unlabelled, labels)
    assert torch.equal(recorded.number, batch.unlabelled.number)
    assert torch.equal(recorded.frame, batch.unlabelled.frame)
    assert torch.allclose(recorded.box, labels.box)
    x, y, w, h = labels.box.unbind(1)
    assert (x >= 0).all()
    assert (y >= 0).all()
    assert (x + w <= batch.unlabelled.image_size[:, 0] + 1e-3).all()
    assert (y + h <= batch.unlabelled.image_size[:, 1] + 1e-3).all()


class Watch(TorchDispatchMode):
    """Names of operations whose result the host must wait for."""

    WAITING = ("_local_scalar_dense", "nonzero", "item", "masked_select", "unique", "equal.default")

    def __init__(self):
        super().__init__()
        self.found = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        name = str(function)
        indexed = "index.Tensor" in name and any(
            getattr(i, "dtype", None) == torch.bool for i in args[1] if i is not None
        )
        if any(word in name for word in self.WAITING) or indexed:
            self.found.append(name)
        return function(*args, **(kwargs or {}))


@pytest.mark.parametrize("arch", ["transt_tiny", "ocean_tiny"])
def test_a_step_never_waits_for_the_device(arch, steps, logged):
    tracker = make_tracker(arch)
    batch = steps(tracker)[1, 0]
    with Watch() as watch:
        tracker.training_step(batch, 0)["loss"].backward()
        tracker.teacher.update_ema(tracker.student)
    assert watch.found == []


def test_gradients_are_clipped_by_their_norm(steps, logged):
    tracker = make_tracker("ocean_tiny")
    tracker.training_step(steps(tracker)[1, 0], 0)["loss"].backward()
    for p in tracker.student.parameters():
        if p.grad is not None:
            p.grad.mul_(1e4)
    tracker.configure_gradient_clipping(torch.optim.SGD(tracker.student.parameters(), lr=0.1))
    grads = [p.grad for p in tracker.student.parameters() if p.grad is not None]
    assert float(torch.linalg.vector_norm(torch.stack([g.norm() for g in grads]))) == pytest.approx(25, rel=1e-3)


@pytest.mark.parametrize("arch", ["transt_tiny", "ocean_tiny"])
def test_boxes_that_stick_out_of_the_crop_are_not_cut(arch, steps, logged):
    """Pseudo boxes are treated as labelled ones: clipped to the image, not to the crop; one wholly outside is dropped."""
    tracker = make_tracker(arch)
    batch = steps(tracker)[1, 0].unlabelled
    labels = tracker.teacher.label(batch)
    size = tracker.student.search_size
    still = batch._replace(angle=torch.zeros(6), flip=torch.zeros(6, dtype=torch.bool))
    given = torch.tensor(
        [[-10.0, 20, 40, 30], [size - 20, 5, 50, 30], [10, 10, 20, 20], [-50, 0, 49, 30], [0, 0, 0.5, 9], [5, 5, 2, 2]]
    )
    _, _, boxes, kept = tracker.pseudo_inputs(still, labels._replace(box=to_image(given, batch.student_geometry, size)))
    torch.testing.assert_close(boxes, given, rtol=0, atol=1e-3)
    assert kept.tolist() == [True, True, True, False, False, True]


@pytest.mark.slow
def test_compiling_reaches_student_and_teacher(steps, logged):
    """A copy of a compiled network is not compiled: the teacher's must be compiled by itself."""
    compiled = []

    def backend(module, inputs):
        compiled.append(module)
        return module.forward

    torch._dynamo.reset()
    tracker = make_tracker()
    batch = steps(tracker)[1, 0]
    tracker.compile_networks(backend=backend)
    tracker.teacher.label(batch.unlabelled)
    by_teacher = len(compiled)
    assert by_teacher > 0
    tracker.training_step(batch, 0)
    assert len(compiled) > by_teacher
