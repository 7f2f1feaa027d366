"""Writing down what the weekly operations review decided."""

from datetime import date

from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.actions import Author, audit
from accounts.models import Team
from incidents.models import ReviewDecision

STALE = "Somebody wrote here while you did. Theirs is shown above yours: save again to replace it."


def decide(*, author: Author, team: Team | None, week: date, section: str, text: str, version: int) -> ReviewDecision:
    """The decision of a section of the week that begins at the Monday `week`; an empty text takes it back.

    `version`: of the decision that was read, 0 where there was none. Raises ValidationError when it is another by now.
    """
    place = {"team": team, "week": week, "section": section}
    try:
        with transaction.atomic():
            found = ReviewDecision.objects.select_for_update().filter(**place).first()
            if (found.version if found else 0) != version:
                raise ValidationError(STALE)
            before = {"text": found.text} if found else None
            one = found or ReviewDecision(**place, version=0)
            if before and before["text"] == text:
                return one
            one.text, one.author, one.decided_at, one.version = text, author.user, timezone.now(), version + 1
            one.save()
            audit(
                **author.signature, action="review.decide", target=one, team=team, before=before, after={"text": text}
            )
    except IntegrityError:  # two wrote the first one at once
        raise ValidationError(STALE) from None
    return one
