"""The catalog for the operator: what chat models there are, and which of them answer."""

from collections.abc import Callable, Collection
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy as _

from workers.admin.live import LiveAdmin, state_badge
from workers.admin.ordering import WorkerActionForm
from workers.connections import UNREACHABLE
from workers.models import Alias, ChatModel
from workers.selectors.fleet import ChatModelView, Fleet, State
from workers.services import catalog, hosting


class ChatModelForm(forms.ModelForm):  # type: ignore[type-arg] # Django's own class takes no [] at run time
    class Meta:
        help_texts = {
            "engine_options": 'Of transformers: {"load_8bit": true, "adapters": {"my-lora": "/srv/my-lora"}}. Of '
            'llama.cpp: {"mmproj": "/srv/mmproj.gguf", "lora": ["/srv/lora.gguf:0.5"], "adapters": {…}}.',
        }
        widgets = {
            "description": forms.TextInput(attrs={"class": "vLargeTextField"}),
            "checkpoint": forms.TextInput(attrs={"class": "vLargeTextField", "spellcheck": "false"}),
            "system_prompt": forms.Textarea(attrs={"rows": 4, "class": "vLargeTextField"}),
        }

    def _post_clean(self) -> None:
        """Django's own check of the model's fields, then ours of the fields together, on the same instance."""
        super()._post_clean()  # type: ignore[misc] # the hook has no stub
        if not self.errors:
            try:
                catalog.check(chat_model=self.instance)
            except forms.ValidationError as error:
                self.add_error(None, error)


class AliasInline(admin.TabularInline):  # type: ignore[type-arg] # Django's own class takes no [] at run time
    model = Alias
    extra = 0
    verbose_name_plural = "Other names"


@admin.register(ChatModel)
class ChatModelAdmin(LiveAdmin):
    form = ChatModelForm
    list_display = ("name", "state", "load", "engine", "slots", "published", "hosted_here", "description")
    list_filter = ("published", "hosted_here", "engine")
    search_fields = ("name", "description", "checkpoint")
    search_help_text = "Words of the name, the description or the checkpoint"
    action_form = WorkerActionForm
    actions = ("load_into_worker", "unload_from_workers", "publish", "unpublish")
    inlines = (AliasInline,)
    readonly_fields = ("state", "load", "conversations")
    delete_confirmation_template = "admin/workers/chatmodel/delete_confirmation.html"
    delete_selected_confirmation_template = "admin/workers/chatmodel/delete_selected_confirmation.html"
    fieldsets = (
        (None, {"fields": ("name", "description", "licence", "published")}),
        (
            "How a worker loads it",
            {
                "fields": (
                    "engine",
                    "checkpoint",
                    "engine_options",
                    "template",
                    "slots",
                    "context_length",
                    "hosted_here",
                ),
                "description": "Read by a worker when it loads the chat model.",
            },
        ),
        (
            "What a request gets that does not say otherwise",
            {"fields": ("system_prompt", "temperature", "top_p")},
        ),
        ("Now", {"fields": ("state", "load", "conversations")}),
    )

    def view_of(self, row: Any, now: Fleet) -> ChatModelView:
        return now.chat_model(row.name)

    def get_fieldsets(self, request: HttpRequest, obj: ChatModel | None = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        return fieldsets if obj else fieldsets[:-1]

    @admin.display(description="State")
    def state(self, row: Any) -> str:
        view: ChatModelView = row.view
        many = "" if view.workers == 1 else "s"
        return state_badge(view.state, f"{view.workers} worker{many}" if view.workers else "")

    @admin.display(description="Requests")
    def load(self, row: Any) -> str:
        view: ChatModelView = row.view
        if view.state is State.UNKNOWN:
            return "-"
        return f"{view.running} running, {view.waiting} waiting"

    @admin.display(description="Conversations")
    def conversations(self, row: ChatModel) -> int:
        return row.conversations.count()

    @admin.action(description=_("Load into a worker"), permissions=["change"])
    def load_into_worker(self, request: HttpRequest, queryset: QuerySet[ChatModel]) -> None:
        for chat_model in queryset:
            self._order(request, hosting.load, chat_model)

    @admin.action(description=_("Unload: finish what runs, then free the memory"), permissions=["change"])
    def unload_from_workers(self, request: HttpRequest, queryset: QuerySet[ChatModel]) -> None:
        for chat_model in queryset:
            self._order(request, hosting.unload, chat_model)

    def _order(self, request: HttpRequest, give: Callable[..., object], chat_model: ChatModel) -> None:
        """How it goes on is on the page. What is refused is said above it."""
        try:
            give(chat_model.name, worker=request.POST.get("worker") or None)
        except hosting.CannotHost as refusal:
            self.message_user(request, str(refusal), messages.ERROR)
        except UNREACHABLE:
            self.message_user(request, _("The broker does not answer. bin/up starts it."), messages.ERROR)

    @admin.action(description="Publish: show to people and to the API", permissions=["change"])
    def publish(self, request: HttpRequest, queryset: Any) -> None:
        changed = catalog.set_published(chat_models=queryset, published=True)
        self.message_user(request, _shown(changed, "published"), messages.SUCCESS)

    @admin.action(description="Unpublish: hide from people and from the API", permissions=["change"])
    def unpublish(self, request: HttpRequest, queryset: Any) -> None:
        changed = catalog.set_published(chat_models=queryset, published=False)
        self.message_user(request, _shown(changed, "hidden"), messages.SUCCESS)

    def save_model(self, request: HttpRequest, obj: ChatModel, form: Any, change: bool) -> None:  # noqa: FBT001
        super().save_model(request, obj, form, change)
        if obj.hosted_here and (not change or catalog.LOADED_FIELDS.intersection(form.changed_data)):
            self.message_user(request, "The next start of bin/up loads it as it is now.", messages.INFO)
        elif change and catalog.LOADED_FIELDS.intersection(form.changed_data):
            self.message_user(
                request,
                "Running workers keep what they have loaded: unload it and load it again.",
                messages.INFO,
            )

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> Any:
        """A chat model that a worker hosts cannot be deleted: the worker would bring it back within seconds."""
        to_delete, model_count, lacking, protected = super().get_deleted_objects(objs, request)
        now = self.fleet_of(request)
        hosted = [
            f"{chat_model.name}, loaded by {', '.join(workers)}"
            for chat_model in objs
            if (workers := now.hosts(chat_model.name))
        ]
        return to_delete, model_count, lacking, [*protected, *hosted]

    def delete_model(self, request: HttpRequest, obj: ChatModel) -> None:
        self._remove(request, [obj])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[ChatModel]) -> None:
        self._remove(request, queryset)

    def _remove(self, request: HttpRequest, chat_models: Collection[ChatModel] | QuerySet[ChatModel]) -> None:
        conversations = sum(catalog.remove(chat_model=chat_model) for chat_model in chat_models)
        if conversations:
            self.message_user(request, catalog.what_stays(conversations), messages.INFO)

    def render_delete_form(self, request: HttpRequest, context: dict[str, Any]) -> Any:
        context["what_stays"] = catalog.what_stays(context["object"].conversations.count())
        return super().render_delete_form(request, context)


def _shown(changed: int, how: str) -> SafeString | str:
    if not changed:
        return f"All of them were {how} already."
    return f"{changed} chat model{'s are' if changed != 1 else ' is'} {how} now."
