"""Flaws of the data: copies, odd images, uneven classes and labels that may be wrong."""
