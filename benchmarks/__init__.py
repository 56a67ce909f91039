"""Training times compared with the usual tools: one file per question, `python -m benchmarks`."""
