"""What OSTrack does beyond the published numbers: options, parameter groups, files, bad input."""

import pytest
import torch

from spot.architectures.base import mean_terms
from spot.architectures.ostrack.loss import OSTrackLoss, focal
from spot.architectures.ostrack.network import OSTrack, voting_tokens
from spot.architectures.ostrack.transformer import JointViT
from spot.runtime.errors import SpotError

pytest.importorskip("timm", reason="OSTrack needs timm")

TINY = {"embed_dim": 48, "depth": 3, "num_heads": 3, "patch_size": 8}


def make(quality="iou_head", **options) -> OSTrack:
    torch.manual_seed(0)
    vit = JointViT("vit_tiny_patch16_224", 32, 64, "none", eliminate_at=[1], options=TINY, **options)
    return OSTrack(vit, 32, 64, channels=16, quality=quality)


def boxes(count: int) -> torch.Tensor:
    return torch.tensor([[20.0, 22.0, 24.0, 20.0]]).expand(count, -1)


def test_candidates_lie_where_the_cells_are():
    network = make().eval()
    prediction = network(*network.export_inputs(2))
    prediction = prediction._replace(offsets=torch.zeros_like(prediction.offsets))
    found = network.candidates(prediction).boxes
    centers = (found[:, :, :2] + found[:, :, 2:] / 2).reshape(2, 8, 8, 2)
    torch.testing.assert_close(centers[:, 3, 5], torch.tensor([[40.0, 24.0]] * 2))


def test_the_box_chooses_the_voters():
    masks = voting_tokens(torch.tensor([[0.3, 0.28, 0.33, 0.47]]) * 128, 128, 8, "box")
    assert masks[0].nonzero().flatten().tolist() == [18, 19, 20, 26, 27, 28, 34, 35, 36, 42, 43, 44]
    assert voting_tokens(torch.tensor([[63.0, 63.0, 1.0, 1.0]]), 128, 8, "box").sum() == 1  # smaller than a token
    assert voting_tokens(boxes(1), 128, 12, "center").nonzero()[0, 1] == 5 * 12 + 5


@pytest.mark.parametrize("quality", ["iou_head", "score"])
def test_both_ways_of_predicting_the_iou_are_trained_by_labelled_pairs_alone(quality):
    network, loss = make(quality).train(), OSTrackLoss(64, 8, quality=quality)
    prediction = network(*network.export_inputs(4))
    keep = torch.tensor([True, True, False, True])
    labelled, pseudo = (mean_terms(loss(prediction, boxes(4), keep, train)) for train in (True, False))
    changed = {name for name in labelled if name not in pseudo or labelled[name] != pseudo[name]}
    assert changed == {"iou" if quality == "iou_head" else "focal"}
    assert (quality == "score") == (prediction.ious is prediction.scores)


def test_an_exact_box_is_the_best_answer_of_the_quality_focal_loss():
    heat = torch.zeros(1, 3, 3)
    heat[0, 1, 1] = 1
    scores = torch.full((1, 3, 3), 1e-4)

    def value(score: float) -> float:
        scores[0, 1, 1] = score
        return focal(scores, heat, torch.tensor([True]), torch.tensor([0.6])).sum.item()

    assert value(0.6) < min(value(0.5), value(0.7))


def test_dropped_instances_change_nothing():
    network, loss = make().eval(), OSTrackLoss(64, 8)
    prediction = network(*network.export_inputs(3))
    targets = boxes(3).clone()
    keep = torch.tensor([True, True, False])
    first = mean_terms(loss(prediction, targets, keep, True))
    targets[2] = float("nan")
    assert first == mean_terms(loss(prediction, targets, keep, True))


def test_parameter_groups_cover_every_trained_parameter_once():
    network = make()
    trained = {id(p) for p in network.parameters() if p.requires_grad}
    for options in ({}, {"layer_decay": 0.5, "decay_norms": False}):
        groups = network.parameter_groups(1e-3, 0.1, **options)
        together = [id(p) for group in groups for p in group["params"]]
        assert sorted(together) == sorted(trained)
    rates = {group["name"]: group["lr"] for group in groups}
    assert rates["head"] == 1e-3
    assert rates["backbone_03"] == pytest.approx(1e-4)
    assert rates["backbone_00"] == pytest.approx(1e-4 / 8)
    assert all(group["weight_decay"] == 0 for group in groups if group["name"].endswith("_no_decay"))


def test_training_drops_search_tokens_from_the_warm_up_on():
    network = make().train()
    inputs = network.export_inputs()
    counts = []
    network.backbone.blocks[2].norm1.register_forward_hook(lambda module, args, output: counts.append(output.shape[1]))
    for epoch in (0, 200):
        network.begin_epoch(epoch)
        network(*inputs)
    assert counts == [16 + 64, 16 + 45]


def test_published_files_go_in_and_out(tmp_path):
    from spot.architectures.published import Weights
    from spot.architectures.weight_files import read_file

    network, target = make(), tmp_path / "OSTrack_ep0300.pth.tar"
    OSTrack.published.write(Weights(None, 300, network.state_dict()), network, target)
    content = read_file(target)
    assert {"box_head.conv1_ctr.0.weight", "box_head.conv5_size.bias"} <= content["net"].keys()
    del content["net_type"]  # as in some files
    read = OSTrack.published.read([target], content, network)
    own = {key: value for key, value in network.state_dict().items() if not key.startswith("iou_branch.")}
    assert read.epoch == 300
    assert read.tensors.keys() == own.keys()
    assert all(torch.equal(read.tensors[key], own[key]) for key in own)


def test_bad_input_is_one_line(tmp_path):
    network = make().eval()
    with pytest.raises(SpotError, match=r"arch\.loss\.grid=16: .* set it to 8"):
        OSTrackLoss(64)(network(*network.export_inputs(3)), boxes(3), torch.ones(3, dtype=torch.bool), True)
    with pytest.raises(SpotError, match=r"search_size=60: give a multiple of the patch size 8"):
        JointViT("vit_tiny_patch16_224", 32, 60, "none", options=TINY)
    with pytest.raises(SpotError, match=r"model=resnet18: .*VisionTransformer"):
        JointViT("resnet18", 32, 64, "none")
    with pytest.raises(SpotError, match=r"model=no_such_vit"):
        JointViT("no_such_vit", 32, 64, "none")
    torch.save({"model": {"norm.weight": torch.ones(48)}}, tmp_path / "other.pth")
    with pytest.raises(SpotError, match=r"other\.pth does not hold this ViT"):
        JointViT("vit_tiny_patch16_224", 32, 64, str(tmp_path / "other.pth"), options=TINY)
