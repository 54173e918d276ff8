"""The inference worker: looks at frames, again and again, and says which are hard."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
from interface import Estimator, picture

from sedna.common.config import Context
from sedna.common.log import LOGGER
from sedna.core.incremental_learning import IncrementalLearning


def main() -> None:
    """Look at what is in ``FRAMES``."""
    mining = IncrementalLearning.get_hem_algorithm_from_config()
    job = IncrementalLearning(estimator=Estimator, hard_example_mining=mining)
    frames = Path(Context.get_parameters("FRAMES"))
    rest = threading.Event()
    while True:
        for path in sorted(frames.glob("*.png")):
            _, found, hard = job.inference(
                np.array([picture(str(path))]), post_process=lambda scores: np.asarray(scores)[0].tolist()
            )
            LOGGER.info("%s: aircraft %.2f%s, by %s", path.name, found[1], ", hard" if hard else "", job.loaded_from)
        rest.wait(1)


if __name__ == "__main__":
    main()
