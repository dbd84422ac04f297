"""`manage.py create_admin`: makes the first administrator, or with `--reset` lets one back in."""

from argparse import ArgumentParser
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError

from chatsite.accounts.models import User
from chatsite.accounts.services import people


class Command(BaseCommand):
    help = "Make the first administrator and print the password. It cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--username", default="admin", help="the administrator's name (%(default)s)")
        parser.add_argument(
            "--reset",
            action="store_true",
            help="give an administrator who exists a new password, and switch it on",
        )

    def handle(self, *args: Any, username: str, reset: bool, **options: Any) -> None:
        password = self.reset(username) if reset else self.create(username)
        self.stdout.write(f"Username: {username}\nPassword: {password}")

    def create(self, username: str) -> str:
        try:
            password = people.ensure_administrator(username=username)
        except people.UsernameTaken:
            raise CommandError(f"{username!r} is not an administrator. Choose another --username.") from None
        except ValidationError as error:
            raise CommandError(f"--username: {' '.join(error.messages)}") from None
        if password is None:
            raise CommandError("There is an administrator already. With --reset one gets a new password.")
        return password

    def reset(self, username: str) -> str:
        try:
            return people.reset_administrator(username=username)
        except User.DoesNotExist:
            names = ", ".join(User.objects.filter(is_superuser=True).values_list("username", flat=True))
            raise CommandError(
                f"No administrator is named {username!r}. There is: {names or 'none yet'}."
            ) from None
