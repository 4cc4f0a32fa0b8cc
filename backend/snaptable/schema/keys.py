"""What can be a primary key of a table, and what to say of anything else."""

from uuid import UUID

from snaptable.errors import InvalidKey
from snaptable.values import value_types


def check_key(table: str, field: str, key_type: type, key: object) -> None:
    """Refuse what can't be a key of a table; for a key that no row has, so that a hit costs nothing.

    None is the answer "no key", as of an optional reference: no row has it, and that is all. Numbers are numbers, as in
    `where` and in a dict: True and 1.0 are the key 1, and 1.5 is a key that no row has.

    Args:
        table: its name.
        field: the name of its primary key.
        key_type: the type of its keys.
        key: what was given.

    Raises:
        InvalidKey: it is of another type than the table's keys. Its value is not in the message.
    """
    if type(key) is key_type or key is None:
        return
    if value_types.accepts((key_type,), key) or (key_type is int and hasattr(type(key), "__index__")):
        return
    given, wanted = type(key).__name__, key_type.__name__
    if hasattr(type(key), "__pydantic_fields__"):
        raise InvalidKey(
            f"{table} has no row whose key is a {given}; pass its {field}: a key is a {wanted}", table=table
        )
    advice = _KEY_ADVICE.get((key_type, type(key)), "")
    raise InvalidKey(f"{table}: a key ({field}) is a {wanted}; a {given} never is one{advice}", table=table)


_KEY_ADVICE = {
    (UUID, str): ": write UUID(text)",
    (int, str): ": write int(text)",
    (str, int): ": write str(number)",
    (str, UUID): ": write str(key)",
}
