#!/usr/bin/env python3
"""Django's command-line entry point."""

import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "chatsite.settings")
    try:
        from django.core.management import execute_from_command_line
    except ImportError as error:
        sys.exit(
            f"chatsite: {error}. Start with bin/up, which installs everything into .venv, "
            "or activate that environment: . .venv/bin/activate"
        )
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
