"""manage.py data convert"""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import OutputWrapper

from training import files
from training.commands.common import add_sources, add_target, show
from training.data import formats
from training.data.cleaning import Report
from training.data.records import BadRow, Preference

HELP = "Write files of rows in another format, or several as one; the texts stay as they are."


def add_arguments(parser: ArgumentParser) -> None:
    add_sources(parser)
    add_target(parser)


def handle(out: OutputWrapper, options: dict[str, Any]) -> None:
    report = Report()
    with files.writing(options["out"]) as target:
        rejects = _Nowhere()
        if options["rejects"]:
            with files.writing(options["rejects"]) as rejected:
                _convert(options, target, rejected, report)
        else:
            _convert(options, target, rejects, report)
    show(out, report, options["out"], options["report"])


class _Nowhere:
    def write(self, row: object) -> None:
        pass


def _convert(options: dict[str, Any], target: files.Writer, rejects: files.Writer, report: Report) -> None:
    for line in files.read_all(options["files"]):
        report.read += 1
        try:
            if line.problem:
                raise BadRow("not_json", line.problem)
            record = formats.read(line.row, number=line.number, name=options["source_format"])
            usual = "preference" if isinstance(record, Preference) else "sharegpt"
            target.write(formats.write(record, options["target_format"] or usual))
        except BadRow as error:
            report.dropped[error.reason] += 1
            rejects.write(
                {"id": f"row-{line.number}", "reason": error.reason, "detail": error.detail, "row": line.row}
            )
            continue
        report.written += 1
