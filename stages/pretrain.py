"""Train the encoders that models of the run begin with: encoders/. Those up to date are kept.

One that is already trained is found by its inputs: `thumbnets train` runs several at once.

For every training of the run, encoders/of-models/ has the checksum of the encoder that it begins
with, so that a changed encoder causes only the trainings that begin with it to be repeated.
"""

from thumbnets import paths
from thumbnets.artifacts import read_json, remove_stale
from thumbnets.stage import run_stage
from thumbnets.store import note_encoder
from thumbnets.training.settings import ModelSettings


def main() -> None:
    inputs = read_json(paths.stage_inputs("pretrain"))
    seeds, encoders, begins = inputs["params"]["seeds"], inputs["encoders"], inputs["begins"]
    if encoders:
        # Not before: importing torch takes seconds.
        from thumbnets.encoders import check_probes, pretrain

        check_probes([ModelSettings.model_validate(probe) for probe in inputs["probes"]], seeds)
        for block, rests_on in encoders.items():
            pretrain(ModelSettings.model_validate(rests_on["settings"]), seeds)
            names = [f"{seed}{end}" for seed in seeds for end in (".safetensors", ".csv")]
            remove_stale(paths.ENCODERS / block, [*names, f"{seeds[0]}.npz"])
    for slot, encoder in begins.items():
        for seed in seeds:
            note_encoder(slot, seed, encoder)
        remove_stale(paths.ENCODERS_OF / slot, [f"{seed}.json" for seed in seeds])
    remove_stale(paths.ENCODERS_OF, begins)
    remove_stale(paths.ENCODERS, [*encoders, paths.ENCODERS_OF.name])


if __name__ == "__main__":
    run_stage(main)
