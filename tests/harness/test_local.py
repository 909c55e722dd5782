"""Local forms of harness tasks, and the whole way through the harness where it is installed."""

import importlib
import importlib.util
import json
import math
from pathlib import Path

import pytest

import playground as pg
from playground.errors import DataError
from playground.harness import Scorer, run
from playground.harness.local import write_local_task
from playground.tasks.tokenizers import Bytes
from tests.harness.test_scorer import SPEC

NAMES = ["local_wikitext", "local_lambada_openai", "local_piqa"]
PAGE = " = A Title = \n \n Some words , and more . \n \n = = A part = = \n \n Others . \n"


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    files = {
        "wikitext-2/test.txt": " \n" + PAGE + PAGE.replace("A Title", "Second"),
        "lambada/lambada_openai.jsonl": json.dumps({"context": "the old", "continuation": "man"})
        + "\n"
        + json.dumps({"text": "he said yes"}),
        "piqa/valid.jsonl": json.dumps({"goal": "open", "sol1": "pull", "sol2": "sing"}),
        "piqa/valid-labels.lst": "0\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setenv("PLAYGROUND_DATA", str(tmp_path))
    return tmp_path


def written(name: str, folder: Path) -> tuple[dict, list[dict]]:
    write_local_task(name, folder, lambda task: Path(f"/harness/{task}.yaml"))
    task = json.loads((folder / f"{name}.yaml").read_text())
    lines = (folder / f"{name}.jsonl").read_text().splitlines()
    return task, [json.loads(line) for line in lines]


def test_a_local_task_takes_everything_but_the_examples_from_the_harness(data: Path) -> None:
    task, examples = written("local_piqa", data)
    assert task["include"] == "/harness/piqa.yaml"
    assert task["validation_split"] == "validation" and task["test_split"] is None
    assert examples == [{"goal": "open", "sol1": "pull", "sol2": "sing", "label": 0}]
    assert written("local_lambada_openai", data)[1] == [
        {"text": "the old man"},
        {"text": "he said yes"},
    ]


def test_wikitext_is_cut_into_articles(data: Path) -> None:
    _, pages = written("local_wikitext", data)
    assert [page["page"].splitlines()[0] for page in pages] == [" = A Title = ", " = Second = "]
    assert pages[0]["page"] == PAGE


def test_what_has_no_local_form_or_no_files_is_refused(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(DataError, match=r"no local form.*local_piqa"):
        written("local_boolq", data)
    monkeypatch.setenv("PLAYGROUND_DATA", str(data / "lambada"))
    with pytest.raises(DataError, match=r"no folder with piqa/valid.jsonl"):
        written("local_piqa", data)


@pytest.mark.slow
@pytest.mark.skipif(
    importlib.util.find_spec("lm_eval") is None, reason="the extra lm_eval is not installed"
)
@pytest.mark.filterwarnings("ignore")  # the harness and its parts warn of their own affairs
def test_the_harness_scores_a_model_on_local_tasks(data: Path) -> None:
    scorer = Scorer(pg.build(SPEC, seed=0).eval(), SPEC, Bytes())
    found = run(scorer, NAMES)
    clean = importlib.import_module("lm_eval.tasks.wikitext.preprocess_wikitext")
    pages = [example["page"] for example in written("local_wikitext", data)[1]]
    nats = sum(scorer.whole([clean.wikitext_detokenizer({"page": page}) for page in pages]))
    bits = -nats / math.log(2) / sum(len(page.encode()) for page in pages)
    assert found["local_wikitext"]["bits_per_byte"] == pytest.approx(bits)
    words = scorer.continuations([("the old", " man"), ("he said", " yes")])
    mean = sum(word.nats for word in words) / 2
    assert found["local_lambada_openai"]["perplexity"] == pytest.approx(math.exp(-mean))
    assert found["local_lambada_openai"]["acc"] == sum(word.greedy for word in words) / 2
    question = "Question: open\nAnswer:"
    pull, sing = scorer.continuations([(question, " pull"), (question, " sing")])
    assert found["local_piqa"]["acc"] == float(pull.nats > sing.nats)
    with pytest.raises(DataError, match="no such task"):
        run(scorer, ["no_such_task"])
