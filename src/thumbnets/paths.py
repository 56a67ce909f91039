"""Every path of the project, relative to its root (where DVC runs the stages)."""

from pathlib import Path

PARAMS = Path("params.yaml")
REQUIREMENTS = Path("requirements.lock")
STAGES = Path("stages")
PRETRAINED = Path("pretrained")
CODE = Path("build/code")
ENCODER_CODE = CODE / "encoders.json"
CHECKPOINTS = Path("build/checkpoints")
RAW = Path("data/raw")
TRAIN = Path("data/processed/train")
TEST = Path("data/processed/test")
FINDINGS = Path("data/processed/findings.json")
AUGMENTATION_PREVIEW = Path("plots/augmentation.png")
ENCODERS = Path("encoders")
ENCODERS_OF = ENCODERS / "of-models"  # the hyphen keeps it apart from blocks
WEIGHTS = Path("weights")
VALIDATION = Path("predictions/validation")
TEST_PREDICTIONS = Path("predictions/test")
HISTORY = Path("plots/history")
CONFUSION = Path("plots/confusion")
SELECTION = Path("ensembles/selection.json")
TEACHER = Path("teacher")
METRICS = Path("metrics")
ENSEMBLE_METRICS = METRICS / "ensemble.json"
SUMMARY = METRICS / "summary.json"
REPORT = Path("report")
PLOTS = Path("plots")


def raw(dataset: str) -> Path:
    """The files of a data set as published, decompressed."""
    return RAW / dataset


def model_code(model: str) -> Path:
    """What the training of a model block rests on: settings, and a fingerprint of its code."""
    return CODE / f"{model}.json"


def stage_code(stage: str) -> Path:
    """A fingerprint of the code of a stage."""
    return CODE / "stages" / f"{stage}.json"


def checkpoint(model: str, seed: int, part: str) -> Path:
    """The state of a training that is under way."""
    return CHECKPOINTS / model / f"{seed}-{part}.pt"


def encoder(block: str, seed: int) -> Path:
    """The pre-trained encoder of one block and seed."""
    return ENCODERS / block / f"{seed}.safetensors"


def embedding(block: str, seed: int) -> Path:
    """A map of validation images by the features of an encoder, and some nearest neighbours."""
    return ENCODERS / block / f"{seed}.npz"


def encoder_of(model: str, seed: int) -> Path:
    """Checksum of the encoder that a training begins with."""
    return ENCODERS_OF / model / f"{seed}.json"


def weights(model: str, seed: int) -> Path:
    """The trained network of one model block and seed."""
    return WEIGHTS / model / f"{seed}.safetensors"


def validation_predictions(model: str, seed: int) -> Path:
    """Logits of one run on its validation fold."""
    return VALIDATION / model / f"{seed}.npz"


def history(model: str, seed: int) -> Path:
    """Learning curve of one run, a row an epoch."""
    return HISTORY / model / f"{seed}.csv"


def test_predictions(model: str) -> Path:
    """Test logits of all seeds of a model, and its most confident mistakes."""
    return TEST_PREDICTIONS / f"{model}.npz"


def metrics(model: str) -> Path:
    """Test metrics of a model over its seeds."""
    return METRICS / f"{model}.json"


def confusion(model: str) -> Path:
    """Actual and predicted class, a row a test image and seed."""
    return CONFUSION / f"{model}.csv"
