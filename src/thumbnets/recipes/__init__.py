"""Recipes: experiments with goals, described in files; running them, and their results."""
