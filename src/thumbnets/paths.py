"""Every path of the project, relative to its root (where DVC runs the stages)."""

from collections.abc import Iterable
from pathlib import Path

PARAMS = Path("params.yaml")
LOCK = Path("dvc.lock")
REQUIREMENTS = Path("requirements.lock")
SOURCE = Path("src")
STAGES = Path("stages")
PRETRAINED = Path("pretrained")
ZOO = Path("zoo")
INPUTS = Path("build/inputs")
STAGE_INPUTS = INPUTS / "stages"
CHECKPOINTS = Path("build/checkpoints")
FOUND_IN_CODE = Path("build/code")  # what `remembered` remembers
LAUNCH = Path("build/launch")  # jobs and their logs
WORKSPACES = Path(".dvc/tmp/recipes")  # checkouts in which recipes run
RAW = Path("data/raw")
DATASET = RAW / "dataset"  # a fixed name: DVC empties it before anything checks data.name
TRAIN = Path("data/processed/train")
TEST = Path("data/processed/test")
FINDINGS = Path("data/processed/findings.json")
FLAWS = Path("data/processed/flaws")
SUGGESTIONS = Path("quality/corrections.csv")
CORRECTIONS = Path("corrections")
AUGMENTATION_PREVIEW = Path("plots/augmentation.png")
ENCODERS = Path("encoders")
ENCODERS_OF = ENCODERS / "of-models"  # the hyphen keeps it apart from blocks
WEIGHTS = Path("weights")
VALIDATION = Path("predictions/validation")
TEST_PREDICTIONS = Path("predictions/test")
HISTORY = Path("plots/history")
CONFUSION = Path("plots/confusion")
# In place of a block's name: the model that `model` names, in a slot of its own; and the ensemble.
HEADLINE = "headline"
ENSEMBLE = "ensemble"
SELECTION = Path("ensembles/selection.json")
TEACHER = Path("teacher")
METRICS = Path("metrics")
MODEL_METRICS = METRICS / "models"
CORRECT = METRICS / "correct"
ENSEMBLE_METRICS = METRICS / "ensemble.json"
SUMMARY = METRICS / "summary.json"
REPORT = Path("report")
QUALITY = REPORT / "quality.json"
PLOTS = Path("plots")


# A slot is the name of a block in the pool, or HEADLINE. The headline's files lie in a folder of
# their own, so that another headline makes nothing stale that depends on the pool alone. Encoders
# are trained in slots as well, `encoders/NAME`.


def items(pool: Iterable[str], seeds: Iterable[int]) -> set[str]:
    """What follows the @ in the names of a run's stages; "" for stages without one.

    dvc.lock also keeps the stages of models and seeds that have left the run.
    """
    slots = [*pool, HEADLINE]
    return {"", *slots, *(f"{slot}-{seed}" for slot in slots for seed in seeds)}


def encoder_slot(block: str) -> str:
    """The slot in which the encoder of a block is trained."""
    return f"{ENCODERS}/{block}"


def encoder_of_slot(slot: str) -> str | None:
    """The block whose encoder is trained in a slot; None for a slot of a model."""
    folder, _, block = slot.rpartition("/")
    return block if folder == str(ENCODERS) else None


def fetched(dataset: str) -> Path:
    """Files of a data set that `thumbnets fetch` has fetched."""
    return RAW / dataset


def training_inputs(slot: str) -> Path:
    """What the training of a slot depends on: settings, a fingerprint of its code, files.

    That of an encoder is one entry of the file of stage `pretrain`.
    """
    return stage_inputs("pretrain") if encoder_of_slot(slot) else INPUTS / f"{slot}.json"


def stage_inputs(stage: str) -> Path:
    """What a stage depends on: the params that it reads, and a fingerprint of its code."""
    return STAGE_INPUTS / f"{stage}.json"


def checkpoint(key: str, part: str) -> Path:
    """The state of a training that is under way."""
    return CHECKPOINTS / f"{key}-{part}.pt"


def encoder(block: str, seed: int) -> Path:
    """The pre-trained encoder of one block and seed."""
    return ENCODERS / block / f"{seed}.safetensors"


def embedding(block: str, seed: int) -> Path:
    """A map of validation images by the features of an encoder, and some nearest neighbours."""
    return ENCODERS / block / f"{seed}.npz"


def encoder_of(slot: str, seed: int) -> Path:
    """Checksum of the encoder that a training begins with."""
    return ENCODERS_OF / slot / f"{seed}.json"


def weights_folder(slot: str) -> Path:
    """The trained networks of a slot, one file per seed."""
    return _folder(slot, WEIGHTS, "weights")


def validation_folder(slot: str) -> Path:
    """Logits of a slot on its validation folds, one file per seed."""
    return _folder(slot, VALIDATION, "validation")


def history_folder(slot: str) -> Path:
    """Learning curves of a slot, one file per seed."""
    return _folder(slot, HISTORY, "history")


def weights(slot: str, seed: int) -> Path:
    """The trained network of one slot and seed."""
    return weights_folder(slot) / f"{seed}.safetensors"


def validation_predictions(slot: str, seed: int) -> Path:
    """Logits of one training on its validation fold."""
    return validation_folder(slot) / f"{seed}.npz"


def history(slot: str, seed: int) -> Path:
    """Learning curve of one training, one row per epoch."""
    return history_folder(slot) / f"{seed}.csv"


def test_predictions(slot: str) -> Path:
    """Test logits of all seeds of a slot, and its most confident mistakes."""
    return Path(HEADLINE, "test.npz") if slot == HEADLINE else TEST_PREDICTIONS / f"{slot}.npz"


def confusion(slot: str) -> Path:
    """Actual and predicted class, one row per test image and seed."""
    return Path(HEADLINE, "confusion.csv") if slot == HEADLINE else CONFUSION / f"{slot}.csv"


def metrics(slot: str) -> Path:
    """Test metrics of a slot over its seeds."""
    return MODEL_METRICS / f"{slot}.json"


def correct(slot: str) -> Path:
    """One bit per test image and training: whether it was recognised."""
    return CORRECT / f"{slot}.json"


def visible(folder: Path, pattern: str) -> list[Path]:
    """Files of a folder in order, without hidden ones: editors' locks, copies of macOS."""
    return [path for path in sorted(folder.glob(pattern)) if not path.name.startswith(".")]


def _folder(slot: str, of_pool: Path, name: str) -> Path:
    return Path(HEADLINE, name) if slot == HEADLINE else of_pool / slot
