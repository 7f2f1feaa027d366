"""Prices: own ones over the catalogue, what has none, where reported cost differs."""

from datetime import datetime

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect, render
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from accounts.access import can, can_anywhere, require, visible_teams
from accounts.models import Team
from accounts.posted import author_of, report
from usage.forms.prices import PriceEditForm, PriceEndForm, PriceForm
from usage.links import tabs_of
from usage.models import Price
from usage.pricing import queries
from usage.pricing.actions import RATES, add_price, edit_price, end_price
from usage.pricing.book import Book, current
from usage.pricing.catalogue import CATALOGUE_VERSION, search
from usage.pricing.shown import ShownSource, listing, rate_lines, shown_source
from usage.rules.calendar import is_plausible
from usage.scope import Scope

CATALOGUE_LIMIT = 40


@login_required
@require_safe
def price_list(request: HttpRequest) -> HttpResponse:
    """Own prices, the catalogue search, and the price of every model in use."""
    now, words = timezone.now(), request.GET.get("q", "").strip()[:100]
    teams = list(visible_teams(request.user))
    book = current()
    prices = queries.visible_prices(request.user).order_by("provider", "model", "team__name", "-valid_from")
    return render(
        request,
        "usage/prices/list.html",
        {
            "tabs": tabs("price-list"),
            "words": words,
            "prices": [(price, rate_lines(book.rate_of(price)), editable(request.user, price)) for price in prices],
            "found": [listing(entry, now) for entry in search(words, CATALOGUE_LIMIT)] if words else [],
            "limit": CATALOGUE_LIMIT,
            "in_use": [] if words else _in_use(book, teams, now),
            "may_add": can_anywhere(request.user, "price.edit"),
            "catalogue_version": CATALOGUE_VERSION,
            "now": now,
        },
    )


# Fields of the forms that are named otherwise than the price's.
SHOWN_AS = {"valid_from": "effective_from", "valid_to": "at"}


def _in_use(book: Book, teams: list[Team], now: datetime) -> list[tuple[queries.InUse, ShownSource]]:
    team_ids = {team.pk for team in teams}
    return [(one, shown_source(book, one, team_ids, now)) for one in queries.models_in_use(teams, now)]


def editable(user, price: Price) -> bool:
    return can(user, "price.edit", price.team)


def tabs(current: str) -> list[tuple[str, str, bool]]:
    names = (
        ("Prices", "price-list"),
        ("Without a price", "price-unpriced"),
        ("Differences", "price-differences"),
        ("Re-pricing", "repricing-list"),
        ("Provider limits", "limit-list"),
    )
    return tabs_of(names, current)


def own_price(user, pk: int) -> Price:
    """The price, 404 for a stranger to its team, 403 for whoever may not edit it."""
    price = get_object_or_404(queries.visible_prices(user), pk=pk)
    require(user, "price.edit", price.team)
    return price


@login_required
def price_add(request: HttpRequest) -> HttpResponse:
    """Add a price; `provider`, `model` and `team` of the query string are filled in."""
    if not can_anywhere(request.user, "price.edit"):
        require(request.user, "price.edit")
    form = PriceForm(request.POST or None, user=request.user, initial=_prefilled(request))
    if request.method == "POST" and form.is_valid():
        fields = {name: form.cleaned_data[name] for name in ("team", "provider", "model", "region", "tier")}
        dates = {name: form.cleaned_data[name] for name in ("valid_from", "valid_to", "note")}
        require(request.user, "price.edit", fields["team"])
        try:
            price = add_price(author=author_of(request), rates=form.rates, **fields, **dates)
        except ValidationError as error:
            report(form, error, SHOWN_AS)
        else:
            messages.success(request, f"The price of {price.model} is saved. New calls use it from now on.")
            return redirect(reprice_url(price, price.valid_from))
    return render(request, "usage/prices/add.html", {"form": form, "tabs": tabs("price-list")})


def _prefilled(request: HttpRequest) -> dict[str, object]:
    get = request.GET
    team = visible_teams(request.user).filter(slug=get.get("team", "")).first()
    midnight = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    start = parse_moment(get.get("from")) or midnight
    return {"provider": get.get("provider", ""), "model": get.get("model", ""), "team": team, "valid_from": start}


def parse_moment(text: str | None) -> datetime | None:
    """An ISO time, in the viewer's zone where it names none; None when it is not a plausible one."""
    try:
        moment = parse_datetime(text or "")
    except ValueError:
        return None
    if moment and not is_plausible(moment):
        return None
    return timezone.make_aware(moment) if moment and timezone.is_naive(moment) else moment


@login_required
def price_edit(request: HttpRequest, pk: int) -> HttpResponse:
    """New rates for a price, from its start or from a later moment on; or its end (`action=end`)."""
    price = own_price(request.user, pk)
    if request.method == "POST" and request.POST.get("action") == "end":
        return _end(request, price)
    now = timezone.localtime().replace(second=0, microsecond=0)
    initial = {name: _plain(getattr(price, name)) for name in RATES} | {"effective_from": now, "note": ""}
    form = PriceEditForm(request.POST or None, initial=initial)
    if request.method == "POST" and form.is_valid():
        cleaned = form.cleaned_data
        try:
            new = edit_price(
                author=author_of(request),
                price=price,
                rates=form.rates,
                effective_from=cleaned["effective_from"],
                note=cleaned["note"],
            )
        except ValidationError as error:
            report(form, error, SHOWN_AS)
        else:
            messages.success(request, f"The price of {new.model} is changed. New calls use it from now on.")
            return redirect(reprice_url(new, new.valid_from))
    return _edit_page(request, price, form, PriceEndForm(initial={"at": now}))


def _plain(value):
    """A rate as people write it: 2.5, not 2.500000000."""
    return None if value is None else f"{value.normalize():f}"


def _end(request: HttpRequest, price: Price) -> HttpResponse:
    form = PriceEndForm(request.POST)
    if form.is_valid():
        try:
            end_price(author=author_of(request), price=price, at=form.cleaned_data["at"])
        except ValidationError as error:
            report(form, error, SHOWN_AS)
        else:
            messages.success(request, f"The price of {price.model} ends then.")
            return redirect(reprice_url(price, form.cleaned_data["at"]))
    now = timezone.localtime().replace(second=0, microsecond=0)
    initial = {name: _plain(getattr(price, name)) for name in RATES} | {"effective_from": now}
    return _edit_page(request, price, PriceEditForm(initial=initial), form)


def _edit_page(request: HttpRequest, price: Price, form: PriceEditForm, end_form: PriceEndForm) -> HttpResponse:
    history = queries.visible_prices(request.user).filter(
        team=price.team, provider=price.provider, model=price.model, region=price.region, tier=price.tier
    )
    book = current()
    return render(
        request,
        "usage/prices/edit.html",
        {
            "price": price,
            "form": form,
            "end_form": end_form,
            "history": [(one, rate_lines(book.rate_of(one))) for one in history.order_by("-valid_from")],
            "tabs": tabs("price-list"),
        },
    )


def reprice_url(price: Price, start) -> str:
    """The page that offers to re-price the calls this price is about; the list where none can be older than now."""
    if start >= timezone.now():
        return reverse("price-list")
    query = {"provider": price.provider, "model": price.model, "from": start.isoformat()}
    query |= {"team": price.team.slug} if price.team else {}
    query |= {"to": price.valid_to.isoformat()} if price.valid_to and price.valid_to > start else {}
    return f"{reverse('repricing-new')}?{urlencode(query)}"


@login_required
@require_safe
def price_unpriced(request: HttpRequest) -> HttpResponse:
    """Models with calls without a price, in the teams the user sees."""
    teams = list(visible_teams(request.user))
    found = queries.unpriced_models(teams, timezone.now())
    may_add = can_anywhere(request.user, "price.edit")
    return render(
        request,
        "usage/prices/unpriced.html",
        {
            "models": found,
            "calls": sum(one.calls for one in found),
            "may_add": may_add,
            "tabs": tabs("price-unpriced"),
        },
    )


@login_required
@require_safe
def price_differences(request: HttpRequest) -> HttpResponse:
    """Where the cost that clients report is not the one computed here; with examples of one model."""
    scope = Scope.from_request(request, default_range="7d")
    of = queries.Slice(list(scope.team_ids), scope.start, scope.end, scope.filters)
    chosen = (request.GET.get("by", ""), request.GET["of"]) if request.GET.get("of") else None
    teams = {team.pk: team for team in scope.teams}
    examples = queries.difference_examples(of, *chosen) if chosen else []
    return render(
        request,
        "usage/prices/differences.html",
        {
            "scope": scope,
            "rows": [(row, scope.url(of=row.model, by=row.provider) + "#examples") for row in queries.differences(of)],
            "chosen": chosen,
            "examples": [(one, teams[one.team_id]) for one in examples],
            "tabs": tabs("price-differences"),
        },
    )
