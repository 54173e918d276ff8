"""``orbitloop link``: the space link as a process of its own."""

from orbitloop_mission.cli.commands import app
from orbitloop_mission.space_link.command import link

app.command()(link)
