from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("arena", "0008_branches")]

    operations = [
        migrations.AddField(
            model_name="conversation", name="pinned", field=models.BooleanField(default=False)
        ),
    ]
