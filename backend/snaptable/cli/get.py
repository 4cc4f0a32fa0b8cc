"""`snaptable get TABLE KEY`: one row."""

from snaptable.cli.common import EXIT_FAILED, EXIT_SOUND, output
from snaptable.cli.looking import WantedState, check_table, key_in, looking_at
from snaptable.cli.output import in_words, plain


def run(*, table: str, key: str, store: str | None, at: WantedState | None) -> int:
    """Write the row's fields; return 1 if there is none."""
    import click

    out = output()
    with looking_at(store, at) as contents:
        check_table(contents, table)
        name = key_in(contents, table, key)
        row = contents.row(table, name)
    if row is None:
        click.echo(f"snaptable: {table} has no row {key!r}", err=True)
        return EXIT_FAILED
    if out.as_json:
        out.document(row)
    elif out.is_terminal:
        width = max(map(len, row))
        for field, value in row.items():
            out.write(f"{out.styled(plain(field).ljust(width), 'dim')}  {_value(value)}")
    else:
        for field, value in row.items():
            out.write(f"{plain(field)}\t{plain(value)}")
    return EXIT_SOUND


def _value(value: object) -> str:
    if value is None:
        return "null"
    text = plain(value)
    words = in_words(text) if isinstance(value, str) and len(value) >= 19 and value[10:11] == "T" else text
    return text if words == text else f"{text}  ({words})"
