"""Trained networks as files for other programs: ONNX, or TorchScript.

Such a file maps images uint8 [N, C, H, W], for any N, to logits float32 [N, K]: it includes the
normalisation. Its metadata has class names and the size of images, as JSON under `thumbnets`. The
project itself reads safetensors alone.
"""

import io
import json
import warnings
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx.reference import ReferenceEvaluator
from torch import Tensor, nn

from thumbnets.artifacts import write_bytes
from thumbnets.data.arrays import Meta
from thumbnets.training.classifier import Classifier, check_finite, normalise

SUFFIXES = {"onnx": ".onnx", "torchscript": ".pt"}

_KEY = "thumbnets"
_TOLERANCE = 1e-3  # of logits: other programs add in another order


class Exported(nn.Module):
    """A trained network from uint8 images [N, C, H, W] to logits float32 [N, K]."""

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.network = classifier.network
        self.register_buffer("mean", torch.tensor(classifier.meta.mean))
        self.register_buffer("std", torch.tensor(classifier.meta.std))

    def forward(self, images: Tensor) -> Tensor:
        return self.network(normalise(images, self.mean, self.std))


def export(classifier: Classifier, file_format: str, path: Path) -> float:
    """Write a trained network, after a check that the exported one gives the same logits.

    Args:
        classifier: Trained network with its metadata, on the CPU.
        file_format: Format, `onnx` or `torchscript`.
        path: File to write.

    Returns:
        The largest absolute difference of a logit, over noise images that were not traced.

    Raises:
        ValueError: The format is unknown, a package that it needs is missing, a logit is not
            finite, or the exported network gives other logits.
    """
    if file_format not in _FORMATS:
        raise ValueError(f"format must be one of {', '.join(_FORMATS)}, got {file_format!r}.")
    meta = classifier.meta
    shape = (meta.channels, meta.image_size, meta.image_size)
    noise = np.random.default_rng(0).integers(0, 256, (5, *shape), dtype=np.uint8)
    images = torch.from_numpy(noise)
    logits = check_finite(classifier.logits(images))
    network = Exported(classifier).eval()
    content, run = _FORMATS[file_format](network, images[:2], _about(meta))
    difference = float(np.abs(run(noise) - logits).max())
    if not difference <= _TOLERANCE:
        raise ValueError(
            f"as {file_format} the network gives other logits (by up to {difference:.2g}): nothing "
            "was written. Please report it."
        )
    write_bytes(path, content)
    return difference


def _about(meta: Meta) -> str:
    known = asdict(meta)
    kept = ("classes", "channels", "image_size", "mean", "std", "dataset", "fit", "depth")
    return json.dumps({key: known[key] for key in kept}, sort_keys=True)


Run = Callable[[np.ndarray], np.ndarray]


def _torchscript(network: nn.Module, images: Tensor, about: str) -> tuple[bytes, Run]:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # sizes of an image are constants of the trace, as meant
        traced = torch.jit.trace(network, images)
    content = io.BytesIO()
    torch.jit.save(traced, content, _extra_files={_KEY: about})

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            again = torch.jit.load(io.BytesIO(content.getvalue()))
            return again(torch.from_numpy(images)).numpy()

    return content.getvalue(), run


def _onnx(network: nn.Module, images: Tensor, about: str) -> tuple[bytes, Run]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (images,),
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes={"images": {0: torch.export.Dim("N")}},
        )
    model = program.model_proto
    model.metadata_props.add(key=_KEY, value=about)
    onnx.checker.check_model(model, full_check=True)

    def run(images: np.ndarray) -> np.ndarray:
        return ReferenceEvaluator(model).run(None, {"images": images})[0]

    return model.SerializeToString(), run


_FORMATS = {"onnx": _onnx, "torchscript": _torchscript}
