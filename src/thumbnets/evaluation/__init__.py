"""Scores of predictions, and what they are worth: metrics, intervals, comparisons."""
