"""The satellite's own port, 9100: health, state and metrics.

What belongs here: translation between HTTP and the use cases. What does not: decisions, files, the space link.
"""
