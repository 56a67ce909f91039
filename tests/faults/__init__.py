"""What damaged files, failing disks and malicious content do to the readers and writers.

`python -m tests.faults 10000` mutates each kind of file so many times and prints a table.
"""
