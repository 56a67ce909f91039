"""What is broken or odd in a project, and the one command that mends it."""
