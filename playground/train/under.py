"""Trained weights scored under other values of the spec: another chunk size, another length.

What is asked stands in a run's `evaluate`. The weights stay as they were trained; what they are
put into, or what they are scored on, is what the overrides say.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from torch._subclasses.fake_tensor import FakeTensorMode

from playground.compile import Target, build, make_plan
from playground.errors import SpecError
from playground.spec import RunSpec
from playground.spec.expand import check_steps, evaluations
from playground.tasks import Model, Progress, evaluate, make_task
from playground.train.loop import named_scores
from playground.train.member import Member
from playground.train.prepare import prepare_model

Scores = Mapping[str, float]


def check_evaluations(spec: RunSpec) -> None:
    """Refuse overrides under which the trained weights would not fit; before training.

    Raises:
        SpecError: naming the override.
    """
    check_steps(spec)
    others = evaluations(spec)
    own = _sizes(spec) if others else {}
    for i, (name, other) in enumerate(others.items()):
        if other.model != spec.model and _sizes(other) != own:
            fix = "Override what changes no weight, such as task.length."
            raise SpecError(f"evaluate.{i}", f"under {name} the model has other weights.", fix=fix)


def _sizes(spec: RunSpec) -> dict[str, tuple[int, ...]]:
    make_plan(spec.model, Target(compile=False))  # finds classes of rules, with real numbers
    with FakeTensorMode():
        model = build(spec.model)
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def scored_under(
    member: Member, own: Scores, *, alone: bool, progress: Progress
) -> dict[str, float]:
    """Scores on the test split under every override, as "loss@chunk_size=8".

    Args:
        member: trained.
        own: its scores under no override: they stand for an override that changes nothing.
        alone: whether it was trained by itself; only then its models are compiled.
        progress: called with (batches done, batches in all) of each.
    """
    found: dict[str, float] = {}
    for name, spec in evaluations(member.spec).items():
        scores = own
        if (spec.model, spec.task) != (member.spec.model, member.spec.task):
            scores = _scored(member, spec if alone else replace(spec, compile=False), progress)
        found |= {f"{score}@{name}": value for score, value in scores.items()}
    return found


def _scored(member: Member, spec: RunSpec, progress: Progress) -> dict[str, float]:
    task = member.task if spec.task == member.spec.task else make_task(spec.task)
    model = prepare_model(spec, task, member.device)
    model.load_state_dict(member.model.state_dict())
    with member.autocast():
        return named_scores(evaluate(task, cast(Model, model), "test", progress=progress))
