"""Networks for bags of images: an encoder of single images, and a pooling over each bag.

Pooling is a sum, a mean, a softmax or a maximum over the images with the same bag index, so that
bags of different sizes are computed in one batch.

Source: Ilse et al. 2018, arXiv:1802.04712, sections 2.2 to 2.4.
"""

import torch
from torch import Tensor, nn

from thumbnets.data.bags import Bags
from thumbnets.models.heads import without_head


def bag_sum(values: Tensor, of: Tensor, bags: int) -> Tensor:
    """Sum over the images of each bag.

    Args:
        values: float [I] or [I, M], one value or M values of each image.
        of: int64 [I], index of the bag of each image.
        bags: Number of bags, N.

    Returns:
        float [N] or [N, M].
    """
    return values.new_zeros(bags, *values.shape[1:]).index_add(0, of, values)


def bag_max(values: Tensor, of: Tensor, bags: int) -> Tensor:
    """Maximum over the images of each bag; arguments and result as of `bag_sum`."""
    least = values.new_full((bags, *values.shape[1:]), -torch.inf)
    of = of if values.ndim == 1 else of[:, None].expand_as(values)
    return least.scatter_reduce(0, of, values, "amax")


def bag_mean(values: Tensor, of: Tensor, bags: int) -> Tensor:
    """Mean over the images of each bag; arguments and result as of `bag_sum`."""
    sizes = bag_sum(values.new_ones(len(values)), of, bags)
    return bag_sum(values, of, bags) / sizes.view(-1, *[1] * (values.ndim - 1))


def bag_logsumexp(values: Tensor, of: Tensor, bags: int) -> Tensor:
    """Logarithm of the sum of exponentials over the images of each bag: float [N] of [I]."""
    most = bag_max(values.detach(), of, bags)
    return bag_sum((values - most[of]).exp(), of, bags).log() + most


class Attention(nn.Module):
    """Mean of the images' features, weighted by a softmax over the bag of the scores of a small
    network.

    Args:
        features: Number of features of an image, M.
        width: Units of the hidden layer.
        gated: Whether each unit is multiplied by a sigmoid of the features (eq. 9) or not (eq. 8).
    """

    def __init__(self, features: int, width: int, *, gated: bool) -> None:
        super().__init__()
        self.value = nn.Linear(features, width)
        self.gate = nn.Linear(features, width) if gated else None
        self.score = nn.Linear(width, 1)

    def weights(self, features: Tensor, of: Tensor, bags: int) -> Tensor:
        """Weight of each image, float32 [I]; the weights of a bag sum to 1."""
        hidden = self.value(features).tanh()
        if self.gate is not None:
            hidden = hidden * self.gate(features).sigmoid()
        scores = self.score(hidden)[:, 0].float()
        return (scores - bag_logsumexp(scores, of, bags)[of]).exp()

    def forward(self, features: Tensor, of: Tensor, bags: int) -> Tensor:
        return bag_sum(self.weights(features, of, bags)[:, None] * features, of, bags)


class BagNetwork(nn.Module):
    """From bags to logits of two classes, without the target and with it.

    Images given as a plain tensor are bags of one image each.

    Args:
        network: Classifier of images that ends in a linear layer, which is removed.
        pooling: Pooling of features and then one linear layer (attention, gated_attention, mean or
            max), or pooling of the probabilities that this layer gives to each image
            (instance_mean or instance_max).
        width: Units of the attention.

    Raises:
        ValueError: The network does not end in a linear layer.
    """

    def __init__(self, network: nn.Module, pooling: str, width: int) -> None:
        super().__init__()
        self.encoder, head = without_head(network)
        features = head.in_features
        self.pooling = pooling
        attends = pooling in ("attention", "gated_attention")
        gated = pooling == "gated_attention"
        self.attention = Attention(features, width, gated=gated) if attends else None
        self.classifier = nn.Linear(features, 1)

    def forward(self, bags: Bags | Tensor) -> Tensor:
        """Logits float32 [N, 2]: 0, and the log-odds of the target."""
        bags = _as_bags(bags)
        logit = self._logit(self.encoder(bags.images).float(), bags.of, len(bags)).float()
        return torch.stack([torch.zeros_like(logit), logit], 1)

    def weights(self, bags: Bags) -> Tensor:
        """Attention weight of each image, float32 [I]."""
        return self.attention.weights(self.encoder(bags.images).float(), bags.of, len(bags))

    def _logit(self, features: Tensor, of: Tensor, bags: int) -> Tensor:
        if self.pooling.startswith("instance"):
            scores = self.classifier(features)[:, 0].float()
            if self.pooling == "instance_max":
                return bag_max(scores, of, bags)
            # log p - log (1 - p) of a mean of probabilities p: the number of images cancels
            log_sigmoid = nn.functional.logsigmoid
            with_target = bag_logsumexp(log_sigmoid(scores), of, bags)
            return with_target - bag_logsumexp(log_sigmoid(-scores), of, bags)
        pool = self.attention or {"mean": bag_mean, "max": bag_max}[self.pooling]
        return self.classifier(pool(features, of, bags))[:, 0]


def _as_bags(images: Bags | Tensor) -> Bags:
    if isinstance(images, Bags):
        return images
    return Bags(images, torch.ones(len(images), dtype=torch.int64))
