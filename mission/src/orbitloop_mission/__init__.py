"""The ``orbitloop`` command: a whole mission on one machine.

What belongs here: putting satellite, ground and link together, and showing what came of it. What does not: anything
that a satellite or a ground station would need without this command.
"""
