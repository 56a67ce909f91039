"""`python -m thumbnets`: the command line."""

from thumbnets.cli import main

main()
