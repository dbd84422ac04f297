"""Which battles may be learnt from: people have accepted the terms, still have their account, and nothing is held
against what was said.
"""

from django.db.models import Exists, OuterRef, QuerySet

from arena.models import Battle, ModerationCase, TermsAcceptance, Vote
from arena.models.battles import SITE


def learnable() -> QuerySet[Battle]:
    """Battles fought here whose vote counts, oldest first.

    A deleted account leaves its battles without an owner, and so without consent. What moderation or a person flagged
    stays out until an operator has dismissed it.
    """
    counted = Vote.objects.filter(battle=OuterRef("pk"), counted=True)
    accepted = TermsAcceptance.objects.filter(user=OuterRef("owner"))
    flagged = ModerationCase.objects.filter(battle=OuterRef("pk")).exclude(
        status=ModerationCase.Status.DISMISSED
    )
    return Battle.objects.filter(Exists(counted), Exists(accepted), ~Exists(flagged), source=SITE).order_by(
        "created_at", "pk"
    )
