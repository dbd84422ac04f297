"""What admin pages of several packages are built on."""

import pytest
from django.contrib import admin
from django.http import HttpResponse
from django.template.response import TemplateResponse
from django.test import RequestFactory

from chatsite.accounts.models import AuditEvent
from chatsite.admin_bases import ReadOnlyAdmin, RicherPageAdmin
from tests.factories import make_user

pytestmark = pytest.mark.django_db


class Page(ReadOnlyAdmin, RicherPageAdmin):
    instead: HttpResponse | None = None

    def page_context(self, request, obj):
        return self.instead or {"told": f"about {obj.pk}", "title": "Mine"}


@pytest.fixture
def event() -> AuditEvent:
    return AuditEvent.objects.create(kind=AuditEvent.Kind.values[0])


@pytest.fixture
def request_of_boss():
    request = RequestFactory().get("/")
    request.user = make_user("boss", is_staff=True, is_superuser=True)
    return request


def test_it_lets_not_even_an_administrator_change_a_record(event, request_of_boss):
    page = Page(AuditEvent, admin.site)
    assert page.has_view_permission(request_of_boss, event)
    assert not page.has_add_permission(request_of_boss)
    assert not page.has_change_permission(request_of_boss, event)
    assert not page.has_delete_permission(request_of_boss, event)


def test_it_adds_to_the_page_and_the_caller_has_the_last_word(event, request_of_boss):
    page = Page(AuditEvent, admin.site)
    response = page.change_view(request_of_boss, str(event.pk), "", {"title": "Theirs"})
    assert isinstance(response, TemplateResponse)
    context = response.context_data or {}
    assert (context["told"], context["title"]) == (f"about {event.pk}", "Theirs")


def test_it_can_answer_something_else_than_the_page(event, request_of_boss):
    page = Page(AuditEvent, admin.site)
    page.instead = HttpResponse("elsewhere")
    assert page.change_view(request_of_boss, str(event.pk)) is page.instead
