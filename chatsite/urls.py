from django.contrib import admin
from django.urls import include, path

from workers.api import health

urlpatterns = [
    path("admin/", admin.site.urls),
    path("v1/", include("workers.api.urls")),
    path("healthz", health.healthz),
    path("readyz", health.readyz),
    path("", include("chatsite.accounts.urls")),
    path("", include("arena.urls")),
]
