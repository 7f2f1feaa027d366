"""`make bench`: the numbers table of the architecture, measured on a real desk that is started for it and thrown away.

Every figure is a ratio to a reference taken in the same run, in alternating rounds, because the machine's own speed
changes from minute to minute. Nothing here is a timed test: a slow machine makes a poor table, not a failure.
"""
