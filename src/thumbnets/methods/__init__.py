"""How a network learns: one method per file, chosen by `method` in `train` or a model's block."""
