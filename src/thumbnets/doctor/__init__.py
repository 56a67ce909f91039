"""Checks for broken or odd things in a project, each with the one command that repairs it."""
