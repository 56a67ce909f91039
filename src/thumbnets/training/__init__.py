"""How a network is trained: loop, optimizers, schedules, initialisation, early stopping."""
