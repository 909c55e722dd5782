"""The figure of `explain --trace`: what was written and read at each token."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from playground.cli.options import check_figure
from playground.cli.show import print_table
from playground.errors import PlaygroundError

if TYPE_CHECKING:
    from playground.train.memory import LayerTrace

CHARACTERS = 400  # tokens a figure can show
_SHADES = " .:-=+*#%@"


def draw_trace(spec: Path, words: list[str], text: str, figure: Path, out: Path) -> None:
    """Run a text through a model and draw, per memory layer and token, what happened.

    A spec that is not trained yet is traced with its initial weights.

    Raises:
        PlaygroundError: no memory in the model, a text of no or too many tokens, or a file that
            cannot be written.
    """
    import torch

    from playground.cli.words import to_ids, to_text
    from playground.train.memory import trace

    check_figure(figure)
    model, tokenizer, trained = _model(spec, words, out)
    if (reads := model.plan.model.reads.kind) != "tokens":
        raise PlaygroundError(f"--trace: the model reads {reads}; only tokens can be traced.")
    ids = to_ids(tokenizer, text)
    if not 0 < len(ids) <= CHARACTERS:
        fix = f"Give 1 to {CHARACTERS}."
        raise PlaygroundError(f"--trace: the text has {len(ids)} tokens. {fix}")
    layers = trace(model, torch.tensor([ids]))
    if not layers:
        raise PlaygroundError(f"{spec}: the model has no memory to trace.")
    labels = [to_text(tokenizer, [token]) for token in ids]
    state = "trained weights" if trained else "initial weights"
    save_figure(layers, labels, figure, title=f"{spec.name}, {state}")
    print_trace(layers, labels)
    print(f"{figure} ({state})")


def _model(spec: Path, words: list[str], out: Path) -> tuple[Any, Any, bool]:
    """The model, its tokenizer, and whether it is trained."""
    from playground.cli.find import NotTrained, find, refuse_words
    from playground.cli.loading import load_asked
    from playground.cli.words import tokenizer_of
    from playground.compile import build
    from playground.spec import ModelSpec, RunSpec, Text
    from playground.train import restore

    found = None
    if spec.is_dir() or not spec.is_file():
        refuse_words(spec, words, "a trained model is traced as it is")
        found = find(spec, [], out)
        return restore(found.folder), tokenizer_of(found.spec.task, found.folder), True
    loaded = load_asked(spec, words)
    if isinstance(loaded, RunSpec):
        try:
            found = find(spec, words, out)
        except NotTrained:  # not trained yet: the figure says so
            return build(loaded.model), tokenizer_of(loaded.task), False
        return restore(found.folder), tokenizer_of(loaded.task, found.folder), True
    if not isinstance(loaded, ModelSpec):
        raise PlaygroundError(
            f"{spec}: is of kind {loaded.kind} and has no one model. Name a model or a run."
        )
    return build(loaded), tokenizer_of(Text()), False


def print_trace(layers: "list[LayerTrace]", labels: list[str]) -> None:
    """The same for a terminal: one shade per token."""
    rows = [("", "".join(label if label.isprintable() else "." for label in labels))]
    for layer in layers:
        rows.append((f"{layer.name} written", shades(layer.written)))
        rows.append((f"{layer.name} read", shades(layer.read)))
    print_table(("", ""), rows, numbers=False)


def shades(values: list[float]) -> str:
    """One character per value, darker for more."""
    most = max(values, default=0.0)
    if most <= 0:
        return _SHADES[0] * len(values)
    return "".join(_SHADES[round(value / most * (len(_SHADES) - 1))] for value in values)


def save_figure(
    layers: "list[LayerTrace]", labels: list[str], path: Path, *, title: str = ""
) -> None:
    """Draw each layer's writes, reads, memory norm and gates over the tokens.

    Raises:
        PlaygroundError: the file cannot be written, or its ending names no format.
    """
    from matplotlib.figure import Figure

    width = min(40.0, max(8.0, 0.14 * len(labels)))
    figure = Figure(figsize=(width, 2.6 * 2 * len(layers)), layout="constrained")
    axes = figure.subplots(2 * len(layers), 1, sharex=True, squeeze=False)[:, 0]
    at = range(len(labels))
    for number, layer in enumerate(layers):
        upper, lower = axes[2 * number], axes[2 * number + 1]
        upper.bar(at, layer.written, color="#4c78a8", label="written")
        upper.plot(at, layer.read, color="#e45756", linewidth=1.2, label="read")
        upper.set_ylabel("norm")
        upper.set_title(layer.name, loc="left", fontsize=9)
        upper.legend(loc="upper right", fontsize=8)
        for gate, values in layer.gates.items():
            lower.plot(at, values, linewidth=1.2, label=gate)
        lower.set_ylabel("gates")
        if layer.gates:
            lower.legend(loc="upper right", fontsize=8)
    axes[-1].set_xticks(list(at), [_label(label) for label in labels], fontsize=7)
    figure.suptitle(title, fontsize=10)
    try:
        figure.savefig(path, dpi=120)
    except (OSError, ValueError) as error:
        raise PlaygroundError(
            f"{path}: cannot be drawn ({error}). Name a .png, .svg or .pdf."
        ) from None


def _label(token: str) -> str:
    """A token as it can stand under an axis."""
    shown = {"\n": "\\n", " ": "_", "\t": "\\t", "$": r"\$"}.get(token, token)
    return shown if shown.isprintable() else "?"
