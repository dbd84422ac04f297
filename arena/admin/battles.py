"""Battles, votes, matchmaking and moderation for the operator. What was said and voted is read, never edited; whether
a vote counts is decided by actions, which leave a trace.
"""

import uuid
from collections.abc import Callable
from typing import Any, cast

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.views.decorators.http import require_POST

from arena.errors import Refused
from arena.models import (
    Battle,
    BlockedPhrase,
    Category,
    Contender,
    ModerationCase,
    PinnedPair,
    Terms,
    Vote,
    VoteDecision,
)
from arena.models.battles import Labeller
from arena.ratings import categories
from arena.selectors import battles as selectors
from arena.services import labelling, matchmaking, moderation, votes
from chatsite.accounts.models import User
from chatsite.admin_bases import ReadOnlyAdmin, RicherPageAdmin


@admin.register(Battle)
class BattleAdmin(ReadOnlyAdmin, RicherPageAdmin):
    list_display = ("__str__", "left_name", "right_name", "verdict", "mode", "source", "owner", "created_at")
    list_filter = ("mode", "source", "language", "labelled_by", "created_at")
    list_select_related = ("owner",)
    actions = ("label_again",)
    search_fields = ("left_name", "right_name", "owner__username", "external_id")
    search_help_text = "A chat model's name, the owner's name, or the id an imported battle had"
    date_hierarchy = "created_at"
    list_per_page = 50
    show_full_result_count = False
    fields = (
        "mode",
        "owner",
        "left_name",
        "right_name",
        "propensity",
        "commitment",
        "nonce",
        "revealed_at",
        "language",
        "categories",
        "labelled_by",
        "source",
        "external_id",
        "created_at",
    )

    class Media:
        css = {"all": ("arena/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[Battle]:
        queryset: QuerySet[Battle] = super().get_queryset(request)
        return queryset.prefetch_related("votes")

    def get_urls(self) -> list[URLPattern]:
        labels = path(
            "<uuid:battle_id>/labels/", self.admin_site.admin_view(self.labels), name="arena_battle_labels"
        )
        return [labels, *super().get_urls()]

    def labels(self, request: HttpRequest, battle_id: uuid.UUID) -> HttpResponse:
        """The form on a battle's page."""
        if not may_decide(request, "change_battle"):
            raise PermissionDenied
        return _relabel(request, get_object_or_404(Battle, pk=battle_id))

    def has_label_permission(self, request: HttpRequest) -> bool:
        return may_decide(request, "change_battle")

    @admin.action(description="Label again by the rules", permissions=["label"])
    def label_again(self, request: HttpRequest, queryset: QuerySet[Battle]) -> None:
        done = sum(labelling.by_rules(battle=battle) for battle in queryset)
        kept = len(queryset) - done
        left = f" {kept} kept: labelled by a judge or an operator, or without text." if kept else ""
        self.message_user(request, f"{done} labelled.{left}", messages.SUCCESS if done else messages.WARNING)

    @admin.display(description="Vote")
    def verdict(self, battle: Battle) -> str:
        for vote in battle.votes.all():
            return f"{vote.get_choice_display()}{'' if vote.counted else ' (left out)'}"
        return ""

    def page_context(self, request: HttpRequest, obj: Battle) -> dict[str, Any]:
        return {
            "turns": selectors.turns(obj),
            "vote": selectors.vote_of(obj),
            "cases": ModerationCase.objects.filter(battle=obj),
            "may_label": may_decide(request, "change_battle"),
            "labels": [(name, name in obj.categories) for name in _offered(obj)],
        }


def _offered(battle: Battle) -> list[str]:
    """The categories of the rules, of the operators, and those the battle has beside."""
    known = [*categories.CATEGORIES, *Category.objects.values_list("slug", flat=True), *battle.categories]
    return list(dict.fromkeys(known))


@require_POST
def _relabel(request: HttpRequest, battle: Battle) -> HttpResponse:
    names = [*request.POST.getlist("category"), *request.POST.get("more", "").split(",")]
    language = request.POST.get("language", "").strip().casefold()
    try:
        labelling.relabel(battle=battle, language=language, categories=names, labeller=Labeller.OPERATOR)
        messages.success(request, "Labelled. The vote counts in these slices from now on.")
    except Refused as error:
        messages.error(request, error.message)
    return HttpResponseRedirect(reverse("admin:arena_battle_change", args=[battle.pk]))


class DecisionInline(admin.TabularInline):  # type: ignore[type-arg]
    model = VoteDecision
    fields = readonly_fields = ("created_at", "counted", "exclusion", "note", "decided_by")
    extra = 0
    can_delete = False
    verbose_name_plural = "What was decided about it"

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return request.user.has_perm("arena.view_vote")


def may_decide(request: HttpRequest, permission: str) -> bool:
    return request.user.has_perm(f"arena.{permission}")


@admin.register(Vote)
class VoteAdmin(ReadOnlyAdmin):
    """The exclusions: a filter on “counted” is the list of what was left out, with the reason and the evidence."""

    list_display = (
        "created_at",
        "choice",
        "pair",
        "voter",
        "counted",
        "exclusion",
        "weight",
        "battle_link",
    )
    list_filter = ("counted", "exclusion", "choice", "battle__source", "created_at")
    list_select_related = ("voter", "battle")
    search_fields = ("voter__username", "voter_key", "battle__left_name", "battle__right_name")
    search_help_text = "The voter's name or key, or a chat model's name"
    list_per_page = 50
    show_full_result_count = False
    actions = ("leave_out", "let_in")
    inlines = (DecisionInline,)
    fields = (
        "battle_link",
        "choice",
        "turn",
        "reasons",
        "voter",
        "voter_key",
        "counted",
        "exclusion",
        "evidence",
        "weight",
        "address_hash",
        "created_at",
    )
    readonly_fields = ("battle_link",)

    @admin.display(description="Left – right")
    def pair(self, vote: Vote) -> str:
        return f"{vote.battle.left_name} – {vote.battle.right_name}"

    @admin.display(description="Battle")
    def battle_link(self, vote: Vote) -> str:
        url = reverse("admin:arena_battle_change", args=[vote.battle_id])
        return format_html('<a href="{}">{}</a>', url, vote.battle)

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return may_decide(request, "change_vote")

    @admin.action(description="Leave out of the ratings", permissions=["decide"])
    def leave_out(self, request: HttpRequest, queryset: QuerySet[Vote]) -> None:
        operator = cast("User", request.user)
        for_each(
            self,
            request,
            queryset.filter(counted=True),
            lambda vote: votes.leave_out(vote=vote, exclusion=Vote.Exclusion.MANUAL, operator=operator),
            "left out",
        )

    @admin.action(description="Count again", permissions=["decide"])
    def let_in(self, request: HttpRequest, queryset: QuerySet[Vote]) -> None:
        operator = cast("User", request.user)
        for_each(
            self,
            request,
            queryset.filter(counted=False),
            lambda vote: votes.let_in(vote=vote, operator=operator),
            "counted again",
        )


def for_each(
    page: admin.ModelAdmin,  # type: ignore[type-arg]
    request: HttpRequest,
    rows: QuerySet[Any],
    service: Callable[[Any], object],
    done: str,
) -> None:
    """Call a service for each row, and say how many it was granted for and why the others were not."""
    granted, refusals = 0, set()
    for row in rows:
        try:
            service(row)
            granted += 1
        except Refused as refusal:
            refusals.add(refusal.message)
    page.message_user(request, f"{granted} {done}.", messages.SUCCESS if granted else messages.WARNING)
    for refusal_text in sorted(refusals):
        page.message_user(request, refusal_text, messages.WARNING)


@admin.register(Contender)
class ContenderAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Weights. One without a row has 1; the page shows what that comes to."""

    list_display = ("chat_model", "weight", "chance")
    list_editable = ("weight",)
    list_select_related = ("chat_model",)
    autocomplete_fields = ("chat_model",)

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        self._chances = matchmaking.probabilities()
        return super().changelist_view(request, extra_context)

    @admin.display(description="Fights in … of all battles now")
    def chance(self, contender: Contender) -> str:
        name = contender.chat_model.name
        share = sum(chance for pair, chance in self._chances.items() if name in pair)
        return f"{share:.0%}" if share else "none: offline, hidden or weight 0"


@admin.register(PinnedPair)
class PinnedPairAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("__str__", "share")
    list_editable = ("share",)
    list_select_related = ("first", "second")
    autocomplete_fields = ("first", "second")


@admin.register(Terms)
class TermsAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """A new version is added, an old one never edited: people have accepted it."""

    list_display = ("__str__", "created_at")

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


@admin.register(BlockedPhrase)
class BlockedPhraseAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("phrase", "action")
    list_editable = ("action",)
    search_fields = ("phrase",)


@admin.register(ModerationCase)
class ModerationCaseAdmin(ReadOnlyAdmin):
    """The review queue."""

    list_display = (
        "created_at",
        "status",
        "origin",
        "severe",
        "reason",
        "excerpt_start",
        "place",
        "reported_by",
    )
    list_filter = ("status", "origin", "severe", "created_at")
    list_select_related = ("battle", "reply__message__conversation", "reported_by")
    search_fields = ("reason", "excerpt", "reported_by__username")
    actions = ("uphold", "dismiss")
    exclude = ("battle", "reply")
    readonly_fields = ("place",)

    @admin.display(description="Excerpt")
    def excerpt_start(self, case: ModerationCase) -> str:
        return case.excerpt[:80]

    @admin.display(description="Where it stands")
    def place(self, case: ModerationCase) -> str:
        if case.battle_id is not None:
            url = reverse("admin:arena_battle_change", args=[case.battle_id])
            return format_html('<a href="{}">{}</a>', url, case.battle)
        if case.reply is not None:
            conversation = case.reply.message.conversation
            url = reverse("admin:arena_conversation_change", args=[conversation.pk])
            return format_html('<a href="{}#reply-{}">{}</a>', url, case.reply_id, conversation)
        return "nowhere: the message was refused"

    def has_decide_permission(self, request: HttpRequest) -> bool:
        return may_decide(request, "change_moderationcase")

    @admin.action(description="Uphold: the battle's vote is left out", permissions=["decide"])
    def uphold(self, request: HttpRequest, queryset: QuerySet[ModerationCase]) -> None:
        self._decide(request, queryset, upheld=True)

    @admin.action(description="Dismiss", permissions=["decide"])
    def dismiss(self, request: HttpRequest, queryset: QuerySet[ModerationCase]) -> None:
        self._decide(request, queryset, upheld=False)

    def _decide(self, request: HttpRequest, queryset: QuerySet[ModerationCase], *, upheld: bool) -> None:
        operator = cast("User", request.user)
        for_each(
            self,
            request,
            queryset,
            lambda case: moderation.decide(case=case, operator=operator, upheld=upheld),
            "upheld" if upheld else "dismissed",
        )
