"""What a job does next: a round in Sedna's words, whatever happens to its pods, its documents and the operator."""

from __future__ import annotations

from tests.job_world import World, evaluated, trained, words

ONE_ROUND = [
    f"{stage}/{state}"
    for stage in ("Train", "Eval", "Deploy")
    for state in ("Waiting", "Ready", "Starting", "Running", "Completed")
]


def test_a_round_goes_through_all_of_sednas_steps_and_the_next_one_waits() -> None:
    world = World.with_job()
    world.settle()
    for pod, said in (("train", trained()), ("eval", evaluated()), ("deploy", words("deploy"))):
        world.run(f"helmets-{pod}-1-1")
        world.settle()
        world.end(f"helmets-{pod}-1-1", said)
        world.settle()
    assert world.steps == [*ONE_ROUND, "Train/Waiting"]
    assert world.status["round"] == 2
    assert world.status["deployed"]["url"] == "/output/train/1/model.onnx"


def test_a_job_that_was_just_seen_waits_at_once() -> None:
    world = World.with_job(samples=None)
    world.once()
    assert world.steps == ["Train/Waiting"]
    assert world.status["phase"] == "Waiting"


def test_each_reconcile_makes_at_most_one_step() -> None:
    world = World.with_job()
    made = []
    for _ in range(4):
        world.once()
        made.append(len(world.steps))
    assert made == [1, 2, 3, 3]
