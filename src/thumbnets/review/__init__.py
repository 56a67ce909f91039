"""Two commits, or all of them, by what git holds: nothing is checked out and nothing trained."""
