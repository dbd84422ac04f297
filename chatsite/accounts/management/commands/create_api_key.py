"""`manage.py create_api_key alice --name ci --expires 90`: prints the key, and nothing else, on standard output."""

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from chatsite.accounts.services import api_keys, people

LONGEST_DAYS = 3650


class Command(BaseCommand):
    help = "Make an API key for a person and print it. It cannot be shown again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username", help="who the key is for (a username or an e-mail address)")
        parser.add_argument("--name", default="command line", help="to recognise the key by (%(default)s)")
        parser.add_argument(
            "--expires", type=int, metavar="DAYS", help="days until it expires; never if left out"
        )

    def handle(self, *args: Any, username: str, name: str, expires: int | None, **options: Any) -> None:
        owner = people.find(login=username)
        if owner is None:
            raise CommandError(
                f"There is nobody named {username!r}. `manage.py createsuperuser` makes an account."
            )
        if not owner.is_active:
            raise CommandError(f"The account of {username!r} is switched off, so a key would not work.")
        if expires is not None and not 1 <= expires <= LONGEST_DAYS:
            raise CommandError(f"--expires: give a number of days from 1 to {LONGEST_DAYS}, or leave it out.")
        expires_at = None if expires is None else timezone.now() + timedelta(days=expires)
        try:
            _, key = api_keys.create(owner=owner, name=name, expires_at=expires_at)
        except ValidationError as error:
            raise CommandError(
                " ".join(f"--{field}: {' '.join(e)}" for field, e in error.message_dict.items())
            ) from None
        self.stdout.write(key)
