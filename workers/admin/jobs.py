"""Files and batches for the operator. Both are their owners': they can be looked at, and batches can be cancelled."""

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from chatsite.admin_bases import ReadOnlyAdmin
from workers.models import ApiFile, Batch
from workers.services import batches


class OwnedAdmin(ReadOnlyAdmin):
    show_full_result_count = False
    date_hierarchy = "created_at"
    list_select_related = ("owner",)


@admin.register(ApiFile)
class ApiFileAdmin(OwnedAdmin):
    """What is in a file stays between its owner and the disk."""

    list_display = (
        "public_id",
        "filename",
        "owner",
        "purpose",
        "shown_size",
        "lines",
        "created_at",
        "expires_at",
    )
    list_filter = ("purpose",)
    search_fields = ("public_id", "filename", "owner__username", "owner__email")
    fields = list_display

    @admin.display(description=_("Size"), ordering="size")
    def shown_size(self, file: ApiFile) -> str:
        return filesizeformat(file.size)


@admin.register(Batch)
class BatchAdmin(OwnedAdmin):
    list_display = (
        "public_id",
        "owner",
        "endpoint",
        "status",
        "progress",
        "failed",
        "created_at",
        "expires_at",
    )
    list_filter = ("status", "endpoint")
    search_fields = ("public_id", "owner__username", "owner__email")
    fields = (
        *list_display,
        "api_key",
        "input_file_name",
        "output_file",
        "error_file",
        "errors",
        "metadata",
        "started_at",
        "ended_at",
        "runner",
    )
    actions = ("cancel",)

    @admin.display(description=_("Answered"))
    def progress(self, batch: Batch) -> str:
        return f"{batch.completed + batch.failed} / {batch.total}"

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("workers.change_batch")

    @admin.action(description=_("Cancel the selected batches"), permissions=["cancel"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Batch]) -> None:
        cancelled = 0
        for batch in queryset:
            try:
                batches.request_cancel(batch=batch)
                cancelled += 1
            except batches.Ended:
                pass  # there is nothing to cancel, which is what was wanted
        text = ngettext("%(count)d batch is cancelled.", "%(count)d batches are cancelled.", cancelled)
        self.message_user(request, text % {"count": cancelled}, messages.SUCCESS)
