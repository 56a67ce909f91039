"""Recipes: experiments with goals as files, how they are run, and what came of them."""
