"""Mail in files, for sites without a mail server."""

import stat

import pytest
from django.conf import settings as current_settings
from django.core.mail import send_mail
from django.utils.module_loading import import_string

from chatsite.accounts.mail import PrivateFileBackend
from chatsite.settings import base


@pytest.fixture
def folder(settings, tmp_path):
    settings.EMAIL_BACKEND = "chatsite.accounts.mail.PrivateFileBackend"
    settings.EMAIL_FILE_PATH = tmp_path / "data" / "mail"
    return settings.EMAIL_FILE_PATH


def test_it_is_what_a_site_without_a_mail_server_uses():
    assert import_string(base.EMAIL_BACKEND) is PrivateFileBackend


def test_it_writes_a_mail_into_a_folder_that_nobody_else_can_open(folder):
    send_mail("Set a new password", "Open this link", None, ["alice@example.org"])
    (file,) = folder.iterdir()
    assert "To: alice@example.org" in file.read_text()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_it_writes_into_a_folder_that_is_there_already(folder):
    folder.mkdir(parents=True)
    send_mail("Set a new password", "Open this link", None, ["alice@example.org"])
    assert len(list(folder.iterdir())) == 1


def test_the_mail_says_rightly_how_long_its_link_works():
    """`accounts/mail/password_reset.txt` says three days."""
    assert current_settings.PASSWORD_RESET_TIMEOUT == 3 * 24 * 60 * 60
