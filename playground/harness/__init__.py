"""A trained model in lm-evaluation-harness (the extra `lm-eval`): the columns of the papers."""

from playground.harness.run import load as load
from playground.harness.run import run as run
from playground.harness.scorer import Scorer as Scorer
