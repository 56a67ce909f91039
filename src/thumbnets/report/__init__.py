"""The report: figures and a page that opens from disk."""
