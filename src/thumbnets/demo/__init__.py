"""A page on this machine in which a picture is classified."""
