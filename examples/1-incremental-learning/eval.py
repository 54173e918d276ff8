"""The evaluation worker."""

from __future__ import annotations

from interface import Estimator, sample

from sedna.common.config import BaseConfig
from sedna.core.incremental_learning import IncrementalLearning
from sedna.datasources import TxtDataParse


def main() -> None:
    """Compare the new model with the one that is deployed."""
    data = TxtDataParse(data_type="eval", func=sample)
    data.parse(BaseConfig.test_dataset_url)
    IncrementalLearning(estimator=Estimator).evaluate(data)


if __name__ == "__main__":
    main()
