"""Trainings at once, ahead of `dvc repro`: in processes of this machine."""
