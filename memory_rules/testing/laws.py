"""All laws, in the order a reader should meet them."""

from memory_rules.testing.exact import EXACT_LAWS
from memory_rules.testing.law import Law
from memory_rules.testing.long import LONG_LAWS
from memory_rules.testing.numeric import NUMERIC_LAWS

LAWS: tuple[Law, ...] = (*NUMERIC_LAWS, *EXACT_LAWS, *LONG_LAWS)
