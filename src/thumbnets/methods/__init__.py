"""How a network learns: one way a file, chosen by `method` in `train` or in a model's block."""
