"""Rows to JSON and back: validated whole, encoded once, and refused if they would not come back equal.

Invariants:
1. A row that leaves `create` or `store` comes back from `decode` equal, of the same types throughout: it is made of
   values in normal form (see `values/normal_form`), or is itself the row that its JSON gave back.
2. Fields whose types are known to survive JSON are trusted, and their odd values screened (NaN, a zone with rules). A
   row with any other field is read back from its JSON and compared, field by field, and that row is stored.
3. Nothing outside keeps a way into a stored row: mutable values are copied on the way in and on the way out.
4. No message repeats a value: it may be a secret, and messages end up in logs.
"""

from collections import deque
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from itertools import repeat
from typing import cast

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticSerializationError, TzInfo

from snaptable.codec.copies import copy, copy_plain
from snaptable.codec.model_code import has_own_code, unchecked_defaults
from snaptable.codec.refusals import Refusals, lossy
from snaptable.codec.row_writer import RowWriter
from snaptable.errors import InvalidRow
from snaptable.schema.tables import TableSchema, defined_again
from snaptable.values import lasting, sameness
from snaptable.values.bulk_validator import time_fields
from snaptable.values.normal_form import normal_datetime, normal_form, normal_scalar
from snaptable.values.strict_json import MAX_DEPTH, depth_of, parse_strictly

_set_fields = BaseModel.__dict__["__pydantic_fields_set__"].__set__
_set_extra = BaseModel.__dict__["__pydantic_extra__"].__set__
_set_private = BaseModel.__dict__["__pydantic_private__"].__set__
_set_attribute = object.__setattr__

FieldValues = dict[str, object]
"""Values by field name."""


class Codec(RowWriter):
    """What validates, encodes and decodes the rows of one table."""

    def __init__(self, schema: TableSchema) -> None:
        """Work out once what the model's fields allow."""
        annotations = {name: column.annotation for name, column in schema.columns.items()}
        self.plain = not has_own_code(schema.model)
        """Whether the model has no code or configuration of its own that reads or writes its fields."""
        screens = _lossless_screens(schema.model, annotations) if self.plain else None
        super().__init__(schema, trusted=screens is not None)
        self._screens = screens or []
        self._refusals = Refusals(schema)
        self._validator = schema.model.__pydantic_validator__
        self._fields_set = set(self._names)
        opened = [name for name, annotation in annotations.items() if lasting.is_open(annotation)]
        self.mutable = {
            name: copy_plain if lasting.is_plain(annotation) or (self.plain and name in opened) else copy
            for name, annotation in annotations.items()
            if not lasting.is_immutable(annotation)
        }
        """The fields whose values can change, and what copies them."""
        self._bounded = self.trusted and not opened
        """Whether the types alone keep rows from holding what not every reader accepts."""
        self._times = time_fields(schema.model) if self.plain else ()
        self._unchecked_defaults = frozenset(unchecked_defaults(schema.model)) if self.plain else frozenset()
        """Fields with defaults of which nobody knows whether they are in normal form, or of their type at all."""

    # ── in ──────────────────────────────────────────────────────────────────────────────────────────────────────────

    def values_of(self, row: BaseModel) -> FieldValues:
        """Return the field values of a row that a caller made, not to be changed; cached properties are left out.

        Raises:
            InvalidRow: the row is of another class than the table's model, perhaps one that was defined again.
        """
        if type(row) is not self.model:
            raise InvalidRow(
                f"{self.table} holds rows of {self.model.__name__}, not of {type(row).__name__}"
                f"{defined_again(self.model, type(row))}",
                table=self.table,
            )
        if not self._cached:
            return row.__dict__
        return {name: value for name, value in row.__dict__.items() if name not in self._cached}

    def create(self, values: FieldValues) -> tuple[BaseModel, bytes]:
        """Return the row to store for values that no model has seen yet, validated, and its JSON.

        Raises:
            InvalidRow: it does not validate, or would not come back equal.
        """
        row = self._validate(values)
        if not self._unchecked_defaults <= values.keys():
            row = self._validate(row.__dict__)
        return self._normalised(row)

    def store(self, values: FieldValues) -> tuple[BaseModel, bytes]:
        """Return the row to store for the values of a row that was validated before, and its JSON; raises as `create`.

        The values are validated again: a row may have been made by `model_construct` or `model_copy`.
        """
        if not self.trusted and values.keys() == self._fields_set:
            for form in self._forms(values):
                unchanged = self._unchanged(form)
                if unchanged is not None:
                    return unchanged
        return self._normalised(self._validate(values))

    def moved(self, given: Collection[str] = ()) -> FieldValues:
        """Return new values of the fields that move with every change of a row, but for those given."""
        return {name: function() for name, function in self.on_update.items() if name not in given}

    def _unchanged(self, values: FieldValues) -> tuple[BaseModel, bytes] | None:
        """Return the row that its own JSON gives back, if that is the very same, and the JSON.

        Tried first for models with code of their own: their validators have seen these values already, and some
        (Base64Bytes) make another value of them each time.
        """
        try:
            again, data, difference = self._read_back(self.assemble(values))
        except _NOT_READ_BACK:
            return None
        return (again, data) if difference is None else None

    def _normalised(self, row: BaseModel) -> tuple[BaseModel, bytes]:
        """Return the row that a restart would give in the place of a validated one, and its JSON.

        Raises:
            InvalidRow: it would not come back equal.
        """
        values = row.__dict__
        if self.trusted:
            for name, screen in self._screens:
                if not screen(values[name]):
                    break
            else:
                try:
                    return row, self._to_json(row, round_trip=True)  # as `dump`, without its call
                except _NOT_WRITTEN as error:
                    raise self._refusals.unwritable(row, error) from self._refusals.shown(error)
            values.update(zip(values, map(normal_scalar, values.values()), strict=True))
            if self._passes(values):
                return row, self._dump_new(row)
        refusal: InvalidRow | None = None
        for form in self._forms(values):
            candidate = self.assemble(form)
            try:
                again, data, difference = self._read_back(candidate)
            except _NOT_READ_BACK as error:
                refusal = refusal or self._refusals.unwritable(candidate, error)
                continue
            if difference is None:
                return again, data
            key, reason = getattr(row, self.key), f"{lossy(form[difference])}; it was not written"
            refusal = refusal or self._refusals.of(key, reason, difference)
        assert refusal is not None
        raise refusal

    def _forms(self, values: FieldValues) -> Iterator[FieldValues]:
        """Yield field values as they are, and then, if that was not enough, their normal form."""
        yield values
        # Nested too deeply for a normal form: the refusal of the values as they are says so.
        with suppress(RecursionError):
            yield {name: normal_form(value) for name, value in values.items()}

    def _read_back(self, row: BaseModel) -> tuple[BaseModel, bytes, str | None]:
        """Return the row that a row's JSON gives back, the JSON, and the first field that is not the same.

        Raises:
            PydanticSerializationError, ValueError, TypeError, ArithmeticError, RecursionError: it can't be written or
                read.
        """
        data = self.dump(row)
        _check_readable(data)
        again = self.decode(data)
        return again, data, self._first_difference(row.__dict__, again)

    def _validate(self, values: FieldValues) -> BaseModel:
        try:
            row: BaseModel = self._validator.validate_python(values, by_alias=False, by_name=True)
        except ValidationError as error:
            raise self._refusals.invalid(values.get(self.key), error) from self._refusals.shown(error)
        _set_fields(row, self._fields_set)
        for name, copied in self.mutable.items():
            # Pydantic takes some values as they are, and the caller still holds them.
            try:
                row.__dict__[name] = copied(row.__dict__[name])
            except RecursionError as error:
                reason = f"nested deeper than {MAX_DEPTH}; it was not written"
                raise self._refusals.of(values.get(self.key), reason, name) from self._refusals.shown(error)
        return row

    # ── out ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    def share(self, row: BaseModel) -> BaseModel:
        """Return what may be handed out: the row itself, or a copy if it holds something that can change."""
        if not self.mutable:
            return row
        values = dict(row.__dict__)
        for name, copied in self.mutable.items():
            values[name] = copied(values[name])
        return self.assemble(values)

    def assemble(self, values: FieldValues) -> BaseModel:
        """Return the row of field values that are known to be valid, unchecked."""
        row = self.model.__new__(self.model)
        _set_attribute(row, "__dict__", values)
        _set_fields(row, self._fields_set)
        _set_extra(row, None)
        _set_private(row, None)
        return row

    # ── JSON ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def encode(self, row: BaseModel) -> bytes:
        """Return the row's JSON, by field name, on one line.

        Raises:
            InvalidRow: it would not come back equal: NaN, a lone surrogate, nested too deeply, a lossy type, ….
        """
        if self.trusted and self._passes(row.__dict__):
            return self._dump_new(row)
        try:
            _, data, difference = self._read_back(row)
        except _NOT_READ_BACK as error:
            raise self._refusals.unwritable(row, error) from self._refusals.shown(error)
        if difference is not None:
            reason = f"{lossy(row.__dict__[difference])}; it was not written"
            raise self._refusals.of(getattr(row, self.key), reason, difference)
        return data

    def _dump_new(self, row: BaseModel) -> bytes:
        """Return the JSON of a row whose values survive JSON, but for texts that are no UTF-8."""
        try:
            return self.dump(row)
        except _NOT_WRITTEN as error:
            raise self._refusals.unwritable(row, error) from self._refusals.shown(error)

    def _passes(self, values: FieldValues) -> bool:
        for name, screen in self._screens:  # noqa: SIM110 - a generator costs more than what it runs
            if not screen(values[name]):
                return False
        return True

    def check_readable(self, array: bytes, begin: bytes, tails: Collection[bytes]) -> None:
        """Raise ValueError if a row holds what not every reader accepts: NaN, an infinity, deep nesting.

        Args:
            array: the rows' JSON as one array.
            begin: the first bytes of each row's JSON, the same for all.
            tails: the bytes of each row's JSON after that.
        """
        if self._bounded:
            return
        brackets = array.count(b"{") + array.count(b"[") - len(tails)
        if brackets > MAX_DEPTH or b"NaN" in array or b"Infinity" in array:
            for tail in tails:
                _check_readable(begin + tail)

    def adopt_all(self, rows: Collection[BaseModel]) -> None:
        """Let rows that a page's validator made share one set of field names, instead of 728 bytes each."""
        # deque(maxlen=0) drains an iterator without a Python loop.
        deque(map(_set_fields, rows, repeat(self._fields_set)), maxlen=0)

    def decode(self, data: bytes | str, key: object = None) -> BaseModel:
        """Return the row that a JSON text holds; `key`, as it stands beside the text, is for messages.

        Raises:
            InvalidRow: it does not validate.
        """
        row = self._read(data, key)
        self._adopt(row)
        return row

    def _read(self, data: bytes | str, key: object) -> BaseModel:
        try:
            return cast(BaseModel, self._validator.validate_json(data, by_alias=False, by_name=True))
        except ValidationError as error:
            raise self._refusals.invalid(key, error) from self._refusals.shown(error)

    def _adopt(self, row: BaseModel) -> None:
        """Let a row that Pydantic read share the names of its fields, and have Python's zones, as loaded pages have."""
        _set_fields(row, self._fields_set)
        for name in self._times:
            value = row.__dict__[name]
            if value is not None and type(value.tzinfo) is TzInfo:
                row.__dict__[name] = normal_datetime(value)

    def complete(self, data: bytes | str, key: object = None) -> tuple[BaseModel, bytes]:
        """Return the row that a JSON text holds, and its JSON; what the text lacks is filled in, validated as a write.

        Args:
            data: the text.
            key: as it stands beside the text, for messages.

        Raises:
            InvalidRow: it does not validate, or would not come back equal.
        """
        row = self._read(data, key)
        if self._fields_set <= row.model_fields_set:
            self._adopt(row)
            return row, self.encode(row)
        # Pydantic does not validate the defaults that it fills in.
        return self.store(self.values_of(row))

    def _first_difference(self, values: FieldValues, again: BaseModel) -> str | None:
        """Return the first field that is not the same in the row read back, None if all are."""
        for name in self._names:
            if name not in values or not sameness.same(values[name], again.__dict__[name]):
                return name
        return None


def _lossless_screens(
    model: type[BaseModel], annotations: Mapping[str, object]
) -> list[tuple[str, lasting.Screen]] | None:
    """Return the tests that field values must pass to survive JSON; None if a field's type is not known to."""
    screens = []
    for name, annotation in annotations.items():
        known, screen = lasting.lossless(annotation)
        if not known or not all(map(lasting.only_constrains, model.model_fields[name].metadata)):
            return None
        if screen is not None:
            screens.append((name, screen))
    return screens


def _check_readable(data: bytes) -> None:
    """Refuse JSON that other readers, or the next start, would not accept: nested too deeply, NaN, an infinity."""
    suspicious = data.count(b"{") + data.count(b"[") > MAX_DEPTH or b"NaN" in data or b"Infinity" in data
    if suspicious and depth_of(parse_strictly(data)) > MAX_DEPTH:
        raise ValueError(f"nested deeper than {MAX_DEPTH}")


_NOT_WRITTEN = (PydanticSerializationError, ValueError, TypeError, RecursionError)
"""What writing a row whose values survive JSON may raise: a text in it is no UTF-8."""
_NOT_READ_BACK = (PydanticSerializationError, ValueError, TypeError, ArithmeticError, RecursionError, KeyError)
"""What writing a row and reading it back may raise."""
