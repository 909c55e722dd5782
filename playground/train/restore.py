"""A trained model from where it was kept: a run's folder, or an exported one."""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from playground.compile import compile as compile_model
from playground.errors import PlaygroundError, SpecError
from playground.spec import ModelSpec, RunSpec, Text, convert, load_model, load_run, to_dict
from playground.spec.expand import check_step
from playground.spec.tasks import TaskSpec
from playground.tasks import TABLES, Task
from playground.train.machine import pick_device
from playground.train.member import kept_weights
from playground.train.prepare import lowered
from playground.train.store import RunFolder

WEIGHTS = "model.safetensors"
TRAINING = "training.json"


def restore(path: Path | str, spec: RunSpec | None = None) -> nn.Module:
    """The model of a run's folder or of an exported folder, with its trained weights.

    Args:
        path: `runs/<fingerprint>`, or what `export` wrote.
        spec: device, dtype, lowering and compile to use, and the model, which may differ from the
            stored one in what changes no weight, such as its chunk size; None for the stored model
            on a CPU without torch.compile.

    Raises:
        PlaygroundError: there are no weights, or they do not fit.
    """
    folder = Path(path)
    own = load_model(folder / "spec.yaml")
    model_spec = own if spec is None else spec.model
    check_step(own, model_spec, "model")
    model = _build(model_spec, spec)
    try:
        _fill(model, folder)
    except RuntimeError as error:
        if model_spec != own:
            problem = f"is not the model in {folder}: it has other weights."
            fix = "Override what changes no weight, such as block.memory.chunk_size."
            raise SpecError("model", problem, fix=fix) from None
        raise PlaygroundError(f"{folder}: the weights do not fit spec.yaml ({error}).") from None
    return model.eval()


def _build(model_spec: ModelSpec, spec: RunSpec | None) -> nn.Module:
    if spec is None:
        return compile_model(model_spec, compile=False)
    return lowered(model_spec, spec, pick_device(spec.device))


def _fill(model: nn.Module, folder: Path) -> None:
    exported = folder / WEIGHTS
    if exported.is_file():
        model.load_state_dict(load_file(str(exported)))
        return
    checkpoint, _ = RunFolder(folder).checkpoints.load()
    if checkpoint is None:
        raise PlaygroundError(f"{folder}: there is no checkpoint yet. Train the run first.")
    model.load_state_dict(kept_weights(checkpoint.tensors))


def data_of(path: Path | str) -> str | None:
    """Identity of the data that a model was trained on; None in folders of earlier versions."""
    for name in (TRAINING, "resolved.json"):
        try:
            kept = json.loads((Path(path) / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        return kept.get("data")
    return None


def check_data(path: Path | str, spec: TaskSpec, task: Task) -> None:
    """Refuse data in which a token means something else than it did in training.

    Args:
        path: a run's folder or an exported one.
        spec: the task that is asked for.
        task: made of it.

    Raises:
        PlaygroundError: the run's own data have changed since, or other text is to be read by a
            table of the text that it was trained on, or by another tokenizer.
    """
    own, before = stored_run(path).task, data_of(path)
    reads, asked = (str(getattr(one, "tokenizer", "")) for one in (own, spec))
    moved = reads[:3] == asked[:3] == "hf:"  # a file may lie elsewhere now
    if reads and asked and reads != asked and not moved:
        problem = f"the model was trained on tokens of {reads}; those of {asked} are others."
        raise SpecError("task.tokenizer", problem, fix="Leave the override out.")
    if before is None or before == task.data_sha():
        return
    if spec == own:
        raise PlaygroundError(
            f"{path}: the data of its task are not what it was trained on. Put them back, or name "
            "others, for example with task.corpus=FILE."
        )
    if isinstance(spec, Text) and spec.tokenizer in TABLES:
        raise PlaygroundError(
            f"task.corpus: a model of {spec.tokenizer} has its table from the text that it was "
            "trained on. Leave the override out, or train with tokenizer: bytes."
        )


def stored_run(path: Path | str) -> RunSpec:
    """The run that a folder is of; of an exported model, the run it was exported from.

    Raises:
        PlaygroundError: the folder is neither.
    """
    folder = Path(path)
    training = folder / TRAINING
    if not training.is_file():
        return load_run(folder / "spec.yaml")
    try:
        kept: dict[str, Any] = json.loads(training.read_text(encoding="utf-8"))
        run = kept["run"]
    except (ValueError, KeyError) as error:
        raise PlaygroundError(f"{training}: cannot be read ({error}). Export it again.") from None
    model = load_model(folder / "spec.yaml")  # its own rules lie in this folder now
    return convert(RunSpec, {**run, "model": to_dict(model)})
