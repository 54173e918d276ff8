"""Decisions and mathematics, as pure functions over frozen values.

What belongs here: whatever gives the same answer to the same arguments; the standard library and numpy only. What does
not: clocks, files, sockets, logs, chance.
"""
