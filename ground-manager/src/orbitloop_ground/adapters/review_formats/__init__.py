"""Files of labelling tools, each as its tool writes and reads them.

What belongs here: one module a tool, from and to :mod:`orbitloop_ground.usecases.review_files`. What does not: what is
made of a verdict.
"""

from __future__ import annotations

from orbitloop_ground.adapters.review_formats.coco import CocoFormat
from orbitloop_ground.adapters.review_formats.cvat import CvatFormat
from orbitloop_ground.adapters.review_formats.label_studio import LabelStudioFormat
from orbitloop_ground.usecases.review_files import ReviewFormat

FORMATS: dict[str, ReviewFormat] = {"coco": CocoFormat(), "cvat": CvatFormat(), "label-studio": LabelStudioFormat()}
