"""A trained model as one folder that can be carried anywhere.

model.safetensors   the weights
spec.yaml           the model
<rule>.py           each rule of one's own, beside the spec that names it
training.json       the run it comes from: task, schedule, fingerprint, scores
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from playground.errors import PlaygroundError
from playground.files import write_json, write_text
from playground.spec import load_run, to_dict
from playground.train.checkpoint import write_tensors
from playground.train.member import kept_weights
from playground.train.restore import TRAINING, WEIGHTS, data_of
from playground.train.store import RunFolder


def export(run: RunFolder, target: Path | str) -> Path:
    """Write the model of a run's last checkpoint to a folder of its own.

    Args:
        run: a run with a checkpoint.
        target: the folder; made if it is not there.

    Raises:
        PlaygroundError: no checkpoint, it is an exported folder itself, or the target holds
            something else.
    """
    folder = Path(target)
    if (run.path / TRAINING).is_file():
        raise PlaygroundError(f"{run.path}: is an exported model already. Copy the folder.")
    if folder.exists() and not folder.is_dir():
        raise PlaygroundError(f"{folder}: is a file. Name a new folder.")
    if folder.exists() and any(folder.iterdir()) and not (folder / TRAINING).is_file():
        raise PlaygroundError(f"{folder}: it is not empty. Name a new folder.")
    checkpoint, _ = run.checkpoints.load()
    if checkpoint is None:
        raise PlaygroundError(f"{run.path}: there is no checkpoint yet. Train the run first.")
    folder.mkdir(parents=True, exist_ok=True)
    weights = kept_weights(checkpoint.tensors)
    spec = load_run(run.path / "spec.yaml")
    plain = carry_rules(to_dict(spec.model), folder)
    write_tensors(folder / WEIGHTS, weights)
    write_text(folder / "spec.yaml", OmegaConf.to_yaml(OmegaConf.create(dict(plain))))
    result = run.result()
    run_spec = {key: value for key, value in to_dict(spec).items() if key != "model"}
    write_json(
        folder / TRAINING,
        {
            "fingerprint": run.fingerprint,
            "data": data_of(run.path),
            "step": checkpoint.step,
            "run": run_spec,
            "metrics": dict(result.metrics) if result else {},
        },
    )
    return folder


def carry_rules(raw: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Plain data of a spec whose own rules are copied to `folder` and named from there."""
    return {key: _carried(key, value, folder) for key, value in raw.items()}


def _carried(key: str, value: Any, folder: Path) -> Any:
    if isinstance(value, Mapping):
        return carry_rules(value, folder)
    if isinstance(value, list):
        return [_carried(key, item, folder) for item in value]
    if key != "kind" or not isinstance(value, str) or ".py:" not in value:
        return value
    file, _, name = value.rpartition(":")
    source = Path(file)
    place = folder / source.name
    if place.exists() and place.read_bytes() != source.read_bytes():
        place = folder / f"{source.parent.name}_{source.name}"
    shutil.copyfile(source, place)
    return f"{place.name}:{name}"
