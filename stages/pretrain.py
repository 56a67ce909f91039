"""Train the encoders that models of the run begin with: encoders/. Up to date ones are kept.

For every training of the run encoders/of-models/ has the checksum of the encoder that it begins
with, so that another encoder retrains what rests on it, and nothing else.
"""

from thumbnets import paths
from thumbnets.artifacts import keep_only, read_json, sha256, write_json
from thumbnets.params import load_params
from thumbnets.stage import run_stage


def main() -> None:
    params = load_params()
    code = read_json(paths.ENCODER_CODE)
    if code:
        # not before: importing torch takes seconds
        from thumbnets.pretraining import check_probes, pretrain

        blocks = [params.settings[model] for model in params.run]
        check_probes([block for block in blocks if block.encoder], params.seeds)
        for block in code:
            pretrain(params.settings[block], params.seeds, code[block])
            names = [f"{seed}{end}" for seed in params.seeds for end in (".safetensors", ".csv")]
            keep_only(paths.ENCODERS / block, [*names, f"{params.seeds[0]}.npz"])
    for model in params.run:
        encoder = params.settings[model].encoder
        for seed in params.seeds:
            begins = {encoder: sha256(paths.encoder(encoder, seed))} if encoder else {}
            write_json(paths.encoder_of(model, seed), begins)
        keep_only(paths.ENCODERS_OF / model, [f"{seed}.json" for seed in params.seeds])
    keep_only(paths.ENCODERS_OF, params.run)
    keep_only(paths.ENCODERS, [*code, paths.ENCODERS_OF.name])


if __name__ == "__main__":
    run_stage(main)
