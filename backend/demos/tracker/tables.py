"""The tables of the tracker, and how a store of its first version becomes one of today's."""

from datetime import datetime
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from snaptable import Database, ForeignKey, Index, Row, Table, Unique, new_id, table, utc_now
from snaptable.migrations import Migration, add

Difficulty = Literal["easy", "medium", "hard"]
Text = Annotated[str, Field(min_length=1, max_length=200)]


class User(Row):
    """A person who learns."""

    id: str = Field(default_factory=new_id)
    name: Text
    email: Annotated[str, Field(max_length=200, pattern=r"^[^@\s]+@[^@\s]+$"), Unique()]
    bio: Annotated[str, Field(max_length=2_000)] = ""
    created_at: datetime = Field(default_factory=utc_now)


class Track(Row):
    """What is learned: lessons in their order. It is a draft until it is published."""

    id: str = Field(default_factory=new_id)
    title: Annotated[Text, Unique()]
    description: Annotated[str, Field(max_length=2_000)] = ""
    difficulty: Annotated[Difficulty, Index()] = "easy"
    published_at: datetime | None = None
    deleted_at: datetime | None = None
    """When it was put away; it is shown no more, and can be taken out again."""


class Lesson(Row):
    """A part of a track; no two have the same place in it."""

    id: str = Field(default_factory=new_id)
    track_id: Annotated[str, ForeignKey(Track, on_delete="cascade")]
    title: Text
    order: Annotated[int, Field(ge=1, le=1_000)]
    duration: Annotated[int, Field(ge=1, le=1_000)] = 10
    """In minutes."""


class Progress(Row):
    """How far a user has come with a lesson; enrolling makes one for each lesson of the track."""

    id: str = Field(default_factory=new_id)
    user_id: Annotated[str, ForeignKey(User, on_delete="cascade")]
    track_id: Annotated[str, ForeignKey(Track, on_delete="cascade")]
    lesson_id: Annotated[str, ForeignKey(Lesson, on_delete="cascade")]
    done: bool = False
    score: Annotated[float | None, Field(ge=0, le=100)] = None
    time_spent: Annotated[int, Field(ge=0)] = 0
    """In minutes."""
    enrolled_at: datetime = Field(default_factory=utc_now)


class Tracker(Database):
    """Users, tracks, lessons, progress."""

    users: Table[User]
    tracks: Table[Track]
    lessons: Table[Lesson] = table(Unique("track_id", "order"))
    progress: Table[Progress] = table(Unique("user_id", "lesson_id"))

    migrations: ClassVar[list[Migration]] = [Migration("users: a bio", add("users.bio", ""))]
