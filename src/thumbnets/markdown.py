"""Untrusted text in Markdown that GitHub shows."""

import html
import re


def escaped(text: str) -> str:
    """Text on one line, in which no markup, formula, link or mention takes effect."""
    text = html.escape(" ".join(text.split()), quote=False)
    text = re.sub(r"([\\`*_{}\[\]()#!|~$])", r"\\\1", text)
    return re.sub(r"(@|://|www\.)", lambda found: f"{found[0][0]}<!-- -->{found[0][1:]}", text)
