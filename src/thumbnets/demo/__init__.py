"""A page on this machine that classifies pictures."""
