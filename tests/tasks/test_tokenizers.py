"""Tokenizers: what comes back is what went in, and widths add up to the bytes of the text."""

import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from playground.errors import DataError
from playground.tasks import tokenizers
from playground.tasks.tokenizers import Bytes, Chars, Trained, Words, make_tokenizer

TEXT = "plain, gr\u00fc\u00df, \u20ac and \U0001f600\n"


def test_bytes_and_characters_give_the_text_back() -> None:
    for tokenizer in (Bytes(), Chars(TEXT.encode())):
        encoded = tokenizer.encode(TEXT.encode())
        assert tokenizer.decode(encoded.tokens) == TEXT
        assert encoded.bytes_of(0, len(encoded.tokens)) == len(TEXT.encode())
        assert encoded.tokens.max() < tokenizer.vocab


def test_character_ids_follow_the_order_of_the_train_split() -> None:
    assert Chars(b"cabba").encode(b"abc").tokens.tolist() == [0, 1, 2]


def test_characters_missing_from_train_share_one_id_that_exists_only_then() -> None:
    assert Chars(b"abc", b"cab").vocab == 3
    tokenizer = Chars(b"abc", b"ab", b"xyc")
    encoded = tokenizer.encode(b"axyc")
    assert tokenizer.vocab == 4
    assert encoded.tokens.tolist() == [0, 3, 3, 2]
    assert encoded.unknown == 2
    assert tokenizer.decode(encoded.tokens) == "a\ufffd\ufffdc"


def test_an_unknown_character_without_an_id_is_named() -> None:
    with pytest.raises(DataError, match="'z' is not in the train split"):
        Chars(b"abc").encode(b"z")


def test_characters_of_a_binary_file_are_refused_with_the_fix() -> None:
    with pytest.raises(DataError, match=r"not UTF-8.*tokenizer: bytes"):
        Chars(b"\xff\xfe\x00")


def test_an_unknown_tokenizer_is_refused() -> None:
    with pytest.raises(DataError, match="bytes, chars, words or hf:NAME"):
        make_tokenizer("sentences", b"")


LINES = "the cat saw the dog \n\n the <unk> gr\u00fc\u00df\n"


def test_words_are_what_lies_between_whitespace_and_every_line_has_an_end() -> None:
    tokenizer = Words(LINES.encode())
    encoded = tokenizer.encode(LINES.encode())
    words = [tokenizer.words[token] for token in encoded.tokens]
    assert words == [
        "the",
        "cat",
        "saw",
        "the",
        "dog",
        "\n",
        "\n",
        "the",
        "<unk>",
        "gr\u00fc\u00df",
        "\n",
    ]
    assert tokenizer.vocab == len(set(words))
    assert encoded.bytes_of(0, len(words)) == len(LINES.encode())
    assert tokenizer.decode(encoded.tokens) == "the cat saw the dog\n\nthe <unk> gr\u00fc\u00df\n"


def test_the_most_frequent_word_has_the_lowest_id() -> None:
    assert Words(b"b a b c\nb a\n").words == ["b", "\n", "a", "c"]


def test_unknown_words_are_counted_where_the_corpus_has_a_word_for_them() -> None:
    tokenizer = Words(LINES.encode())
    encoded = tokenizer.encode(b"the bird saw it\n")
    assert encoded.unknown == 2
    assert tokenizer.decode(encoded.tokens) == "the <unk> saw <unk>\n"


def test_unknown_words_without_an_id_are_counted_and_named() -> None:
    with pytest.raises(DataError, match=r"2 of 4 words, the first 'x'.*no <unk>"):
        Words(b"a b c\n").encode(b"a x y\n")


class Pieces:
    """Stands in for a trained tokenizer: one token per word with the blank before it."""

    def __init__(self) -> None:
        self.pieces: list[str] = []

    def get_vocab_size(self) -> int:
        return 50

    def to_str(self) -> str:
        return "words"

    def no_truncation(self) -> None:
        self.cut = False

    def no_padding(self) -> None:
        self.filled = False

    def encode_batch(self, pieces: list[str], add_special_tokens: bool) -> list[Any]:
        assert not add_special_tokens
        self.pieces += pieces
        made = []
        for piece in pieces:
            starts = [0, *(i for i, c in enumerate(piece) if c == " " and i)]
            ends = [*starts[1:], len(piece)]
            offsets = list(zip(starts, ends, strict=True))
            ids = [len(piece[a:b]) for a, b in offsets]
            made.append(types.SimpleNamespace(ids=ids, offsets=offsets))
        return made

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


@pytest.fixture
def library(monkeypatch: pytest.MonkeyPatch) -> Any:
    inner = Pieces()

    class Tokenizer:
        @staticmethod
        def from_pretrained(name: str) -> Pieces:
            if name == "missing":
                raise Exception("404")
            return inner

        from_file = from_pretrained

    module = types.ModuleType("tokenizers")
    monkeypatch.setattr(module, "Tokenizer", Tokenizer, raising=False)
    monkeypatch.setitem(sys.modules, "tokenizers", module)
    return inner


def test_a_trained_tokenizer_counts_the_bytes_of_each_token(library: Pieces) -> None:
    tokenizer = Trained("some/name")
    encoded = tokenizer.encode(TEXT.encode())
    assert tokenizer.vocab == 50
    assert encoded.widths is not None
    assert encoded.widths.tolist() == [
        len(word.encode())
        for word in ("plain,", " gr\u00fc\u00df,", " \u20ac", " and", " \U0001f600\n")
    ]


def test_a_long_text_is_encoded_in_pieces_that_end_with_lines(
    library: Pieces, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokenizers, "PIECE", 20)
    encoded = Trained("some/name").encode(TEXT.encode() * 5)
    assert library.pieces == [TEXT] * 5
    assert encoded.bytes_of(0, len(encoded.tokens)) == 5 * len(TEXT.encode())


def test_a_local_tokenizer_file_is_taken(library: Pieces, tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.json"
    path.write_text("{}")
    assert np.array_equal(Trained(str(path)).encode(b"a b").tokens, [1, 2])
    assert len(Trained(str(path)).identity()) == 64
    assert not library.cut and not library.filled  # as files of fine-tuned models keep them


def test_a_tokenizer_that_cannot_be_loaded_says_why(library: Pieces) -> None:
    with pytest.raises(DataError, match=r"could not be loaded.*404"):
        Trained("missing")


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(DataError, match=r"extra `data`.*tokenizer: bytes"):
        make_tokenizer("hf:gpt2", b"")
