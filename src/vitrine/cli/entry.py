"""Where the command line begins: the group of all commands, and what becomes of their errors."""

import logging
import sys
import traceback
from typing import NoReturn

import click

from vitrine import __version__
from vitrine.cli import answers, catalogs, drift, models, pipelines, training
from vitrine.ending import leave
from vitrine.errors import InputError
from vitrine.memory import collect_seldom
from vitrine.untrusted import printable

NOISY = ("botocore", "great_expectations", "matplotlib", "evidently", "fontTools")  # loggers of libraries


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="vitrine")
def cli() -> None:
    """Turn a marketplace's product photos into trained, evaluated, promoted models."""


for command in (
    catalogs.synth,
    catalogs.ingest,
    catalogs.fetch,
    catalogs.scan,
    catalogs.validate,
    catalogs.clean,
    catalogs.split,
    training.train,
    training.evaluate,
    training.export,
    training.add_label,
    answers.predict,
    answers.index,
    answers.unindex,
    answers.search,
    answers.serve,
    drift.drift,
    models.models,
    pipelines.pipeline,
    pipelines.demo,
):
    cli.add_command(command)


class _Printable(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        lines = super().format(record).split("\n")  # of a traceback
        return "\n".join(map(printable, lines))


def process() -> NoReturn:
    """Entry point of a process that runs one command."""
    collect_seldom()
    try:
        main()
    except SystemExit as ended:
        leave(ended.code if isinstance(ended.code, int) else int(ended.code is not None))
    leave(0)


def main() -> None:
    """Runs a command, and turns what the user did wrong into one line and exit code 2."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Printable("%(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    for noisy in NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    try:
        code = cli.main(prog_name="vitrine", standalone_mode=False)
    except InputError as error:
        _fail(str(error))
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        sys.exit(0)
    except click.ClickException as error:
        where = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "vitrine"
        _fail(f"{where}: {error.format_message()}")
    except (click.Abort, KeyboardInterrupt):
        sys.exit(130)
    except SystemExit:  # click's word for a closed pipe, with the exit code that here means "no"
        sys.exit(141)
    except OSError as error:  # no space, no permission, a file where a folder should be
        _fail(f"{error.filename or 'vitrine'}: {error.strerror or error}")
    except Exception:  # Python's own exit code for this, 1, is here the answer "no"
        traceback.print_exc()
        sys.exit(3)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> None:
    print(printable(" ".join(message.split())), file=sys.stderr)
    sys.exit(2)
