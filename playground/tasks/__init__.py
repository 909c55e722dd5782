"""Tasks: where tokens come from and how a model is scored on them."""

from playground.tasks.base import IGNORE as IGNORE
from playground.tasks.base import SAME_AS_VAL as SAME_AS_VAL
from playground.tasks.base import SPLITS as SPLITS
from playground.tasks.base import Ask as Ask
from playground.tasks.base import Batch as Batch
from playground.tasks.base import Model as Model
from playground.tasks.base import Progress as Progress
from playground.tasks.base import Reader as Reader
from playground.tasks.base import Scores as Scores
from playground.tasks.base import Scoring as Scoring
from playground.tasks.base import Task as Task
from playground.tasks.base import device_of as device_of
from playground.tasks.base import evaluate as evaluate
from playground.tasks.base import evaluating as evaluating
from playground.tasks.base import score as score
from playground.tasks.data_files import DATA_VARIABLE as DATA_VARIABLE
from playground.tasks.forecast import ForecastTask as ForecastTask
from playground.tasks.losses import Loss as Loss
from playground.tasks.mqar import MqarTask as MqarTask
from playground.tasks.music import MusicTask as MusicTask
from playground.tasks.registry import TASKS as TASKS
from playground.tasks.registry import make_task as make_task
from playground.tasks.registry import register_task as register_task
from playground.tasks.text import TextTask as TextTask
from playground.tasks.tokenizers import Tokenizer as Tokenizer
from playground.tasks.tokenizers import make_tokenizer as make_tokenizer
