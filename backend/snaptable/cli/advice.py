"""`snaptable tables --advise`: what the server that has the store open knows of slow queries, and what to write."""

from snaptable.cli.changing import refused_with
from snaptable.cli.common import EXIT_CALLED_WRONGLY, EXIT_SOUND, CommandError, output
from snaptable.cli.output import plain
from snaptable.cli.settings import store_of
from snaptable.control.client import NoServer, Refused, ask
from snaptable.maintenance.directory import StoreDirectory


def show_advice(store: str | None) -> int:
    """Write slow queries, what took the most in all first, and the index that would help each."""
    directory = StoreDirectory(store_of(store))
    try:
        told, pid = ask(directory.root, "advise", {})
    except NoServer:
        raise CommandError(
            f"no server has {directory.root} open that could be asked: it is the program that sees its queries, under "
            f"`snaptable serve`, snaptable.web.serve(app) or db_socket(db)",
            EXIT_CALLED_WRONGLY,
        ) from None
    except Refused as error:
        raise refused_with(error) from error
    out = output()
    if out.as_json:
        out.document({**told, "pid": pid})
        return EXIT_SOUND
    if not told["measured"]:
        out.say("The server takes no note of slow queries: add monitoring_router(db) to its application.")
    elif not told["queries"]:
        out.say(f"No query took long since the server began, pid {pid}.")
    for slow in told["queries"]:
        if not out.is_terminal:
            parts = (slow["table"], slow["count"], slow["ms"], slow["suggestion"] or "", slow["query"], slow["plan"])
            out.write("\t".join(plain(part) for part in parts))
            continue
        out.write(f"{plain(slow['query'])}  {slow['count']:,} times, {slow['ms']:.3g} ms each")
        out.write(out.styled(f"  {plain(slow['plan'])}", "dim"))
        if slow["suggestion"]:
            out.write(out.styled(f"  {plain(slow['table'])} = table({plain(slow['suggestion'])})", "added"))
    return EXIT_SOUND
