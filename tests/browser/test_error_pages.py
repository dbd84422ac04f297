"""The error pages come up when nothing else does. No browser is needed to look at them."""

import pytest
from django.template.loader import get_template


@pytest.mark.parametrize("name", ["400.html", "403.html", "403_csrf.html", "404.html", "500.html"])
def test_it_needs_no_context_and_no_manifest(settings, name):
    settings.STORAGES = {
        **settings.STORAGES,
        "staticfiles": {
            "BACKEND": "chatsite.storage.HashedFiles"
        },  # nothing was collected: any look-up would raise
    }
    page = get_template(name).render()
    assert "/static/css/components.css" in page
    assert "<h1>" in page
    assert "style=" not in page


def test_it_answers_an_unknown_address_with_our_page(client, db):
    answer = client.get("/no/such/page/")
    assert answer.status_code == 404
    assert b"There is nothing here" in answer.content
