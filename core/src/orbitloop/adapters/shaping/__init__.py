"""Shapers: what is sent to each peer held to a rate.

What belongs here: adapters of the ``Shaper`` port, and the choice between them. What does not: which rate a peer gets
(a ``LinkPolicy`` says so).

    user    a token bucket a peer, in the process; needs nothing
    kernel  an htb class a peer, by netlink; needs ``orbitloop[shaping]`` and CAP_NET_ADMIN
    choice  the kernel's where it can be had
"""

from orbitloop.adapters.shaping.choice import choose_shaper
from orbitloop.adapters.shaping.user import UserShaper

__all__ = ["UserShaper", "choose_shaper"]
