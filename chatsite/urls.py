from django.contrib import admin
from django.urls import include, path, re_path

from chatsite.accounts.views.login import admin_login
from workers.api import health
from workers.api.reference.views import reference
from workers.api.tokens.views import TokenCheckView

urlpatterns = [
    path("i18n/", include("django.conf.urls.i18n")),
    # Before the admin's own log-in page, which knows neither limits nor the audit trail.
    path("admin/login/", admin_login),
    path("admin/", admin.site.urls),
    path("v1/", include("training.api.urls")),  # first: it can delete models as well
    path("v1/", include("workers.api.urls")),
    path("api/v1/token_check", TokenCheckView.as_view(), name="token_check"),  # FastChat's clients ask there
    re_path(r"^docs/api/?$", reference, name="api_reference"),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("", include("chatsite.accounts.urls")),
    path("evaluations/", include("evaluation.urls")),
    path("", include("arena.urls")),
]
