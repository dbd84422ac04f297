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
    from django.core.exceptions import ImproperlyConfigured

    if sys.argv[1:2] == ["up"]:
        from chatsite.supervisor import options

        options.take_data_directory(sys.argv[2:])
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        # A setting the operator must correct: one sentence, and no traceback around it.
        if "--traceback" in sys.argv:
            raise
        sys.exit(f"chatsite: {error}")


if __name__ == "__main__":
    main()
