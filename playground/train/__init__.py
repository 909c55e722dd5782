"""Training: one loop, a store of runs, and what is done with a trained model."""

from playground.train.costs import costs_of_spec as costs_of_spec
from playground.train.costs import params_of_spec as params_of_spec
from playground.train.evaluate import evaluate as evaluate
from playground.train.events import Event as Event
from playground.train.export import export as export
from playground.train.generate import generate as generate
from playground.train.generate import sample as sample
from playground.train.machine import pick_device as pick_device
from playground.train.optim import make_optimizer as make_optimizer
from playground.train.optim import set_lr as set_lr
from playground.train.replicas import stack_key as stack_key
from playground.train.restore import restore as restore
from playground.train.restore import stored_run as stored_run
from playground.train.result import Result as Result
from playground.train.run import identity as identity
from playground.train.run import record_failure as record_failure
from playground.train.run import train as train
from playground.train.run import train_together as train_together
from playground.train.signals import RunInterrupted as RunInterrupted
from playground.train.signals import sigterm_as_ctrl_c as sigterm_as_ctrl_c
from playground.train.store import RunBusy as RunBusy
from playground.train.store import RunFolder as RunFolder
from playground.train.store import RunStore as RunStore
from playground.train.streaming import Mark as Mark
from playground.train.streaming import Meter as Meter
from playground.train.streaming import Pace as Pace
