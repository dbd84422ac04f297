"""The subcommands of `manage.py models`: each module has HELP, `add_arguments(parser)` and `run(options, say)`."""

SUBCOMMANDS = {
    "list": "workers.commands.listing",
    "show": "workers.commands.showing",
    "add": "workers.commands.adding",
    "alias": "workers.commands.aliasing",
    "remove": "workers.commands.removing",
    "pull": "workers.commands.pulling",
    "load": "workers.commands.loading",
    "unload": "workers.commands.unloading",
    "formats": "workers.commands.formats",
    "explain": "workers.commands.explaining",
    "render": "workers.commands.rendering",
}
