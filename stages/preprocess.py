"""Turn raw files into uint8 arrays with folds: data/processed/train/ and data/processed/test/."""

from pathlib import Path

from thumbnets import paths
from thumbnets.artifacts import write_json
from thumbnets.data.arrays import write_split
from thumbnets.data.preprocess import preprocess
from thumbnets.inputs import stage_params
from thumbnets.quality.images import write_flaws
from thumbnets.report.preview import preview
from thumbnets.stage import run_stage


def main() -> None:
    params = stage_params("preprocess")
    prepared = preprocess(
        params.data.name,
        paths.DATASET,
        folds=params.split.folds,
        seed=params.split.seed,
        rule=params.data.rule,
        corrections=params.data.corrections and Path(params.data.corrections),
        duplicates=params.data.duplicates,
    )
    preview(prepared.train, params.train.augment, paths.AUGMENTATION_PREVIEW)
    write_split(paths.TRAIN, prepared.train)
    write_split(paths.TEST, prepared.test)
    write_json(paths.FINDINGS, prepared.findings.as_json())
    write_flaws(paths.FLAWS, prepared)


if __name__ == "__main__":
    run_stage(main)
