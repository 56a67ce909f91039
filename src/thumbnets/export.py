"""Trained networks as files for other programs: ONNX, or TorchScript.

Such a file maps images uint8 [N, C, H, W], for any N from 1 up, to float32 [N, K]: it includes the
normalisation. Its metadata, JSON under `thumbnets`, suffice to use it: see `exported.about`. The
project itself reads safetensors alone.
"""

import io
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnx
import torch
from scipy.special import softmax
from torch import Tensor, nn

from thumbnets.artifacts import write_bytes
from thumbnets.exported import Exported, about, output_name
from thumbnets.messages import reason
from thumbnets.trained import Trained

_KEY = "thumbnets"
_TOLERANCE = {"logit": 1e-3, "probability": 1e-4}  # other programs add in another order


def export(trained: Trained, file_format: str, path: Path, *, probabilities: bool = False) -> float:
    """Write a trained network, after a check that the exported one gives the same outputs.

    Args:
        trained: Training or ensemble, on the CPU.
        file_format: Format, `onnx` or `torchscript`.
        path: File to write.
        probabilities: Whether it gives calibrated probabilities in place of logits.

    Returns:
        The largest absolute difference of a logit over noise images that were not traced; of
        an ensemble, and with `probabilities`, of a calibrated probability.

    Raises:
        ValueError: The format is unknown, a logit is not finite, the network can't be written in
            this format, the check of what was exported can't be made, or it gives other values.
    """
    if file_format not in _FORMATS:
        raise ValueError(f"format must be one of {', '.join(_FORMATS)}, got {file_format!r}.")
    meta = trained.meta
    shape = (meta.channels, meta.image_size, meta.image_size)
    noise = np.random.default_rng(0).integers(0, 256, (5, *shape), dtype=np.uint8)
    scores = trained.scores(noise)
    network = Exported(trained, probabilities=probabilities).eval()
    name = output_name(probabilities=probabilities)
    try:
        content, run = _FORMATS[file_format](
            network, torch.from_numpy(noise[:2]), about(trained, probabilities=probabilities), name
        )
    except Exception as error:  # of many types: the format may lack an operation
        raise ValueError(
            f"{trained.title} can't be written as {file_format}: {reason(error)}."
        ) from None
    try:
        found = run(noise)
    except Exception as error:
        raise ValueError(
            f"The check of {trained.title} as {file_format} failed ({reason(error)}): nothing was "
            "written. Please report it."
        ) from None
    what = compared(trained, probabilities=probabilities)
    if what == "probability":
        found = found if probabilities else softmax(found / trained.temperature, axis=1)
        scores = softmax(scores / trained.temperature, axis=1)
    difference = float(np.abs(found - scores).max())
    if not difference <= _TOLERANCE[what]:
        raise ValueError(
            f"as {file_format} the network gives different {name} (by up to {difference:.2g}): "
            "nothing was written. Please report it."
        )
    write_bytes(path, content)
    return difference


def compared(trained: Trained, *, probabilities: bool) -> str:
    """The output to compare an exported network by: logits of an ensemble have no common zero."""
    return "logit" if trained.ensemble is None and not probabilities else "probability"


Run = Callable[[np.ndarray], np.ndarray]


def _torchscript(network: nn.Module, images: Tensor, about: str, _: str) -> tuple[bytes, Run]:
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # image sizes become constants of the trace, as intended
        traced = torch.jit.trace(network, images)
    content = io.BytesIO()
    torch.jit.save(traced, content, _extra_files={_KEY: about})

    def run(images: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            again = torch.jit.load(io.BytesIO(content.getvalue()))
            return again(torch.from_numpy(images)).numpy()

    return content.getvalue(), run


def _onnx(network: nn.Module, images: Tensor, about: str, output: str) -> tuple[bytes, Run]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            network,
            (images,),
            dynamo=True,
            verbose=False,
            input_names=["images"],
            output_names=[output],
            dynamic_shapes={"images": {0: torch.export.Dim("N")}},
        )
    model = program.model_proto
    model.metadata_props.add(key=_KEY, value=about)
    onnx.checker.check_model(model, full_check=True)
    content = model.SerializeToString()
    return content, lambda images: _run_onnx(content, images)


def _run_onnx(content: bytes, images: np.ndarray) -> np.ndarray:
    """Output of an ONNX file by onnxruntime where that is installed, else by onnx's reference."""
    if find_spec("onnxruntime"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        providers = ["CPUExecutionProvider"]
        run = onnxruntime.InferenceSession(content, options, providers=providers)
    else:
        from onnx.reference import ReferenceEvaluator

        run = ReferenceEvaluator(onnx.load_model_from_string(content))
    return run.run(None, {"images": images})[0]


_FORMATS = {"onnx": _onnx, "torchscript": _torchscript}
