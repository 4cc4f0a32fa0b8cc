"""`snaptable tables`: the tables, and how large they are."""

from snaptable.cli.common import EXIT_SOUND, output
from snaptable.cli.looking import WantedState, looking_at
from snaptable.cli.output import plain


def run(*, store: str | None, at: WantedState | None, advise: bool) -> int:
    """Write a line for each table."""
    if advise:
        from snaptable.cli.advice import show_advice

        return show_advice(store)
    out = output()
    with looking_at(store, at) as contents:
        facts = contents.tables()
        tables = [
            {
                "table": each.name,
                "rows": each.rows,
                "bytes": each.size,
                "secret": list(each.secret),
                "transient": each.transient,
            }
            for each in facts
        ]
        if out.as_json:
            out.document({"store": contents.recovery.store, "sequence": contents.sequence, "tables": tables})
            return EXIT_SOUND
        rows = [
            {**table, "secret": ", ".join(each.secret), "transient": "transient" if each.transient else ""}
            for table, each in zip(tables, facts, strict=True)
        ]
        columns = ["table", "rows", "bytes", "secret", "transient"]
        if out.is_terminal:
            columns = [*columns[:3], *(name for name in columns[3:] if any(row[name] for row in rows))]
        out.rows(columns, rows)
        if out.is_terminal:
            out.say(out.styled(f"{plain(str(contents.path))}, commit {contents.sequence}", "dim"))
    return EXIT_SOUND
