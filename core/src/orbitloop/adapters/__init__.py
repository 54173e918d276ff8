"""The few implementations of ports that two members share.

What belongs here: adapters that satellite and ground both use. What does not: one that a single member needs; it lives
with that member.
"""
