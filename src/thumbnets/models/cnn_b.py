"""CNN B: 583,830 parameters on 28x28x1 with 10 classes."""

from torch import Tensor, nn

from thumbnets.registry import NETWORKS


@NETWORKS.register(
    family="small cnn",
    parameters=583_830,
    source="Five Fashion-MNIST networks, figure 2, model 4",
)
def cnn_b(
    *, in_channels: int, image_size: int, num_classes: int, softmax_output: bool = False
) -> nn.Module:
    """One 3x3 convolution of 32 channels (padded in height only), pooling, then 100-classes.

    Args:
        softmax_output: Whether a softmax is applied in training, as the source did under its
            cross-entropy loss: the loss then normalises twice and is at least log(e + classes - 1)
            - 1. For comparison; in evaluation the output is logits.

    Raises:
        ValueError: The images are smaller than 4 pixels.
    """
    height, width = image_size // 2, (image_size - 2) // 2
    if width < 1:
        raise ValueError(f"cnn_b needs images of at least 4 pixels, got {image_size}.")
    return nn.Sequential(
        nn.Conv2d(in_channels, 32, 3, padding=(1, 0)),  # [N, 32, 28, 26]
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),  # [N, 32, 14, 13]
        nn.Flatten(),
        nn.Linear(32 * height * width, 100),
        nn.ReLU(inplace=True),
        nn.Linear(100, num_classes),
        *([_SoftmaxInTraining()] if softmax_output else []),
    )


class _SoftmaxInTraining(nn.Module):
    """Softmax while training, nothing in evaluation, so that scores mean the same for all."""

    def forward(self, logits: Tensor) -> Tensor:
        return logits.softmax(dim=1) if self.training else logits
