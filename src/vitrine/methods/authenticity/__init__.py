"""Is this listing authentic or counterfeit? SSA and the systems it is compared with (Yang et al., A Semi-Supervised
Attention Model for Identifying Authentic Sneakers, Big Data Mining and Analytics 2020).
"""

from vitrine.methods.authenticity.lessons import finish, lesson, taught
from vitrine.methods.authenticity.listings import answer, judge, predict_listings
from vitrine.methods.authenticity.systems import VARIANTS, build, describe

__all__ = ["VARIANTS", "answer", "build", "describe", "finish", "judge", "lesson", "predict_listings", "taught"]
