"""Other names of a chat model: what programs written for another server ask for."""

from django.core.exceptions import ValidationError
from django.db import models

from workers.models.catalog import ChatModel, name_validator


class Alias(models.Model):
    """A second name. The API takes it wherever it takes the first, and answers under the first."""

    name = models.CharField(max_length=200, unique=True, validators=[name_validator])
    chat_model = models.ForeignKey(ChatModel, on_delete=models.CASCADE, related_name="aliases")

    class Meta:
        ordering = ["name"]
        verbose_name_plural = "aliases"

    def __str__(self) -> str:
        return self.name

    def clean(self) -> None:
        if ChatModel.objects.filter(name=self.name).exists():
            raise ValidationError({"name": f"A chat model is called {self.name} already."})
