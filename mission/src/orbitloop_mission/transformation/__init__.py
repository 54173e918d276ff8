"""Fitting applications to computers on one machine: which there are, how fast computers are, and what comes out.

What belongs here: putting the ground's transformation and the satellite's runtime together. What does not: formulas
(the domain's), training (the ground's), running networks (the satellite's).
"""
