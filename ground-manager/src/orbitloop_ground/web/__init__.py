"""The dashboard: pages that show what the API says.

What belongs here: templates, style and scripts, served from this folder alone. What does not: a second way to compute
anything.
"""
