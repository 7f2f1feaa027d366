"""Attribution: rules that set the feature or cost centre of calls, in history too.

A series keeps its identity (the digest of what was sent) and its rows in the roll-ups; a rule only changes the feature
and cost centre written in it, with what was sent kept beside. So history follows at once, ingest finds the same series
as ever, and ending a rule puts back what was sent.
"""
