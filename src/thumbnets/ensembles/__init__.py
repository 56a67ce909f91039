"""Several classifiers as one: how their votes are combined, and which of them vote."""
