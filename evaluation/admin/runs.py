"""Evaluations for the operator: start one, watch it, cancel it, go on with it, and read what came of it."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from chatsite.admin_bases import ReadOnlyAdmin
from evaluation.errors import CannotEvaluate
from evaluation.models import (
    EvaluationRun,
    HumanVerdict,
    Judge,
    StoredAnswer,
    StoredTaskScore,
    StoredVerdict,
)
from evaluation.selectors import arena_prompts
from evaluation.services import judges, plans, rejudging, runs, suites
from evaluation.services.plans import Plan
from evaluation.suites import SHIPPED, Suite
from workers.models import ChatModel

POLL_SECONDS = 2
# A suite of ten thousand questions has about so much; whoever wants more has the command.
LARGEST_UPLOAD = 20 * 2**20
NUMBERS = ("limit", "concurrency", "max_tokens", "temperature")


class StartForm(forms.ModelForm):  # type: ignore[type-arg] # Django's own class takes no [] at run time
    """What a run is planned from. A file comes from the person's machine: a path here would read the server's."""

    suite = forms.ChoiceField(
        label=gettext_lazy("Suite"),
        choices=[(name, name) for name in (*SHIPPED, arena_prompts.NAME)],
        required=False,
        help_text=gettext_lazy("Not asked when there is an address or a file."),
    )
    suite_address = forms.URLField(
        label=gettext_lazy("Or an address"),
        required=False,
        assume_scheme="https",
        help_text=gettext_lazy("Of JSON lines, with https."),
    )
    suite_file = forms.FileField(
        label=gettext_lazy("Or a file"),
        required=False,
        help_text=gettext_lazy("JSON lines with question_id, category and turns."),
    )
    chat_models = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Chat models"), queryset=ChatModel.objects.all()
    )
    baseline = forms.ModelChoiceField(
        label=gettext_lazy("Baseline"),
        queryset=ChatModel.objects.all(),
        to_field_name="name",
        required=False,
        help_text=gettext_lazy("For pairs against a baseline."),
    )
    judges = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Judges"),
        queryset=Judge.objects.all(),
        required=False,
        help_text=gettext_lazy("None stores the answers only."),
    )
    judging_models = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Chat models as judges"), queryset=ChatModel.objects.all(), required=False
    )
    limit = forms.IntegerField(label=gettext_lazy("Only the first … questions"), required=False, min_value=1)
    concurrency = forms.IntegerField(
        label=gettext_lazy("Calls at once"),
        required=False,
        min_value=1,
        help_text=gettext_lazy("Empty: as many as keep the engines full."),
    )
    max_tokens = forms.IntegerField(label=gettext_lazy("New tokens a turn"), required=False, min_value=1)
    temperature = forms.FloatField(
        label=gettext_lazy("Temperature"),
        required=False,
        help_text=gettext_lazy("Empty: by category."),
    )
    confirmed = forms.BooleanField(label=gettext_lazy("Start even if the judges cost money"), required=False)

    class Meta:
        model = EvaluationRun
        fields = ("mode", "baseline")

    plan: Plan

    def __init__(self, *arguments: Any, **values: Any) -> None:
        super().__init__(*arguments, **values)
        labels = dict(EvaluationRun.Mode.choices)
        self.fields["mode"].choices = [(mode, labels[mode]) for mode in plans.JUDGED]  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if self.errors:
            return data
        try:
            self.plan = self._plan(data)
        except CannotEvaluate as error:
            field = {"judge": "judges", "folder": "suite"}.get(error.field, error.field)
            if field == "suite" and data["suite_address"]:
                field = "suite_address"
            self.add_error(field if field in self.fields else None, str(error))
            return data
        cost = plans.estimate(plan=self.plan).cost
        if cost and not data["confirmed"]:
            self.add_error(
                "confirmed", _("The judges would cost about %(cost).2f. Tick this to start.") % {"cost": cost}
            )
            return data
        try:
            judges.knock(judges=self.plan.judges)
        except CannotEvaluate as error:
            self.add_error("judges", str(error))
        return data

    def _plan(self, data: dict[str, Any]) -> Plan:
        address, upload = data["suite_address"], data["suite_file"]
        if address and upload:
            raise CannotEvaluate("suite_file", _("Give an address or a file, not both."))
        source = upload.name if upload else address or data["suite"]
        return plans.plan(
            suite=source,
            loaded=self._read(upload) if upload else suites.load_public(source),
            chat_models=[model.name for model in data["chat_models"]],
            judge_names=[
                *(judge.name for judge in data["judges"]),
                *(m.name for m in data["judging_models"]),
            ],
            mode=data["mode"],
            baseline=data["baseline"],
            parameters={name: data[name] for name in NUMBERS},
        )

    def _read(self, upload: Any) -> Suite:
        if upload.size > LARGEST_UPLOAD:
            raise CannotEvaluate("suite_file", _("The file is too large; use manage.py evaluate run."))
        return suites.parse(upload.read(), source=upload.name)

    def clean_baseline(self) -> str:
        chosen = self.cleaned_data["baseline"]
        return chosen.name if chosen else ""

    def clean_mode(self) -> str:
        return str(self.cleaned_data["mode"])


class RecordAdmin(ReadOnlyAdmin):
    show_full_result_count = False
    list_per_page = 50


@admin.register(EvaluationRun)
class EvaluationRunAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = StartForm
    change_list_template = "admin/evaluation/evaluationrun/change_list.html"
    list_display = (
        "__str__",
        "status",
        "progress_shown",
        "pages",
        "mode_shown",
        "judged_by",
        "errors",
        "created_at",
    )
    list_filter = ("status", "mode")
    list_select_related = ("suite",)
    list_per_page = 50
    search_fields = ("suite_source", "suite__name", "chat_models")
    search_help_text = "Words of the suite or of a chat model's name"
    actions = ("cancel", "resume", "retry", "judge_again")
    readonly_fields = (
        "suite",
        "suite_source",
        "chat_models",
        "judged_by",
        "mode",
        "baseline",
        "parameters",
        "estimate",
        "status",
        "progress_shown",
        "errors",
        "error_message",
        "created_by",
        "created_at",
        "started_at",
        "finished_at",
        "pages",
    )

    class Media:
        css = {"all": ("workers/admin.css",)}

    def get_queryset(self, request: HttpRequest) -> QuerySet[EvaluationRun]:
        return super().get_queryset(request).defer("suite__questions")

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        if obj is not None:
            return ((None, {"fields": self.readonly_fields}),)
        return (
            (None, {"fields": ("suite", "suite_address", "suite_file", "chat_models", "mode", "baseline")}),
            (_("Judges"), {"fields": ("judges", "judging_models", "confirmed")}),
            (_("Bounds"), {"fields": NUMBERS}),
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields if obj is not None else ()

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 - Django's signature
        if obj is None:
            return StartForm
        return super().get_form(request, obj, change, form=forms.ModelForm, fields=[])

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: FBT001
        if change:
            return  # everything is read only
        run = runs.start(plan=form.plan, created_by=request.user)  # type: ignore[arg-type] # the admin's visitors are logged in
        # What Django logs and redirects to from here on.
        obj.pk = run.pk
        obj.refresh_from_db()

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> Any:
        return super().changelist_view(request, {"poll_seconds": POLL_SECONDS, **(extra_context or {})})

    @admin.action(description=gettext_lazy("Cancel: stop it and keep what it has"), permissions=["change"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[EvaluationRun]) -> None:
        stopped = sum(runs.cancel(run=run) for run in queryset)
        self.message_user(request, _("%(count)s stop within seconds.") % {"count": stopped}, messages.SUCCESS)

    @admin.action(description=gettext_lazy("Go on where it stopped"), permissions=["change"])
    def resume(self, request: HttpRequest, queryset: QuerySet[EvaluationRun]) -> None:
        self._resume(request, queryset, retry_errors=False)

    @admin.action(description=gettext_lazy("Go on, and make failed calls again"), permissions=["change"])
    def retry(self, request: HttpRequest, queryset: QuerySet[EvaluationRun]) -> None:
        self._resume(request, queryset, retry_errors=True)

    def _resume(self, request: HttpRequest, queryset: QuerySet[EvaluationRun], *, retry_errors: bool) -> None:
        for run in queryset:
            try:
                runs.resume(run=run, retry_errors=retry_errors)
            except CannotEvaluate as error:
                self.message_user(request, f"{run}: {error}", messages.ERROR)
            else:
                self.message_user(request, _("%(run)s goes on.") % {"run": run}, messages.SUCCESS)

    @admin.action(
        description=gettext_lazy("Judge the same answers anew, to see how far judges drift"),
        permissions=["add"],
    )
    def judge_again(self, request: HttpRequest, queryset: QuerySet[EvaluationRun]) -> None:
        for run in queryset:
            try:
                plan = rejudging.plan(run=run, fresh=True)
                cost = plans.estimate(plan=plan).cost
                if cost:
                    # An action has no place to confirm in.
                    raise CannotEvaluate(
                        "judge",
                        _("The judges would cost about %(cost).2f. Use %(command)s.")
                        % {
                            "cost": cost,
                            "command": f"manage.py evaluate run --rejudge {str(run.pk)[:8]} --fresh",
                        },
                    )
                judges.knock(judges=plan.judges)
                rejudging.create(plan=plan, created_by=request.user)  # type: ignore[arg-type] # logged in
            except CannotEvaluate as error:
                self.message_user(request, f"{run}: {error}", messages.ERROR)
            else:
                self.message_user(request, _("%(run)s is judged again.") % {"run": run}, messages.SUCCESS)

    @admin.display(description=gettext_lazy("Judges"))
    def judged_by(self, run: EvaluationRun) -> str:
        return ", ".join(run.judges) or "–"

    @admin.display(description=gettext_lazy("Mode"), ordering="mode")
    def mode_shown(self, run: EvaluationRun) -> str:
        """The word of the command line: the list has no room for the sentence."""
        return run.mode

    @admin.display(description=gettext_lazy("Progress"))
    def progress_shown(self, run: EvaluationRun) -> str:
        text = f"{run.answers_done}/{run.answers_total}"
        if run.verdicts_total:
            text += f" + {run.verdicts_done}/{run.verdicts_total}"
        return format_html(
            '<progress max="1" value="{}" aria-label="{}"></progress> {}',
            f"{run.progress:.3f}",
            _("Progress"),
            text,
        )

    @admin.display(description=gettext_lazy("Pages"))
    def pages(self, run: EvaluationRun) -> str:
        links = [
            (reverse("evaluation:run", args=[run.pk]), _("Report")),
            (reverse("admin:evaluation_storedanswer_changelist") + f"?run__id__exact={run.pk}", _("Answers")),
            (
                reverse("admin:evaluation_storedverdict_changelist") + f"?run__id__exact={run.pk}",
                _("Verdicts"),
            ),
        ]
        parts = [format_html('<a href="{}">{}</a>', url, name) for url, name in links]
        return format_html("{} · {} · {}", *parts)


@admin.register(StoredAnswer)
class StoredAnswerAdmin(RecordAdmin):
    list_display = ("question_id", "chat_model", "outcome", "error_message", "completion_tokens", "seconds")
    list_filter = ("outcome", "chat_model")
    list_select_related = ("run__suite",)
    search_fields = ("question_id", "chat_model")

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        return lookup == "run__id__exact" or super().lookup_allowed(lookup, value, request)


@admin.register(StoredVerdict)
class StoredVerdictAdmin(RecordAdmin):
    list_display = (
        "question_id",
        "turn",
        "judge",
        "model_1",
        "model_2",
        "game",
        "score",
        "winner",
        "failed",
        "cached",
    )
    list_filter = ("kind", "failed", "cached", "judge")
    search_fields = ("question_id", "model_1", "model_2", "judge")

    def lookup_allowed(self, lookup: str, value: Any, request: Any = None) -> bool:
        return lookup == "run__id__exact" or super().lookup_allowed(lookup, value, request)


@admin.register(StoredTaskScore)
class StoredTaskScoreAdmin(RecordAdmin):
    list_display = ("chat_model", "task", "metric", "value", "stderr", "samples", "created_at")
    list_filter = ("task", "chat_model")
    search_fields = ("task", "chat_model")


@admin.register(HumanVerdict)
class HumanVerdictAdmin(RecordAdmin):
    list_display = ("question_id", "turn", "person", "model_1", "model_2", "winner", "swapped", "created_at")
    list_filter = ("winner",)
    list_select_related = ("person",)
    search_fields = ("question_id", "model_1", "model_2", "person__username")
