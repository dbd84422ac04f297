from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("admin/", admin.site.urls),
    path("v1/", include("workers.api.urls")),
    path("", include("chatsite.accounts.urls")),
    path("", include("arena.urls")),
]
