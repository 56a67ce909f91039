"""Trainings in parallel, ahead of `dvc repro`: on this machine, a Slurm or a Ray cluster."""
