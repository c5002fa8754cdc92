"""The networks that track are the networks that were trained."""

import pytest
import torch
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate

from spot.architectures.convolution import Conv2d
from spot.tracking.benchmark import prepare_for_inference
from tests.paths import ROOT


@pytest.mark.parametrize("arch", ["transt", "ocean"])
def test_a_full_network_says_the_same_as_in_double_precision(arch):
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        cfg = compose("train", [f"arch={arch}", "data=synthetic", "arch.network.backbone.weights=none"])
    torch.manual_seed(0)
    network = instantiate(cfg.arch.network).eval()
    inputs = network.export_inputs(2)
    quick = prepare_for_inference(network)
    with torch.inference_mode():
        ours = quick.candidates(quick(*inputs))
        assert any(module.prepared for module in quick.modules() if isinstance(module, Conv2d))
        network.double()
        exact = network.candidates(network(*(part.double() for part in inputs)))
    for name, atol in (("scores", 1e-5), ("boxes", 1e-3), ("ious", 1e-5)):
        torch.testing.assert_close(getattr(ours, name).double(), getattr(exact, name), rtol=0, atol=atol)
