"""Fine-tuning jobs for the operator: start one, watch it learn, stop it, compare what it made and publish it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from chatsite.accounts.models import User
from chatsite.admin_bases import RicherPageAdmin
from evaluation.errors import CannotEvaluate
from training.admin.forms import HYPERPARAMETERS, EstimateForm, EvaluateForm, PublishForm, StartForm
from training.curve import Series, draw
from training.models import Job
from training.selectors import arena_data, runs
from training.services import drawing, foreseeing, jobs, publishing, running, smoke, starting
from workers import client
from workers.connections import UNREACHABLE
from workers.models import ChatModel
from workers.protocol import Order
from workers.selectors import hosting as orders
from workers.services import hosting

POLL_SECONDS = 2
SHOWN_EVENTS = 50
STEERED: dict[str, Callable[..., None]] = {
    "cancel": jobs.cancel,
    "pause": jobs.pause,
    "resume": jobs.resume,
}


@admin.register(Job)
class JobAdmin(RicherPageAdmin):
    form = StartForm
    change_form_template = "admin/training/job/change_form.html"
    add_form_template = "admin/training/job/add_form.html"
    change_list_template = "admin/training/job/change_list.html"
    show_full_result_count = False
    list_per_page = 50
    date_hierarchy = "created_at"
    list_select_related = ("owner",)
    list_display = ("public_id", "state", "base_model", "made", "method", "owner", "created_at")
    list_filter = ("status", "method")
    search_fields = ("public_id", "base_model", "fine_tuned_model", "owner__username", "owner__email")
    search_help_text = gettext_lazy("Part of an id, of a chat model's name or of the owner's")
    actions = ("cancel", "pause", "resume")
    fieldsets = (
        (None, {"fields": ("base", "method", "suffix")}),
        (gettext_lazy("What it learns from"), {"fields": ("origin", "upload", "file", "held_out")}),
        (gettext_lazy("Of the arena"), {"fields": ("since", "languages", "winners")}),
        (
            gettext_lazy("How it learns"),
            {
                "fields": (*HYPERPARAMETERS, "seed"),
                "description": gettext_lazy("Empty takes what is usual, which stands below each."),
            },
        ),
        (gettext_lazy("What it says on the way"), {"fields": ("prompts",)}),
    )

    class Media:
        css = {"all": ("workers/admin.css",)}

    # What may be done.

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """The page shows; it is changed by its own buttons."""
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_steer_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("training.change_job")

    def has_publish_permission(self, request: HttpRequest) -> bool:
        return self.has_steer_permission(request) and request.user.has_perm("workers.change_chatmodel")

    def has_evaluate_permission(self, request: HttpRequest) -> bool:
        return self.has_steer_permission(request) and request.user.has_perm("evaluation.add_evaluationrun")

    def get_urls(self) -> list[Any]:
        steer = self.admin_site.admin_view(self.steer)
        publish = self.admin_site.admin_view(self.publish)
        evaluate = self.admin_site.admin_view(self.evaluate)
        load = self.admin_site.admin_view(self.load)
        estimate = self.admin_site.admin_view(self.estimate)
        return [
            path("add/estimate/", estimate, name="training_job_estimate"),
            path("<int:pk>/steer/<str:verb>/", steer, name="training_job_steer"),
            path("<int:pk>/publish/", publish, name="training_job_publish"),
            path("<int:pk>/evaluate/", evaluate, name="training_job_evaluate"),
            path("<int:pk>/load/", load, name="training_job_load"),
            *super().get_urls(),
        ]

    # Starting one.

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return () if obj is not None else self.fieldsets

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:  # noqa: FBT001, FBT002 - Django's signature
        if obj is not None:
            return super().get_form(request, obj, change, form=forms.ModelForm, fields=[])
        return type("StartForm", (StartForm,), {"owner": request.user})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:  # noqa: FBT001
        job = form.job()
        # What Django logs and redirects to from here on.
        obj.pk = job.pk
        obj.refresh_from_db()

    def response_add(
        self, request: HttpRequest, obj: Any, post_url_continue: str | None = None
    ) -> HttpResponse:
        return HttpResponseRedirect(_page_of(obj))

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"title": _("Teach a chat model"), "nobody_trains": _nobody_trains()}
        return super().add_view(request, form_url, {**context, **(extra_context or {})})

    def estimate(self, request: HttpRequest) -> HttpResponse:
        """What the job in the form would need: a piece of its page."""
        if request.method != "POST" or not self.has_add_permission(request):
            raise PermissionDenied
        form = type("EstimateForm", (EstimateForm,), {"owner": request.user})(request.POST)
        context = _foreseen(form) if form.is_valid() else {"problems": form.problems()}
        return render(request, "admin/training/job/estimate.html", context)

    # Looking at them.

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"poll_seconds": POLL_SECONDS, "nobody_trains": _nobody_trains()}
        return super().changelist_view(request, {**context, **(extra_context or {})})

    def page_context(self, request: HttpRequest, obj: Job) -> dict[str, Any] | HttpResponse:
        answering = _answering(obj.fine_tuned_model)
        if request.headers.get("HX-Request") and request.GET.get("seen") != _seen(obj, answering):
            # It has come to another state, which has other buttons: the whole page is drawn anew.
            return HttpResponse(headers={"HX-Refresh": "true"})
        return self._about(request, obj, answering)

    def _about(self, request: HttpRequest, job: Job, answering: "Answering") -> dict[str, Any]:
        course = runs.course(job)
        return {
            "title": _("Fine-tuning job"),
            "job": job,
            "course": course,
            "seen": _seen(job, answering),
            "poll_seconds": POLL_SECONDS,
            "polls": job.open or _moves(job, answering),
            "answering": answering,
            "losses": _drawn(
                [Series(_("loss"), course.losses), Series(_("held out"), course.validation)],
                _("Loss by step"),
            ),
            "rates": _drawn([Series(_("learning rate"), course.rates)], _("Learning rate by step")),
            "told": list(job.events.order_by("-id")[:SHOWN_EVENTS]),
            "log": runs.log_tail(running.log_of(job)),
            "made_now": ChatModel.objects.filter(name=job.fine_tuned_model).first()
            if job.fine_tuned_model
            else None,
            "may_steer": self.has_steer_permission(request),
            "publish_form": PublishForm() if self.has_publish_permission(request) else None,
            "evaluate_form": EvaluateForm() if self.has_evaluate_permission(request) else None,
        }

    @admin.display(description=gettext_lazy("State"), ordering="status")
    def state(self, job: Job) -> SafeString:
        return format_html(
            '<span class="job-state job-state--{}">{}</span>', job.status, job.get_status_display()
        )

    @admin.display(description=gettext_lazy("Made"), ordering="fine_tuned_model")
    def made(self, job: Job) -> str:
        return job.fine_tuned_model or "–"

    # Steering them.

    @admin.action(description=gettext_lazy("Cancel: end them for good"), permissions=["steer"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._steer_all(request, queryset, jobs.cancel)

    @admin.action(description=gettext_lazy("Pause: stop for now"), permissions=["steer"])
    def pause(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._steer_all(request, queryset, jobs.pause)

    @admin.action(description=gettext_lazy("Resume behind the last checkpoint"), permissions=["steer"])
    def resume(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._steer_all(request, queryset, jobs.resume)

    def steer(self, request: HttpRequest, pk: int, verb: str) -> HttpResponse:
        job = self._asked(request, pk, allowed=self.has_steer_permission(request))
        if verb not in STEERED:
            raise Http404
        self._steer_all(request, [job], STEERED[verb])
        return HttpResponseRedirect(_page_of(job))

    def _steer_all(
        self, request: HttpRequest, chosen: QuerySet[Job] | list[Job], how: Callable[..., None]
    ) -> None:
        for job in chosen:
            try:
                how(job=job)
            except jobs.WrongState as error:
                text = _("%(job)s is %(status)s: that is not possible now.")
                values = {"job": job.public_id, "status": error.status}
                self.message_user(request, text % values, messages.WARNING)
            else:
                text = _("%(job)s is %(status)s now.") % {"job": job.public_id, "status": job.status}
                self.message_user(request, text, messages.SUCCESS)

    def publish(self, request: HttpRequest, pk: int) -> HttpResponse:
        job = self._asked(request, pk, allowed=self.has_publish_permission(request))
        form = PublishForm(request.POST)
        try:
            if not form.is_valid():
                raise ValidationError(_("Say a percentage from 0 to 100."))
            made = publishing.publish(job=job, battles=form.cleaned_data["battles"] / 100)
        except (publishing.NotMade, publishing.NoParent, ValidationError) as error:
            said = " ".join(error.messages) if isinstance(error, ValidationError) else str(error)
            self.message_user(request, said, messages.ERROR)
        else:
            self.message_user(request, _("Published: %(name)s") % {"name": made.name}, messages.SUCCESS)
        return HttpResponseRedirect(_page_of(job))

    def evaluate(self, request: HttpRequest, pk: int) -> HttpResponse:
        job = self._asked(request, pk, allowed=self.has_evaluate_permission(request))
        form = EvaluateForm(request.POST)
        try:
            if not form.is_valid():
                raise CannotEvaluate("judges", _("Choose judges that there are."))
            smoke.begin(job=job, judges=form.cleaned_data["judges"], asked_by=_person(request))
        except (smoke.NotMade, CannotEvaluate) as error:
            self.message_user(request, str(error), messages.ERROR)
        return HttpResponseRedirect(_page_of(job))

    def load(self, request: HttpRequest, pk: int) -> HttpResponse:
        job = self._asked(request, pk, allowed=self.has_publish_permission(request))
        try:
            hosting.load(publishing.made_by(job=job).name)
        except (publishing.NotMade, hosting.CannotHost) as error:
            self.message_user(request, str(error), messages.ERROR)
        except UNREACHABLE:
            self.message_user(request, _("The broker does not answer."), messages.ERROR)
        return HttpResponseRedirect(_page_of(job))

    def _asked(self, request: HttpRequest, pk: int, *, allowed: bool) -> Job:
        """The job that a button is about."""
        if request.method != "POST" or not allowed:
            raise PermissionDenied
        job = Job.objects.select_related("owner").filter(pk=pk).first()
        if job is None:
            raise Http404
        return job


def _foreseen(form: EstimateForm) -> dict[str, Any]:
    wanted = form.cleaned_data
    origin = wanted["origin"]
    rows: int | None = None
    if origin == "file" and wanted["file"]:
        rows = wanted["file"].lines
    elif origin == "arena":
        rows = arena_data.most(drawing.wanted_of(form.source()))
    context: dict[str, Any] = {"origin": origin, "rows": rows}
    if rows is not None:
        context["steps"] = foreseeing.steps(
            rows=rows,
            held_out=wanted["held_out"],
            batch_size=wanted["batch_size"],
            epochs=wanted["n_epochs"],
        )
    try:
        context["foreseen"] = foreseeing.foresee(
            chat_model=wanted["base"], method=wanted["method"], batch_size=wanted["batch_size"]
        )
    except foreseeing.CannotForesee as error:
        context["unknown"] = str(error)
    return context


def _page_of(job: Job) -> str:
    return reverse("admin:training_job_change", args=[job.pk])


def _person(request: HttpRequest) -> User:
    assert isinstance(request.user, User), "the admin lets nobody else in"
    return request.user


def _seen(job: Job, answering: "Answering") -> str:
    """What the page's buttons depend on."""
    now = "answers" if answering.workers else answering.order.state.value if answering.order else ""
    return "-".join(filter(None, (job.status, job.smoke, now)))


class Answering(NamedTuple):
    """Whether what a job made answers now."""

    workers: Sequence[str] = ()
    order: Order | None = None
    """The newest, when it has not ended well."""

    @property
    def loading(self) -> bool:
        return self.order is not None and not self.order.state.ended


def _answering(name: str) -> Answering:
    if not name:
        return Answering()
    try:
        serving = [status.worker for status in client.statuses() if status.serves(name)]
        newest = next((order for order in orders.recent() if order.chat_model == name), None)
    except UNREACHABLE:
        return Answering()
    return Answering(serving, None if serving else newest)


def _moves(job: Job, answering: Answering) -> bool:
    return answering.loading or job.smoke in (Job.Smoke.WAITING, Job.Smoke.RUNNING)


def _nobody_trains() -> bool:
    try:
        return not starting.workers()
    except UNREACHABLE:
        return True


def _drawn(series: list[Series], title: str) -> SafeString:
    return mark_safe(draw(series, title=title))  # noqa: S308 - plain numbers and escaped names
