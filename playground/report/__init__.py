"""Reports: a pure function of a sweep's plan and the run store."""

from playground.report.build import FORMATS as FORMATS
from playground.report.build import Report as Report
from playground.report.build import build as build
from playground.report.build import write as write
from playground.report.stats import Paired as Paired
from playground.report.stats import paired as paired
from playground.report.sweep import Run as Run
from playground.report.sweep import Sweep as Sweep
from playground.report.sweep import Variant as Variant
