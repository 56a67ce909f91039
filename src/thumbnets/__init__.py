"""Train, compare and combine small image classifiers, reproducibly."""

from thumbnets.runtime import quiet_threads

quiet_threads()  # before torch is imported: the thread pools read the environment only once
