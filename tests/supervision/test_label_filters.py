"""Which of the teacher's labels are kept, by each filter."""

from types import SimpleNamespace

import pytest
import torch
from hydra.utils import instantiate

from spot.runtime.errors import SpotError
from spot.supervision.forward_backward import ForwardBackward
from spot.supervision.label_filters import ConfidenceThreshold, ProposedLabels
from spot.supervision.running_quantile import RunningQuantile
from tests.paths import ROOT
from tests.training.configs import composed
from tests.training.test_module import Watch


def labels(*confidence: float) -> ProposedLabels:
    boxes = torch.tensor([[50.0, 50, 20, 20]]).expand(len(confidence), 4)
    return ProposedLabels(boxes, boxes, torch.tensor(confidence))


def test_the_published_threshold():
    assert ConfidenceThreshold(0.5)(labels(0.4, 0.5, 0.6), None, None).tolist() == [False, True, True]
    assert ConfidenceThreshold(0)(labels(0.0), None, None).tolist() == [True]


@pytest.mark.parametrize("level", [0.1, 0.9])
def test_a_quantile_keeps_its_fraction_at_any_level_of_confidence(level):
    generator = torch.Generator().manual_seed(0)
    keep = RunningQuantile(keep=0.3, memory=400)
    kept = []
    for _ in range(200):
        kept.append(keep(labels(*(level + 0.1 * torch.rand(8, generator=generator)).tolist()), None, None))
    assert torch.cat(kept[50:]).float().mean() == pytest.approx(0.3, abs=0.03)


def test_a_quantile_forgets_what_is_older_than_its_memory():
    keep = RunningQuantile(keep=0.5, memory=4)
    keep(labels(0.9, 0.9, 0.9, 0.9), None, None)
    assert keep(labels(0.1, 0.2, 0.3, 0.4, 0.5, 0.6), None, None).tolist() == [False] * 4 + [True] * 2
    assert RunningQuantile(keep=1.0, least=0.3)(labels(0.2, 0.4), None, None).tolist() == [False, True]


def test_a_quantile_goes_on_from_its_checkpoint():
    first, second = RunningQuantile(memory=16), RunningQuantile(memory=16)
    for value in (0.1, 0.2, 0.3, 0.4):
        first(labels(value, value + 0.1), None, None)
    second.load_state_dict(first.state_dict())
    fresh = RunningQuantile(memory=16)
    proposed = labels(0.55, 0.5, 0.6, 0.3)
    assert first(proposed, None, None).tolist() == second(proposed, None, None).tolist()
    assert first(proposed, None, None).tolist() != fresh(proposed, None, None).tolist()


def test_a_quantile_never_waits_for_the_device():
    keep, proposed = RunningQuantile(memory=16), labels(0.1, 0.4)
    with Watch() as watch:
        keep(proposed, None, None)
    assert watch.found == []


class Finder(torch.nn.Module):
    """A network of one cell that finds the brightest square of the search crop, if the template is bright."""

    template_size, search_size = 16, 64

    def normalise(self, images):
        return images

    def forward(self, template, boxes, search):
        self.template, self.boxes = template, boxes
        places = (search.mean(1) > 0.5).float().flatten(1).argmax(1)
        found = torch.stack([places % 64, places // 64], 1) * 1.0
        bright = template.mean((1, 2, 3)) > 0.15
        return torch.where(bright[:, None], found, torch.zeros_like(found))

    def candidates(self, found):
        boxes = torch.cat([found, torch.full_like(found, 8)], 1)[:, None]
        return SimpleNamespace(scores=torch.ones(len(found), 1), boxes=boxes, ious=torch.ones(len(found), 1))


def squares(*corners):
    images = torch.zeros(len(corners), 3, 64, 64, dtype=torch.uint8)
    for image, (x, y) in zip(images, corners, strict=True):
        image[:, y : y + 8, x : x + 8] = 255
    return images


def test_forward_backward_keeps_labels_that_lead_back_to_the_key_frame():
    """The second label is on background, the third leads back to another place than the human box."""
    batch = SimpleNamespace(
        teacher_search=squares((28, 28), (28, 28), (28, 28)),
        key_search=squares((10, 30), (10, 30), (40, 40)),
        key_search_box=torch.tensor([[10.0, 30, 8, 8]]).repeat(3, 1),
        brightness=torch.ones(3, 4),
    )
    boxes = torch.tensor([[28.0, 28, 8, 8], [4, 50, 8, 8], [28, 28, 8, 8]])
    proposed = ProposedLabels(boxes, boxes, torch.full((3,), 0.9))
    network = Finder()
    assert ForwardBackward(iou=0.5)(proposed, batch, network).tolist() == [True, False, False]
    assert ForwardBackward(iou=0.5, threshold=0.95)(proposed, batch, network).tolist() == [False] * 3
    # a template of twice the target's side: the square of 8 pixels fills the middle half of it
    bright = network.template[0, 0] > 0.5
    assert bright.nonzero().min() in (3, 4)
    assert bright.nonzero().max() in (11, 12)
    assert network.boxes[0].tolist() == pytest.approx([3.5, 3.5, 8, 8])


def test_forward_backward_says_what_it_needs():
    with pytest.raises(SpotError, match=r"supervision\.key_search=true"):
        ForwardBackward()(labels(0.9), SimpleNamespace(key_search=None, key_search_box=None), None)


@pytest.mark.parametrize("name", ["threshold", "running_quantile", "forward_backward"])
def test_each_filter_is_one_choice(name):
    cfg = composed("train", "arch=transt_tiny", "data=synthetic", f"supervision/label_filter={name}")
    kind = {"threshold": ConfidenceThreshold, "running_quantile": RunningQuantile, "forward_backward": ForwardBackward}
    assert isinstance(instantiate(cfg.supervision.label_filter), kind[name])
    assert cfg.supervision.key_search == (name == "forward_backward")
    assert cfg.supervision.name == ("spot" if name == "threshold" else f"spot_{name}")


def test_the_example_of_the_documentation(monkeypatch):
    """docs/supervision.md: one class and one YAML, in folders of one's own; the page shows the file as it is."""
    examples = ROOT / "docs" / "examples"
    monkeypatch.syspath_prepend(str(examples))
    page, code = (ROOT / "docs" / "supervision.md").read_text(), (examples / "stable_size.py").read_text()
    assert code[code.index("    def __init__") :].strip() in page
    cfg = composed(
        "train", "arch=transt_tiny", "data=synthetic", f"hydra.searchpath=[file://{examples}/conf]",
        "supervision/label_filter=stable_size", "teacher.threshold=0.5",
    )  # fmt: skip
    assert cfg.supervision.name == "spot_stable_size"
    keep = instantiate(cfg.supervision.label_filter)
    key_box = torch.tensor([[0.0, 0, 20, 20], [0, 0, 20, 30], [0, 0, 40, 40], [0, 0, 20, 20]])
    batch = SimpleNamespace(key_box=key_box)
    assert keep(labels(0.9, 0.9, 0.9, 0.4), batch, None).tolist() == [True, True, False, False]
