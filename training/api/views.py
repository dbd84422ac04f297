"""The routes of fine-tuning jobs."""

from collections.abc import Callable
from typing import ClassVar

from django.http import HttpResponse
from rest_framework.request import Request

from training.api import openapi, protocol, serving
from training.models import Job
from training.services import jobs
from workers.api import pages
from workers.api.authentication import api_key_of, owner_of
from workers.api.base import ApiView, json_response
from workers.api.body import read_json
from workers.api.models.views import ModelView as CatalogModelView


class ModelView(CatalogModelView):
    """The catalog's, and `DELETE` for what one has trained."""

    operations = openapi.MODEL_OPERATIONS

    def delete(self, request: Request, name: str) -> HttpResponse:
        serving.delete_model(owner_of(request), name)
        return json_response({"id": name, "object": "model", "deleted": True})


class JobListView(ApiView):
    operations = {"get": openapi.LIST, "post": openapi.CREATE}

    def get(self, request: Request) -> HttpResponse:
        rows = Job.objects.filter(owner=owner_of(request))
        return json_response(pages.page(request, rows, protocol.job_object))

    def post(self, request: Request) -> HttpResponse:
        job = serving.create(api_key_of(request), protocol.parse(read_json(request)))
        return json_response(protocol.job_object(job))


class JobView(ApiView):
    operations = {"get": openapi.GET}

    def get(self, request: Request, public_id: str) -> HttpResponse:
        return json_response(protocol.job_object(serving.find(owner_of(request), public_id)))


class JobEventsView(ApiView):
    operations = {"get": openapi.EVENTS}

    def get(self, request: Request, public_id: str) -> HttpResponse:
        rows = serving.find(owner_of(request), public_id).events.all()
        return json_response(pages.page(request, rows, protocol.event_object))


class JobCheckpointsView(ApiView):
    operations = {"get": openapi.CHECKPOINTS}

    def get(self, request: Request, public_id: str) -> HttpResponse:
        rows = serving.find(owner_of(request), public_id).checkpoints.select_related("job")
        return json_response(pages.page(request, rows, protocol.checkpoint_object, default=10))


class _ChangeView(ApiView):
    how: ClassVar[Callable[..., None]]

    def post(self, request: Request, public_id: str) -> HttpResponse:
        job = serving.find(owner_of(request), public_id)
        serving.change(job, type(self).how)
        return json_response(protocol.job_object(job))


class JobCancelView(_ChangeView):
    operations = {"post": openapi.CANCEL}

    how = staticmethod(jobs.cancel)


class JobPauseView(_ChangeView):
    operations = {"post": openapi.PAUSE}

    how = staticmethod(jobs.pause)


class JobResumeView(_ChangeView):
    operations = {"post": openapi.RESUME}

    how = staticmethod(jobs.resume)
