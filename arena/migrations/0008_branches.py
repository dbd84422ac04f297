"""Messages become a tree; what is stored is one branch each."""

import django.db.models.deletion
from django.db import migrations, models
from django.db.models import OuterRef, Subquery


def chain(apps, schema_editor):
    """Put each message behind the one at the position before it."""
    Message = apps.get_model("arena", "Message")
    before = Message.objects.filter(
        conversation=OuterRef("conversation"), position__lt=OuterRef("position")
    ).order_by("-position")
    Message.objects.filter(position__gt=1).update(previous_id=Subquery(before.values("pk")[:1]))


class Migration(migrations.Migration):
    dependencies = [("arena", "0007_daily_statistics")]

    operations = [
        migrations.RemoveConstraint(model_name="message", name="one_message_per_position"),
        migrations.AddField(
            model_name="message", name="active", field=models.BooleanField(default=True, editable=False)
        ),
        migrations.AddField(
            model_name="message",
            name="previous",
            field=models.ForeignKey(
                blank=True,
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="following",
                to="arena.message",
            ),
        ),
        migrations.AddConstraint(
            model_name="message",
            constraint=models.UniqueConstraint(
                condition=models.Q(("active", True)),
                fields=("conversation", "position"),
                name="one_active_message_per_position",
            ),
        ),
        # Last: PostgreSQL alters no table that has changes waiting for a deferred check.
        migrations.RunPython(chain, migrations.RunPython.noop),
    ]
