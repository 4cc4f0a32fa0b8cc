"""Whether a type has a form in JSON at all, asked of Pydantic's own JSON schema.

Apart from `schema`, because Pydantic's generator of JSON schemas takes long to import and few models need it.
"""

from typing import cast

from pydantic import BaseModel, TypeAdapter
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from snaptable.values.value_types import Annotation


def why_not(annotation: Annotation, model: type[BaseModel]) -> str | None:
    """Return why no value of an annotation can come back from JSON; None if some may."""
    adapter: TypeAdapter[object]
    try:
        adapter = TypeAdapter(cast("type[object]", annotation))
    except PydanticUserError:
        # It needs the model's own configuration (arbitrary_types_allowed), so it is judged within the model.
        adapter = TypeAdapter(model)
    try:
        adapter.json_schema(mode="validation", schema_generator=_JsonProbe)
    except PydanticInvalidForJsonSchema as error:
        return error.message
    return None


class _JsonProbe(GenerateJsonSchema):
    """A generator that fails for a type without a JSON form, and accepts one whose own functions read and write it."""

    def handle_invalid_for_json_schema(self, schema: core_schema.CoreSchema, error_info: str) -> JsonSchemaValue:
        """Refuse a schema that nothing in JSON can satisfy; accept the others as anything."""
        if schema["type"] in ("is-instance", "is-subclass", "callable", "generator"):
            raise PydanticInvalidForJsonSchema(f"nothing in JSON becomes {error_info}")
        return {}

    def generator_schema(self, schema: core_schema.GeneratorSchema) -> JsonSchemaValue:
        """Refuse a generator."""
        return self.handle_invalid_for_json_schema(schema, "a generator, which is read once")

    def generate_inner(self, schema: core_schema.CoreSchema) -> JsonSchemaValue:
        """Refuse what is written in another form than it is read: secrets."""
        generated = super().generate_inner(schema)
        if generated.get("writeOnly"):
            raise PydanticInvalidForJsonSchema(_STARS)
        return generated


_STARS = "a secret is written as stars in place of its value; store a hash, or a plain str"
