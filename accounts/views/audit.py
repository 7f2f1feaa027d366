"""The audit log."""

from django.contrib.auth.decorators import login_required
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.access import MissingRight, can_anywhere, teams_where
from accounts.forms import AuditFilterForm
from accounts.queries import AuditFilter, audit_actions, audit_page


@login_required
@require_safe
def audit_log(request):
    """Newest first, older ones by `?before=`; only what the person may read."""
    if not can_anywhere(request.user, "audit.read"):
        raise MissingRight("audit.read", None)
    form = AuditFilterForm(request.GET, teams=teams_where(request.user, "audit.read"), actions=audit_actions())
    valid = form.is_valid()
    before = form.cleaned_data.get("before") if valid else None
    entries, older = audit_page(request.user, form.wanted() if valid else AuditFilter(), before)
    context = {
        "form": form,
        "entries": entries,
        "newest_url": _with_before(request.GET, None) if before else "",
        "older_url": _with_before(request.GET, older) if older else "",
        "filtered": any(form.data.get(name) for name in form.fields),
    }
    return render(request, "accounts/audit_log.html", context)


def _with_before(given, older: int | None) -> str:
    """The query string of this filter from an entry on; None: from the newest."""
    query = given.copy()
    query.pop("before", None)
    if older is not None:
        query["before"] = older
    return f"?{query.urlencode()}"
