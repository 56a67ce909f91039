"""Ensembles of classifiers: which of them vote, and how their votes are combined."""
