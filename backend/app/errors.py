"""What a service refuses, in the application's own words."""


class ServiceError(Exception):
    """Base of every refusal."""


class NotFound(ServiceError):
    """A row that does not exist, or is another user's: from outside the two are the same."""

    def __init__(self, kind: str) -> None:
        """Take the kind of row: document, extraction, annotation."""
        super().__init__(f"There is no such {kind}.")


class EmailTaken(ServiceError):
    """An address that another user has registered with."""


class WrongPassword(ServiceError):
    """An address and a password that don't belong together; which of the two is wrong is not told."""


class NotFirst(ServiceError):
    """A first admin where there is one."""


class PasswordChanged(ServiceError):
    """A password that was changed, or hashed anew, between its verification and the commit that relied on it."""


class SessionEnded(ServiceError):
    """A session that was ended while a request of it was being served."""


class TooManyAttempts(ServiceError):
    """One attempt to log in or register more than allowed.

    Attributes:
        seconds: until the next attempt is worth making.
    """

    def __init__(self, seconds: int) -> None:
        """Take the seconds."""
        super().__init__(f"too many attempts; wait {seconds} s")
        self.seconds = seconds


class FieldRefused(ServiceError):
    """A value that can't be accepted.

    Attributes:
        field: its name.
    """

    def __init__(self, field: str, detail: str) -> None:
        """Take the field's name and a sentence."""
        super().__init__(detail)
        self.field = field


class TooLarge(ServiceError):
    """A document of more bytes than the limit."""


class TooManyRows(ServiceError):
    """One row more than its user may have; the message says how many there are, and what to do."""


class QuotaExceeded(ServiceError):
    """More bytes than their user may store; the message says how many there are, and what to do."""


class StorageFailed(ServiceError):
    """A document whose bytes the disk did not take."""


class ContentMissing(ServiceError):
    """A document whose bytes are gone from the disk, which no action of ours does."""


class ContentDamaged(ServiceError):
    """A document whose bytes on the disk are not those that were uploaded."""


class TooBusy(ServiceError):
    """One caller more than may wait for the same slow work, or memory too short for it; nothing was decided.

    Attributes:
        seconds: until the next attempt is worth making.
    """

    def __init__(self, seconds: int = 2) -> None:
        """Take the seconds."""
        super().__init__(f"too busy; wait {seconds} s")
        self.seconds = seconds
