"""Protocols of one to three methods, owned by the use cases that call them.

What belongs here: the seams where a cluster, one machine and a test differ. What does not: anything with a body.
"""
