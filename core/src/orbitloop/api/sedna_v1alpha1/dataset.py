"""Dataset: samples on a node."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import AwareDatetime

from orbitloop.api.parts import ConditionedStatus, Resource, Spec


class DatasetSpec(Spec):
    """Where samples are.

    Attributes:
        url: of the index file, one sample a line: a path on the node, or s3://bucket/key.
        format: txt, or csv with a header.
        node_name: the node whose Local Controller watches it.
        credential_name: Secret for s3.
    """

    url: str
    format: str
    node_name: str
    credential_name: str = ""


class DatasetStatus(ConditionedStatus):
    """What is known of the samples.

    Attributes:
        number_of_samples: lines of the index.
        update_time: when that was counted.
    """

    number_of_samples: int | None = None
    update_time: AwareDatetime | None = None


class Dataset(Resource):
    """Samples on a node, one line of an index file each."""

    group: ClassVar[str] = "sedna.io"
    kind_name: ClassVar[str] = "Dataset"

    kind: Literal["Dataset"] = "Dataset"
    spec: DatasetSpec
    status: DatasetStatus | None = None
