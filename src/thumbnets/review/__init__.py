"""Comparing two commits, or all, by what git holds: nothing is checked out, nothing trained."""
