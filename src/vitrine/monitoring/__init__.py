"""Monitoring: have the photos moved away from what the champion was trained on?"""

from vitrine.evaluation.shift import DriftRules, Finding
from vitrine.monitoring.drift import Drift, build_reference, compare
from vitrine.monitoring.statistics import photo_statistics

__all__ = ["Drift", "DriftRules", "Finding", "build_reference", "compare", "photo_statistics"]
