"""Jobs of a worker.

What belongs here: what Sedna has under this path. What does not: code of its own.
"""
