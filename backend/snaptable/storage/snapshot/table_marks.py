"""What the models say of their tables, as snapshots name it: so that tools without the models do right by the rows."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class TableMarks:
    """What the header of a snapshot says of the tables.

    Attributes:
        secret: the fields that are never shown, by table; tables without any are left out.
        transient: the tables whose rows have no past.
        references: by table and field, the table whose keys the field holds, and what becomes of the row when that one
            is deleted ("cascade", "restrict", "set null"); tables without any are left out.
    """

    secret: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    transient: tuple[str, ...] = ()
    references: Mapping[str, Mapping[str, tuple[str, str]]] = field(default_factory=dict)

    def members(self) -> dict[str, object]:
        """Return the header's members; none if there is nothing to say."""
        members: dict[str, object] = {}
        if self.secret:
            members["secret"] = {table: list(names) for table, names in self.secret.items()}
        if self.transient:
            members["transient"] = list(self.transient)
        if self.references:
            members["references"] = {
                table: {name: list(target) for name, target in targets.items()}
                for table, targets in self.references.items()
            }
        return members

    @classmethod
    def of(cls, members: Mapping[str, Any]) -> "TableMarks":
        """Return what a header's members say.

        Raises:
            TypeError: a member is of another type.
        """
        secret, transient = members.get("secret", {}), members.get("transient", [])
        if not isinstance(secret, dict) or not all(map(_are_names, (transient, *secret.values()))):
            raise TypeError("`secret` or `transient` doesn't name fields and tables")
        references = members.get("references", {})
        if not isinstance(references, dict) or not all(map(_are_targets, references.values())):
            raise TypeError("`references` doesn't name fields and tables")
        return cls(
            {table: tuple(names) for table, names in secret.items()},
            tuple(transient),
            {
                table: {name: (target, does) for name, (target, does) in targets.items()}
                for table, targets in references.items()
            },
        )


def _are_names(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(name, str) for name in value)


def _are_targets(value: object) -> bool:
    return isinstance(value, dict) and all(_are_names(target) and len(target) == 2 for target in value.values())
