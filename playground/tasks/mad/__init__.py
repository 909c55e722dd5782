"""The six tasks of MAD (arXiv:2403.17844): small tests of what a token mixer can do.

Every task has two readings, `protocol`:

    fixed   trained and scored at the answers only, each of which the tokens before it determine;
            "accuracy" is the fraction of answers that are right.
    paper   as the published code (athms/mad-lab) trains and scores: the recall tasks are trained
            on every next token, most of which are chance, and scored at the answers; "accuracy"
            is that code's: the mean over symbols of the accuracy on each, over a batch of 128,
            then the mean over batches; "micro_accuracy" is the fraction of answers.

What differs from the published code in both readings: examples are functions of their number, not
of a generator's state (its selective copy draws from a generator that no seed reaches); training
examples are all new unless `examples` says how many there are, and then come in the same order
every time; the last question of a recall example is always one that can be answered. What else
differs is said in each file.
"""

from playground.tasks.mad.compression import MadCompressionTask as MadCompressionTask
from playground.tasks.mad.fuzzy import MadFuzzyRecallTask as MadFuzzyRecallTask
from playground.tasks.mad.memorization import MadMemorizationTask as MadMemorizationTask
from playground.tasks.mad.recall import MadNoisyRecallTask as MadNoisyRecallTask
from playground.tasks.mad.recall import MadRecallTask as MadRecallTask
from playground.tasks.mad.selective_copy import MadSelectiveCopyTask as MadSelectiveCopyTask
