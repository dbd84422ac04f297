"""What the admin pages of several packages are built on. Not named `admin`: Django would take that for pages."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse


class ReadOnly(admin.options.BaseModelAdmin):  # type: ignore[type-arg] # Django's own takes no [] at run time
    """Records: looked at by whoever may view them, and changed by nobody. For pages and for inlines."""

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class ReadOnlyAdmin(ReadOnly, admin.ModelAdmin):  # type: ignore[type-arg] # as above
    pass


class RicherPageAdmin(admin.ModelAdmin):  # type: ignore[type-arg] # as above
    """The page of one object shows more than its fields."""

    def page_context(self, request: HttpRequest, obj: Any) -> dict[str, Any] | HttpResponse:
        """What the page's template gets, or what is answered instead; asked only for who may see the object."""
        raise NotImplementedError

    def change_view(
        self,
        request: HttpRequest,
        object_id: str,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        context = extra_context or {}
        obj = self.get_object(request, object_id)
        # Without one, or without the right to see it, Django has its own answers.
        if obj is not None and self.has_view_permission(request, obj):
            found = self.page_context(request, obj)
            if isinstance(found, HttpResponse):
                return found
            context = {**found, **context}
        return super().change_view(request, object_id, form_url, context)
