"""The space link in user space: real TCP and UDP between a satellite and its ground, shaped like a pass.

What belongs here: how bytes get across - rate, delay, contact windows, what goes wrong, and the faults that tests
inject. What does not: what the bytes mean, and when passes take place (the plan is an argument).

    profile      what a link is like (``LinkProfile``)
    impairments  loss, bursts, corruption, duplication, jitter: seeded, without a clock
    trace        recorded passes
    gates        when bytes may leave: a rate, or a recorded pass
    radio        one direction as a model: pure, time is an argument
    traffic      what crossed it
    delay_line   stream bytes in flight
    channel      one direction of the live link, shared by all connections and datagrams
    connection   one relayed connection, from the satellite's call to its end
    datagrams    datagrams in flight, and the sockets they come from and go to
    relay        all connections, datagrams and the contact plan, inside one event loop
    link         ``SpaceLink``: the relay in a thread of its own
    virtual      ``VirtualLink``: the same models in virtual time, without sockets
    command      ``orbitloop link``: options in, status out
    packets      ``PacketLink``: the same models for whole IP packets, congestion control and all; needs root
    hosts        two network namespaces whose only way to each other is an emulator
"""

from orbitloop_mission.space_link.impairments import BurstLoss, Impairments
from orbitloop_mission.space_link.link import DatagramPorts, SpaceLink
from orbitloop_mission.space_link.profile import ALWAYS, LinkProfile
from orbitloop_mission.space_link.trace import FRAME_PAYLOAD, Trace, read_trace
from orbitloop_mission.space_link.traffic import Crossings, Traffic
from orbitloop_mission.space_link.virtual import Manner, Message, Outcome, VirtualLink

__all__ = [
    "ALWAYS",
    "FRAME_PAYLOAD",
    "BurstLoss",
    "Crossings",
    "DatagramPorts",
    "Impairments",
    "LinkProfile",
    "Manner",
    "Message",
    "Outcome",
    "SpaceLink",
    "Trace",
    "Traffic",
    "VirtualLink",
    "read_trace",
]
