"""In-memory adapters and builders, shipped with the core.

What belongs here: implementations of ports without disk or network that pass the same contract tests as the real ones,
and builders of valid values. What does not: tests, and mocks.
"""
