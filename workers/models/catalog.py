"""The catalog: the chat models that people pick by name."""

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.utils import timezone

from workers.protocol import MOST_SLOTS

name_validator = RegexValidator(
    r"^[A-Za-z0-9][A-Za-z0-9._:/-]*$",
    "Use letters, digits and . _ : / - only, starting with a letter or digit.",
)


class ChatModelQuerySet(models.QuerySet["ChatModel"]):
    def published(self) -> "ChatModelQuerySet":
        return self.filter(published=True)


class ChatModel(models.Model):
    """What a person picks by name, and how a worker loads it."""

    class Engine(models.TextChoices):
        LLAMA_CPP = "llama_cpp", "llama.cpp (GGUF)"
        TRANSFORMERS = "transformers", "transformers (safetensors, torch)"
        UPSTREAM = "upstream", "Upstream (somebody else's server)"
        SCRIPTED = "scripted", "Scripted (demo and tests)"

    name = models.CharField(
        max_length=200,
        unique=True,
        validators=[name_validator],
        help_text="The name in the model picker and in the API's `model`.",
    )
    description = models.CharField(max_length=300, blank=True)
    engine = models.CharField(max_length=32, choices=Engine.choices, default=Engine.LLAMA_CPP)
    checkpoint = models.CharField(
        max_length=500,
        blank=True,
        help_text="Path of the weights on the worker's machine, package:FILE.gguf, or a server's model: vllm:NAME.",
    )
    licence = models.CharField(max_length=100, blank=True)
    slots = models.PositiveSmallIntegerField(
        default=8,
        validators=[MinValueValidator(1), MaxValueValidator(MOST_SLOTS)],
        help_text="Requests one worker works on at once.",
    )
    context_length = models.PositiveIntegerField(
        default=0, help_text="Tokens that all slots share; 0 takes what the checkpoint was made for."
    )
    template = models.CharField(
        "prompt format",
        max_length=200,
        blank=True,
        help_text="How messages become a prompt: a format's name or file. Empty takes the weights' own.",
    )
    engine_options = models.JSONField(
        default=dict,
        blank=True,
        help_text='Of the transformers engine: {"load_8bit": true, "adapters": {"my-lora": "/srv/my-lora"}}.',
    )
    # What a request gets that does not say otherwise, in the chat page and in the API alike.
    system_prompt = models.TextField(blank=True, help_text="Used when a conversation brings none of its own.")
    temperature = models.FloatField(default=0.7, validators=[MinValueValidator(0.0), MaxValueValidator(2.0)])
    top_p = models.FloatField(default=1.0, validators=[MinValueValidator(0.0), MaxValueValidator(1.0)])
    published = models.BooleanField(default=True, help_text="Shown to people and to the API.")
    hosted_here = models.BooleanField(
        default=False, help_text="`manage.py up` starts a worker for it on this machine."
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ChatModelQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
