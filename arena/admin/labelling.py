"""Names of categories, and the topics that were found in the prompts."""

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.views.decorators.http import require_POST
from kombu.exceptions import OperationalError

from arena.models import Category, Topic
from arena.services import labelling
from chatsite.admin_bases import ReadOnlyAdmin


@admin.register(Category)
class CategoryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("slug", "title", "offered", "description")
    list_editable = ("title", "offered")
    search_fields = ("slug", "title")


@admin.register(Topic)
class TopicAdmin(ReadOnlyAdmin):
    change_list_template = "admin/arena/topic/change_list.html"
    list_display = ("__str__", "prompts", "percent", "first_example", "searched_at")
    fields = ("all_words", "prompts", "percent", "all_examples", "searched_at")
    readonly_fields = ("all_words", "percent", "all_examples")

    def get_urls(self) -> list[URLPattern]:
        own = path("search/", self.admin_site.admin_view(self.search), name="arena_topic_search")
        return [own, *super().get_urls()]

    def search(self, request: HttpRequest) -> HttpResponse:
        """The button above the list."""
        if not request.user.has_perm("arena.view_topic"):
            raise PermissionDenied
        return _search(request)

    @admin.display(description="Of all", ordering="share")
    def percent(self, topic: Topic) -> str:
        return f"{topic.share:.0%}"

    @admin.display(description="Example")
    def first_example(self, topic: Topic) -> str:
        return topic.examples[0][:100] if topic.examples else ""

    @admin.display(description="Words")
    def all_words(self, topic: Topic) -> str:
        return ", ".join(topic.words)

    @admin.display(description="Examples")
    def all_examples(self, topic: Topic) -> str:
        return "\n\n".join(topic.examples)


@require_POST
def _search(request: HttpRequest) -> HttpResponse:
    try:
        labelling.ask_for_topics()
        messages.success(request, "The search has begun; its topics appear here within a minute.")
    except OperationalError:
        messages.error(
            request, "The broker is away, so nothing can be searched now. Try again when it is back."
        )
    return HttpResponseRedirect(reverse("admin:arena_topic_changelist"))
