"""The chat pages' forms."""

from django import forms

from arena.models import Conversation


class SettingsForm(forms.ModelForm):  # type: ignore[type-arg] # Django's own class takes no [] at run time
    """The parameters panel. The page sends its values with the next message; nothing posts this form."""

    class Meta:
        model = Conversation
        fields = ["system_prompt", "temperature", "top_p", "max_tokens", "seed", "probabilities"]
