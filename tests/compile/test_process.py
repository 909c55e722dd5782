"""What importing the compiler sets for its process."""

import torch
import torch.compiler.config

from playground.compile import process


def test_cached_programs_of_other_sources_are_not_taken(monkeypatch, tmp_path) -> None:
    assert torch.compiler.config.cache_key_tag == f"playground-{process.source_digest()}"
    digests = []
    for text in ("a = 1\n", "a = 2\n"):
        package = tmp_path / "playground" / "compile"
        package.mkdir(parents=True, exist_ok=True)
        (package / "process.py").write_text(text, encoding="utf-8")
        monkeypatch.setattr(process, "__file__", str(package / "process.py"))
        digests.append(process.source_digest.__wrapped__())
    assert digests[0] != digests[1]


def test_numbers_below_the_smallest_normal_one_are_zero() -> None:
    assert (torch.tensor([torch.finfo(torch.float32).tiny]) * 0.5).item() == 0.0
