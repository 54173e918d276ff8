"""The loop from what a satellite sees to what its model learns, and back.

What belongs here: what satellite and ground share. What does not: anything that only one of them needs, and any import
that would not fly.
"""
