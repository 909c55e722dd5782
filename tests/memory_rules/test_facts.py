"""The words of a rule: held to the types of the base classes, in the class or as a field."""

from dataclasses import dataclass, make_dataclass
from typing import Any

import pytest

from memory_rules import RULES, register
from memory_rules.facts import RuleError, check_facts
from memory_rules.linear import AbstractLinearRule
from memory_rules.titans import Titans


@pytest.mark.parametrize("kind", sorted(RULES))
def test_every_rule_keeps_to_its_words(kind: str) -> None:
    check_facts(RULES[kind])
    check_facts(RULES[kind]())


WRONG = [
    ("anchor", "tokens", "Did you mean 'token'? Allowed: chunk, token, passes:2."),
    ("anchor", "passes:few", "Allowed: chunk, token, passes:2."),
    ("momentum", "every", "Allowed: token, head, fixed:0.9, none."),
    ("momentum", "fixed:much", "Allowed: token, head, fixed:0.9, none."),
    ("lr", "channel", "Allowed: token, head, fixed:0.9, none."),
    ("decay", "value-channel", "Did you mean 'value_channel'?"),
    ("decay", "fixed:1.5", "Allowed: token, head, channel, value_channel, fixed:0.9, none."),
    ("start", "learnt", "Did you mean 'learned'? Allowed: zero, learned."),
    ("read_at", "behind", "Allowed: after, before."),
    ("written", "first", "Allowed: all, last."),
    ("surprise_at", "anchor", "Allowed: memory, decayed_memory."),
    ("decay_towards", "origin", "Allowed: zero, start."),
    ("lr_scale", "off", "Allowed: one_minus_momentum, none."),
    ("max_lr", "automatic", "Did you mean 'auto'? Allowed: a number, auto."),
    ("window", 1.5, "Allowed: a whole number."),
    ("chunk_size", True, "Allowed: a whole number."),
]


@pytest.mark.parametrize(("fact", "value", "help"), WRONG)
def test_a_word_that_is_none_is_refused_in_a_class_and_as_a_field(
    fact: str, value: Any, help: str
) -> None:
    said = type("Said", (AbstractLinearRule,), {fact: value})
    with pytest.raises(RuleError, match=f"^rule Said: {fact}: {value!r} is not an") as in_class:
        check_facts(said)
    field = (fact, type(value), value)
    given = make_dataclass("Given", [field], bases=(AbstractLinearRule,), frozen=True)
    with pytest.raises(RuleError, match=f"^rule Given: {fact}: ") as in_field:
        check_facts(given())
    assert help in str(in_class.value)
    assert help in str(in_field.value)


@pytest.mark.parametrize(
    ("fact", "value"), [("anchor", "passes:3"), ("decay", "fixed:0.01"), ("max_lr", 1)]
)
def test_a_number_may_stand_where_a_word_takes_one(fact: str, value: Any) -> None:
    check_facts(type("Said", (AbstractLinearRule,), {fact: value}))


def test_a_rule_with_a_wrong_word_is_not_registered() -> None:
    with pytest.raises(RuleError, match="anchor: 'tokens'"):

        @register("astray", paper="own")
        class Astray(AbstractLinearRule):
            anchor = "tokens"

    assert "astray" not in RULES


def test_a_value_that_an_inherited_field_would_ignore_is_refused() -> None:
    @dataclass(frozen=True, kw_only=True)
    class Deeper(Titans):
        depth = 3

    assert Deeper().depth == 2
    with pytest.raises(RuleError, match=r"^rule Deeper: depth: is a field, which 3 in the class"):
        check_facts(Deeper)
