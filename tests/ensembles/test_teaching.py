"""What an ensemble teaches: the mean over seeds of its votes, of each view by itself."""

import numpy as np
import torch

from thumbnets.data.views import VIEWS, transformed
from thumbnets.ensembles.teaching import chosen, teach
from thumbnets.training.batches import Images


class Bright:
    """A classifier of two classes whose logit is the brightness of a pixel of the image."""

    def __init__(self, column: int) -> None:
        self.column = column

    def logits(self, images: Images, view) -> np.ndarray:
        seen = torch.cat([view(part) for part in images.split(1)])
        logit = seen[:, 0, 0, self.column].numpy() / 100
        return np.stack([logit, np.zeros_like(logit)], axis=1)


def test_by_hand():
    images = torch.zeros(2, 1, 2, 2, dtype=torch.uint8)
    images[0, 0, 0] = torch.tensor([100, 200])
    data = Images(images, torch.zeros(2, dtype=torch.int64))
    members = {"a-0": Bright(0), "a-1": Bright(1), "b-0": Bright(1)}
    ensembles = [{"votes": {"a-0": 1, "b-0": 3}}, {"votes": {"a-1": 2}}]
    taught = teach(ensembles, members, data, "flip")
    assert taught.shape == (len(VIEWS["flip"]), 2, 2) and taught.dtype == np.float32

    def sure(logit: float) -> float:
        return 1 / (1 + np.exp(-logit))

    plain = ((sure(1) + 3 * sure(2)) / 4 + sure(2)) / 2
    mirrored = ((sure(2) + 3 * sure(1)) / 4 + sure(1)) / 2
    np.testing.assert_allclose(np.exp(taught[:, 0, 0]), [plain, mirrored], rtol=1e-6)
    np.testing.assert_allclose(np.exp(taught).sum(2), 1, rtol=1e-6)
    np.testing.assert_allclose(np.exp(taught[:, 1]), 0.5, rtol=1e-6)  # a black image


def test_views_come_in_their_order():
    """The student sees each view beside what was said of that one."""
    images = torch.arange(16, dtype=torch.uint8).view(1, 1, 4, 4)
    data = Images(images, torch.zeros(1, dtype=torch.int64))
    taught = teach([{"votes": {"a-0": 1}}], {"a-0": Bright(1)}, data, "flip_shift")
    seen = [float(transformed(images, *view)[0, 0, 0, 1]) / 100 for view in VIEWS["flip_shift"]]
    assert len(set(seen)) > 5
    np.testing.assert_allclose(taught[:, 0, 0] - taught[:, 0, 1], seen, atol=1e-5)


def test_only_those_that_were_chosen_are_asked():
    ensembles = [{"votes": {"b-0": 1}}, {"votes": {"a-1": 2, "b-1": 1}}, {"members": ["c-2"]}]
    assert chosen(ensembles) == ["a-1", "b-0", "b-1", "c-2"]
