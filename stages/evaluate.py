"""Score one model, all its seeds, on the test split: predictions, metrics, confusion data."""

import sys

import numpy as np

from thumbnets import paths, runtime
from thumbnets.artifacts import keep_only, write_arrays, write_csv, write_json
from thumbnets.data.arrays import read_split
from thumbnets.evaluation import views
from thumbnets.evaluation.metrics import score_logits
from thumbnets.evaluation.mistakes import confident_mistakes
from thumbnets.evaluation.summaries import over_seeds
from thumbnets.methods.base import build_method
from thumbnets.models import count_parameters
from thumbnets.params import load_params
from thumbnets.stage import run_stage
from thumbnets.training.batches import Images
from thumbnets.training.weights import load_weights


def main(model: str) -> None:
    params = load_params()
    runtime.prepare(threads=params.settings[model].train.threads)
    keep_only(paths.WEIGHTS / model, [f"{seed}.safetensors" for seed in params.seeds])
    test = read_split(paths.TEST)
    device = runtime.device()
    method = build_method(params.settings[model], test.meta)
    examples = method.examples(Images.of(test, device), "test")
    labels, classes = examples.labels.cpu().numpy(), method.task.classes
    classifiers = [load_weights(paths.weights(model, s), device) for s in params.seeds]
    tta = params.evaluation.tta
    logits = np.stack([views.predict(c, examples, [tta])[tta] for c in classifiers])

    scores = [score_logits(s, labels, ece_bins=params.evaluation.ece_bins) for s in logits]
    metrics = over_seeds(scores, classes=classes, images=len(examples))
    metrics["parameters"] = count_parameters(classifiers[0].network)
    metrics["lr_halvings"] = sum(classifier.halvings for classifier in classifiers)
    write_json(paths.metrics(model), metrics)

    mistakes = confident_mistakes(logits, labels, params.evaluation.mistakes)
    write_arrays(
        paths.test_predictions(model),
        logits=logits,
        labels=labels,
        seeds=np.array(params.seeds),
        classes=np.array(classes),
        mistake_images=examples.pictures(mistakes["index"]),
        **{f"mistake_{name}": values for name, values in mistakes.items()},
    )
    names = np.array(classes)
    write_csv(
        paths.confusion(model),
        (
            {"actual": actual, "predicted": predicted}
            for of_seed in logits
            for actual, predicted in zip(names[labels], names[of_seed.argmax(1)], strict=True)
        ),
    )


if __name__ == "__main__":
    run_stage(main, *sys.argv[1:])
