"""What a mission will be able to do, before it flies.

What belongs here: passes, bytes a pass and their worth over days, from orbit and stations. What does not: running it.
"""
