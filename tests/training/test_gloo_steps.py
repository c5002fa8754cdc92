"""The same step on 1, 2 and 4 processes has the same gradient (docs/method.md section 4)."""

import pytest
import torch

from tests.end_to_end.runs import run_words

ARCHITECTURES = ("transt_tiny", "ocean_tiny")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    output = tmp_path_factory.mktemp("gloo")
    done = run_words(["tests.training.gloo_steps", str(output), *ARCHITECTURES], output)
    assert done.returncode == 0, done.stderr
    return output


@pytest.mark.slow
@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_the_gradient_does_not_depend_on_the_number_of_processes(arch, folder):
    """Half of the labels are kept, unevenly over the processes: terms that were means per process would differ.

    The networks compute in double precision, so that the order of sums is no reason for a difference.
    """
    one, *others = (torch.load(folder / f"{arch}_{world}.pt", weights_only=True) for world in (1, 2, 4))
    assert one[-1] == 6
    for other in others:
        assert other[-1] == 6  # the same labels are kept
        assert float((other[:-1] - one[:-1]).norm() / one[:-1].norm()) < 1e-6
