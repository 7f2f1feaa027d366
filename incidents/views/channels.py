"""Channels, routes, and the log of deliveries."""

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_POST, require_safe

from accounts.access import can, can_anywhere, person_of, require, visible_teams
from accounts.posted import author_of, report, whole_number
from incidents.actions import channels as actions
from incidents.forms.channels import PERSONAL, ChannelForm, RouteForm, may_manage
from incidents.models import Channel, Delivery
from incidents.queries.channels import visible_channels, visible_deliveries, visible_routes
from incidents.views.tabs import alert_tabs

PAGE = 50


@login_required
@require_safe
def channel_list(request: HttpRequest) -> HttpResponse:
    """The channels with how they do, and the routes that lead to them."""
    return _list(request, RouteForm(user=person_of(request)))


def _list(request: HttpRequest, form: RouteForm, status: int = 200) -> HttpResponse:
    user = person_of(request)
    found = list(visible_channels(user).prefetch_related("routes__team"))
    routes = [(one, can(user, "channel.manage", one.team)) for one in visible_routes(user)]
    context = {
        "channels": [(one, may_manage(user, one)) for one in found],
        "routes": routes,
        "route_form": form,
        "may_manage": can_anywhere(user, "channel.manage"),
        "nobody_paged": not any(one.channel.is_active and one.route in ("", "page") for one, _ in routes),
        "desk_url": settings.DESK_URL,
        "kinds": Channel.Kind.choices,
        "tabs": alert_tabs("channel-list"),
    }
    return render(request, "incidents/sending/channels.html", context, status=status)


@login_required
def channel_add(request: HttpRequest) -> HttpResponse:
    """A new channel of the kind in the query string; a webhook's secret is shown once."""
    kind = request.GET.get("kind", "apprise")
    if kind not in Channel.Kind.values:
        raise Http404
    user = person_of(request)
    form = ChannelForm(request.POST or None, user=user, kind=kind)
    if request.method == "POST" and form.is_valid() and (made := _add(request, form)):
        channel, secret = made
        messages.success(request, f"{channel} is added. Test it, and say by a route what goes there.")
        if not secret:
            return redirect("channel-list")
        return render(request, "incidents/sending/secret.html", _with_tabs(channel=channel, secret=secret))
    kinds = [(label, f"?kind={value}", value == kind) for value, label in Channel.Kind.choices]
    context = _with_tabs(form=form, kinds=kinds, mail_is_off=kind == "email" and not settings.EMAIL_CONFIGURED)
    return render(request, "incidents/sending/channel_form.html", context)


def _add(request: HttpRequest, form: ChannelForm) -> tuple[Channel, str] | None:
    owner, user = form.cleaned_data["owner"], person_of(request)
    team = None if owner in ("", PERSONAL) else visible_teams(user).get(pk=owner)
    if owner != PERSONAL:
        require(user, "channel.manage", team)
    personal = user if owner == PERSONAL else None
    try:
        return actions.add_channel(author=author_of(request), team=team, user=personal, facts=form.facts)
    except ValidationError as error:
        report(form, error)
        return None


@login_required
def channel_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """Change a channel, renew its secret, switch it, remove it."""
    channel = _managed(request, pk)
    names = ("name", "per_minute", "quiet_from", "quiet_until", "zone")
    initial = {name: getattr(channel, name) for name in names}
    form = ChannelForm(
        request.POST or None, user=person_of(request), kind=channel.kind, channel=channel, initial=initial
    )
    if request.method == "POST" and form.is_valid():
        try:
            actions.edit_channel(author=author_of(request), channel=channel, facts=form.facts)
        except ValidationError as error:
            report(form, error)
        else:
            messages.success(request, f"{channel} is saved.")
            return redirect("channel-list")
    return render(request, "incidents/sending/channel_form.html", _with_tabs(form=form, channel=channel))


def _with_tabs(**context: object) -> dict[str, object]:
    return {"tabs": alert_tabs("channel-list")} | context


def _managed(request: HttpRequest, pk: int) -> Channel:
    """A channel the person may change. 404 to a stranger, 403 without the right."""
    channel = get_object_or_404(visible_channels(person_of(request)), pk=pk)
    if not channel.user_id:
        require(request.user, "channel.manage", channel.team)
    return channel


@login_required
@require_POST
def channel_test(request: HttpRequest, pk: int) -> HttpResponse:
    """Send a test; the page it leads to shows what became of it."""
    delivery = actions.send_test(author=author_of(request), channel=_managed(request, pk))
    return redirect(f"{reverse('delivery-list')}?channel={delivery.channel_id}")


@login_required
@require_POST
def channel_switch(request: HttpRequest, pk: int) -> HttpResponse:
    channel = _managed(request, pk)
    actions.switch(author=author_of(request), channel=channel, on=not channel.is_active)
    messages.success(request, f"{channel} is switched {'off' if channel.is_active else 'on'}.")
    return redirect("channel-list")


@login_required
@require_POST
def channel_secret(request: HttpRequest, pk: int) -> HttpResponse:
    """Another signing secret, shown once."""
    channel = _managed(request, pk)
    if channel.kind != Channel.Kind.WEBHOOK:
        raise Http404
    secret = actions.renew_secret(author=author_of(request), channel=channel)
    return render(request, "incidents/sending/secret.html", _with_tabs(channel=channel, secret=secret))


@login_required
@require_POST
def channel_remove(request: HttpRequest, pk: int) -> HttpResponse:
    channel = _managed(request, pk)
    actions.remove_channel(author=author_of(request), channel=channel)
    messages.success(request, f"{channel} is removed.")
    return redirect("channel-list")


@login_required
@require_POST
def route_add(request: HttpRequest) -> HttpResponse:
    user = person_of(request)
    form = RouteForm(request.POST, user=user)
    if form.is_valid():
        require(user, "channel.manage", form.cleaned_data["team"])
        try:
            made = actions.add_route(author=author_of(request), **form.cleaned_data)
        except ValidationError as error:
            report(form, error)
        else:
            messages.success(request, f"From now on: {made}.")
            return redirect("channel-list")
    return _list(request, form, status=422)


@login_required
@require_POST
def route_remove(request: HttpRequest, pk: int) -> HttpResponse:
    route = get_object_or_404(visible_routes(person_of(request)), pk=pk)
    require(request.user, "channel.manage", route.team)
    actions.remove_route(author=author_of(request), route=route)
    messages.success(request, "The route is removed.")
    return redirect("channel-list")


@login_required
@require_safe
def delivery_list(request: HttpRequest) -> HttpResponse:
    """What was sent, waits or was given up, the newest first; keyset pages by `before=ID`."""
    user = person_of(request)
    channels = list(visible_channels(user))
    found = _filtered(request, visible_deliveries(user))
    before = whole_number(request.GET.get("before", ""))
    if before is not None:
        found = found.filter(pk__lt=before)
    shown = list(found.order_by("-pk")[: PAGE + 1])
    query = request.GET.copy()
    query["before"] = str(shown[PAGE - 1].pk) if len(shown) > PAGE else ""
    managed = {one.pk for one in channels if may_manage(user, one)}
    context = {
        "rows": [(one, one.channel_id in managed and one.state in ("sent", "failed")) for one in shown[:PAGE]],
        "channels": channels,
        "states": Delivery.State.choices,
        "older_url": f"?{query.urlencode()}" if len(shown) > PAGE else "",
        "newer_url": "?" if before is not None else "",
        "filtered": any(request.GET.get(name) for name in ("channel", "state", "digest")),
        "tabs": alert_tabs("delivery-list"),
    }
    return render(request, "incidents/sending/deliveries.html", context)


def _filtered(request: HttpRequest, found):
    numbers = {name: whole_number(request.GET.get(name, "")) for name in ("channel", "digest")}
    found = found.filter(**{f"{name}_id": value for name, value in numbers.items() if value is not None})
    state = request.GET.get("state", "")
    return found.filter(state=state) if state in Delivery.State.values else found


@login_required
@require_POST
def delivery_resend(request: HttpRequest, pk: int) -> HttpResponse:
    delivery = get_object_or_404(visible_deliveries(person_of(request)), pk=pk)
    _managed(request, delivery.channel_id)
    if actions.resend(author=author_of(request), delivery=delivery, at=timezone.now()):
        messages.success(request, "It is sent again.")
    else:
        messages.error(request, "It is under way, in a digest, or its channel is switched off.")
    return redirect("delivery-list")
