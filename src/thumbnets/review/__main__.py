"""`python -m thumbnets.review BASE [HEAD]`: `thumbnets review` where little is installed.

It needs numpy, scipy, ruamel.yaml, rich and tqdm.
"""

import argparse

from thumbnets.review.commands import add_review, review
from thumbnets.stage import run

if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="thumbnets review", description=review.__doc__)
    add_review(parser)
    run(review, parser.parse_args())
