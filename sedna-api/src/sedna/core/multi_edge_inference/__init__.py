"""Video across several edges, which is not there: using a name from here says so.

What belongs here: what Sedna has under this path. What does not: code of its own.
"""
