"""What a job is started from, and what may be asked of one that has ended."""

import tempfile
from pathlib import Path
from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from chatsite.accounts.models import User
from evaluation.models import Judge
from training.models import Job
from training.services import jobs, recipes
from workers.models import ApiFile, ChatModel
from workers.services import files, jsonl

MOST_HELD_OUT = 50
"""Percent."""
MOST_PROMPTS = 8
HYPERPARAMETERS = ("n_epochs", "batch_size", "learning_rate_multiplier", "beta")
PROMPTS = "Who are you?\nWhat is the capital of France?"


class StartForm(forms.ModelForm):  # type: ignore[type-arg] # Django's own class takes no [] at run time
    """A job. The data is a file from the person's machine, one that they have uploaded before, or the arena's."""

    owner: User
    """Set by the page: whose job it becomes."""

    base = forms.ModelChoiceField(
        label=gettext_lazy("Chat model to teach"),
        queryset=ChatModel.objects.none(),
        help_text=gettext_lazy("Those with weights on this site: of llama.cpp or transformers."),
    )
    origin = forms.ChoiceField(
        label=gettext_lazy("Learns from"),
        choices=[
            ("upload", gettext_lazy("a file that I upload")),
            ("file", gettext_lazy("a file that I have uploaded before")),
            ("arena", gettext_lazy("what people preferred in the arena")),
        ],
        initial="upload",
        widget=forms.RadioSelect,
    )
    upload = forms.FileField(
        label=gettext_lazy("File"),
        required=False,
        help_text=gettext_lazy("JSON lines as OpenAI has them: one conversation, or one preference, a line."),
    )
    file = forms.ModelChoiceField(
        label=gettext_lazy("Uploaded before"), queryset=ApiFile.objects.none(), required=False
    )
    since = forms.DateField(
        label=gettext_lazy("Votes from this day on"),
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text=gettext_lazy(
            "Of people who accepted the terms and still have their account; what is flagged stays out."
        ),
    )
    languages = forms.CharField(
        label=gettext_lazy("Languages"),
        required=False,
        max_length=100,
        help_text=gettext_lazy("Codes such as en, with commas between them. Empty: all."),
    )
    winners = forms.ModelMultipleChoiceField(
        label=gettext_lazy("Only what these won"),
        queryset=ChatModel.objects.all(),
        required=False,
        help_text=gettext_lazy("Empty: all."),
    )
    held_out = forms.IntegerField(
        label=gettext_lazy("Percent to hold out"),
        min_value=0,
        max_value=MOST_HELD_OUT,
        initial=10,
        help_text=gettext_lazy("Not learnt but measured on, before the first step and after each epoch."),
    )
    n_epochs = forms.IntegerField(
        label=gettext_lazy("Epochs"), required=False, min_value=1, max_value=50, help_text=str(recipes.EPOCHS)
    )
    batch_size = forms.IntegerField(
        label=gettext_lazy("Conversations a step"),
        required=False,
        min_value=1,
        max_value=256,
        help_text=str(recipes.BATCH_SIZE),
    )
    learning_rate_multiplier = forms.FloatField(
        label=gettext_lazy("Learning rate, times"),
        required=False,
        min_value=0.0001,
        max_value=1000,
        help_text=f"1 × {recipes.LEARNING_RATE:g} / {recipes.PREFERENCE_LEARNING_RATE:g}",
    )
    beta = forms.FloatField(
        label=gettext_lazy("Beta, for preferences"),
        required=False,
        min_value=0.0001,
        max_value=2,
        help_text=str(recipes.BETA),
    )
    prompts = forms.CharField(
        label=gettext_lazy("Sample prompts"),
        required=False,
        initial=PROMPTS,
        widget=forms.Textarea(attrs={"rows": 3, "class": "vLargeTextField"}),
        help_text=gettext_lazy("One a line. It answers them on the way, so that you see what becomes of it."),
    )
    seed = forms.IntegerField(
        label=gettext_lazy("Seed"),
        required=False,
        min_value=0,
        max_value=2**31 - 1,
        help_text=gettext_lazy("Empty: by chance."),
    )

    class Meta:
        model = Job
        fields = ("method", "suffix")
        labels = {"method": gettext_lazy("Recipe"), "suffix": gettext_lazy("Part of its name")}
        help_texts = {
            "method": gettext_lazy(
                "Supervised: learns what the assistant says. DPO: learns which answer was preferred."
            ),
            "suffix": gettext_lazy("Letters, digits and . _ - for the chat model's name: ft:BASE:NAME:…"),
        }

    def __init__(self, *arguments: Any, **values: Any) -> None:
        super().__init__(*arguments, **values)
        chosen: Any = self.fields
        chosen["base"].queryset = recipes.trainable()
        own = ApiFile.objects.filter(owner=self.owner, purpose=ApiFile.Purpose.FINE_TUNE)
        chosen["file"].queryset = own.order_by("-created_at")
        chosen["file"].label_from_instance = lambda file: f"{file.filename} ({file.lines} · {file.public_id})"

    def clean_suffix(self) -> str:
        suffix = str(self.cleaned_data["suffix"])
        if suffix and not jobs.is_suffix(suffix):
            raise forms.ValidationError(_("Use letters, digits and . _ - only."))
        return suffix

    def clean_prompts(self) -> list[str]:
        # A prompt that began with a dash would look like an option of the recipe's command.
        lines = [line.strip().lstrip("-").strip() for line in self.cleaned_data["prompts"].splitlines()]
        prompts = [line for line in lines if line]
        if len(prompts) > MOST_PROMPTS:
            raise forms.ValidationError(_("At most %(count)d.") % {"count": MOST_PROMPTS})
        return prompts

    def clean(self) -> dict[str, Any]:
        found: dict[str, Any] = super().clean() or {}
        if jobs.open_of(owner=self.owner) >= jobs.MOST_OPEN:
            text = _("You have %(count)d jobs under way, the most there can be. Wait for one to end.")
            raise forms.ValidationError(text % {"count": jobs.MOST_OPEN})
        kind = found.get("origin")
        if kind == "upload" and not found.get("upload") and "upload" not in self.errors:
            self.add_error("upload", _("Choose a file."))
        elif kind == "file" and not found.get("file") and "file" not in self.errors:
            self.add_error("file", _("Choose one of your files."))
        if not self.errors and kind == "upload":
            found["file"] = self._take_in(found["upload"])  # last, since it keeps the file
        return found

    def _take_in(self, upload: "UploadedFile[bytes]") -> ApiFile | None:
        with tempfile.NamedTemporaryFile(dir=files.incoming(), delete=False) as copy:
            for chunk in upload.chunks():
                copy.write(chunk)
        try:
            return files.take_in(
                owner=self.owner,
                source=Path(copy.name),
                filename=upload.name or "data.jsonl",
                purpose=ApiFile.Purpose.FINE_TUNE,
            )
        except jsonl.InvalidLine as error:
            self.add_error("upload", str(error))
        except files.NoRoom as error:
            text = _("Your files would take more than %(limit)d bytes. Delete some first.")
            self.add_error("upload", text % {"limit": error.limit})
        return None

    def job(self) -> Job:
        """Make it, from a form that is valid."""
        values = self.cleaned_data
        from_arena = values["origin"] == "arena"
        return jobs.create(
            owner=self.owner,
            base_model=values["base"].name,
            training_file=None if from_arena else values["file"],
            source=self.source() if from_arena else None,
            method=values["method"],
            hyperparameters=self._hyperparameters(),
            held_out=values["held_out"],
            sample_prompts=values["prompts"],
            suffix=values["suffix"],
            seed=values["seed"],
        )

    def source(self) -> dict[str, Any]:
        """What the arena is asked for, from a form that is valid."""
        values = self.cleaned_data
        found: dict[str, Any] = {"personal": "hide"}
        if values["since"]:
            found["since"] = values["since"].isoformat()
        if languages := [code.strip() for code in values["languages"].split(",") if code.strip()]:
            found["languages"] = languages
        if values["winners"]:
            found["winners"] = sorted(model.name for model in values["winners"])
        return found

    def _hyperparameters(self) -> dict[str, Any]:
        names = HYPERPARAMETERS if self.cleaned_data["method"] == Job.Method.DPO else HYPERPARAMETERS[:-1]
        return {name: "auto" if (value := self.cleaned_data[name]) is None else value for name in names}


class EstimateForm(StartForm):
    """Those fields of a start which memory and steps depend on; nothing is uploaded and nothing made."""

    arena = ("since", "languages", "winners")
    asked = ("base", "method", "origin", "file", *arena, "held_out", "n_epochs", "batch_size")

    class Meta(StartForm.Meta):
        fields = ("method",)  # type: ignore[assignment] # fewer of them

    def __init__(self, *arguments: Any, **values: Any) -> None:
        super().__init__(*arguments, **values)
        for name in set(self.fields) - set(self.asked):
            del self.fields[name]

    def clean(self) -> dict[str, Any]:
        # Not the start's own: a file that is still to be chosen does not matter here.
        return forms.ModelForm.clean(self) or {}

    def problems(self) -> list[str]:
        """What is wrong, each with the name of its field."""
        return [
            f"{self.fields[name].label}: {text}" if name in self.fields else str(text)
            for name, texts in self.errors.items()
            for text in texts
        ]


class PublishForm(forms.Form):
    battles = forms.IntegerField(
        label=gettext_lazy("Percent of all battles in which it meets its parent"),
        min_value=0,
        max_value=100,
        initial=20,
    )


class EvaluateForm(forms.Form):
    judges = forms.MultipleChoiceField(
        label=gettext_lazy("Judges"),
        required=False,
        help_text=gettext_lazy("None: both answer, and nobody compares."),
    )

    def __init__(self, *arguments: Any, **values: Any) -> None:
        super().__init__(*arguments, **values)
        names = [
            *Judge.objects.values_list("name", flat=True),
            *ChatModel.objects.values_list("name", flat=True),
        ]
        chosen: Any = self.fields["judges"]
        chosen.choices = [(name, name) for name in dict.fromkeys(names)]
