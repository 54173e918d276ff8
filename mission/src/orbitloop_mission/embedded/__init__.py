"""Satellite and ground as processes on one machine, without a cluster.

What belongs here: the composition root of the embedded mission, its mission file and its report. What does not: another
implementation of what the members do.
"""
