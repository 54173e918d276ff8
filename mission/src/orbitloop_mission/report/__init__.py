"""The report of a mission: what was learned, for how many bytes, in numbers and as one page.

What belongs here: the form of ``report.json``, and how ``report.html`` is drawn from it, by pure functions. What does
not: measuring; the figures come from whoever flew the mission.
"""

from orbitloop_mission.report.files import read_report, write_report
from orbitloop_mission.report.page import render_page
from orbitloop_mission.report.schema import MissionReport

__all__ = ["MissionReport", "read_report", "render_page", "write_report"]
