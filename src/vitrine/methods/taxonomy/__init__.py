"""Which shelf of the category tree does this belong on? The systems of Chen et al., Structure-Aware Deep Learning for
Product Image Classification (TOMM 2019), and two of today.
"""

from vitrine.methods.taxonomy.answers import heat_maps, questions, separate_levels, tasks
from vitrine.methods.taxonomy.lessons import balance, lesson
from vitrine.methods.taxonomy.net import TaxonomyNet
from vitrine.methods.taxonomy.refinement import join, mcr_notes, refine
from vitrine.methods.taxonomy.systems import BALANCED, MODERN, SYSTEMS, VARIANTS, build, describe
from vitrine.methods.taxonomy.trees import cut_catalog
from vitrine.methods.taxonomy.warm_start import warm_start

__all__ = [
    "BALANCED",
    "MODERN",
    "SYSTEMS",
    "VARIANTS",
    "TaxonomyNet",
    "balance",
    "build",
    "cut_catalog",
    "describe",
    "heat_maps",
    "join",
    "lesson",
    "mcr_notes",
    "questions",
    "refine",
    "separate_levels",
    "tasks",
    "warm_start",
]
