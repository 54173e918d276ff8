"""The space link in user space: real TCP between a satellite and its ground, shaped like a pass.

What belongs here: how bytes get across - rate, delay, contact windows, and the faults that tests inject. What does not:
what the bytes mean, and when passes take place (the plan is an argument).

    bucket      the token bucket: pure, time is an argument
    profile     what a link is like (``LinkProfile``) and what crossed it (``Traffic``)
    delay_line  bytes in flight
    channel     one direction of the link, shared by all connections: rate, delay, faults
    connection  one relayed connection, from the satellite's call to its end
    relay       all connections and the contact plan, inside one event loop
    link        ``SpaceLink``: the relay in a thread of its own
"""

from orbitloop_mission.space_link.link import SpaceLink
from orbitloop_mission.space_link.profile import Direction, LinkProfile, Traffic

__all__ = ["Direction", "LinkProfile", "SpaceLink", "Traffic"]
