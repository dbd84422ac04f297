"""Addresses of fine-tuning under `/v1/`. Here and not in `workers.api`, which knows nothing of training."""

from django.urls import path

from training.api import views

app_name = "v1_training"
urlpatterns = [
    path("models/<path:name>", views.ModelView.as_view(), name="model"),
    path("fine_tuning/jobs", views.JobListView.as_view(), name="jobs"),
    path("fine_tuning/jobs/<str:public_id>", views.JobView.as_view(), name="job"),
    path("fine_tuning/jobs/<str:public_id>/events", views.JobEventsView.as_view(), name="job_events"),
    path(
        "fine_tuning/jobs/<str:public_id>/checkpoints",
        views.JobCheckpointsView.as_view(),
        name="job_checkpoints",
    ),
    path("fine_tuning/jobs/<str:public_id>/cancel", views.JobCancelView.as_view(), name="job_cancel"),
    path("fine_tuning/jobs/<str:public_id>/pause", views.JobPauseView.as_view(), name="job_pause"),
    path("fine_tuning/jobs/<str:public_id>/resume", views.JobResumeView.as_view(), name="job_resume"),
]
