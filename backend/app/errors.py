"""What a service refuses, in the application's own words."""


class ServiceError(Exception):
    """Be the base of every refusal."""


class NotFound(ServiceError):
    """Say that there is no such thing, or that it is another user's: from outside the two are the same."""

    def __init__(self, what: str) -> None:
        """Take the kind of thing: document, extraction, annotation."""
        super().__init__(f"There is no such {what}.")


class EmailTaken(ServiceError):
    """Say that somebody registered with this address."""


class WrongPassword(ServiceError):
    """Say that address and password don't belong together, not which of the two is wrong."""


class FieldRefused(ServiceError):
    """Say which field can't be accepted, and why."""

    def __init__(self, field: str, detail: str) -> None:
        """Take the field's name and a sentence."""
        super().__init__(detail)
        self.field = field


class StorageFailed(ServiceError):
    """Say that the disk did not take a document's bytes."""


class ContentMissing(ServiceError):
    """Say that a document's bytes are gone from the disk, which no action of ours does."""


class TooBusy(ServiceError):
    """Say that too many callers are waiting for the same slow work."""
