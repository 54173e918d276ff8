"""The training worker."""

from __future__ import annotations

from interface import Estimator, sample

from sedna.common.config import BaseConfig, Context
from sedna.core.incremental_learning import IncrementalLearning
from sedna.datasources import TxtDataParse


def main() -> None:
    """Train on the round's samples."""
    data = TxtDataParse(data_type="train", func=sample)
    data.parse(BaseConfig.train_dataset_url)
    job = IncrementalLearning(estimator=Estimator)
    job.train(train_data=data, epochs=int(Context.get_parameters("epochs", 200)))


if __name__ == "__main__":
    main()
