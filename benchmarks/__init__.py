"""How long training takes, beside the usual tools: one file a question, `python -m benchmarks`."""
