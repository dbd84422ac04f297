from django.urls import path

from evaluation import views

app_name = "evaluation"
urlpatterns = [
    path("", views.runs, name="runs"),
    path("compare/", views.compare, name="compare"),
    path("judge/", views.judge, name="judge"),
    path("<uuid:run_id>/", views.run, name="run"),
    path("<uuid:run_id>/progress/", views.progress, name="progress"),
    path("<uuid:run_id>/questions/<int:position>/", views.question, name="question"),
]
