"""Encryption of backups with age (age-encryption.org/v1), by pyrage: the extra `snaptable[backup]`.

Keys encrypt a stream: a public key is enough to make backups, so that a server which is broken into can't read its own.
A passphrase encrypts a whole in memory. Encrypted bytes are authenticated: a change of any one is found at decryption.
"""

import io
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import TYPE_CHECKING, Any, BinaryIO

from snaptable.errors import BackupError

if TYPE_CHECKING:
    import pyrage

    Identity = pyrage.x25519.Identity | pyrage.ssh.Identity

HEADER = b"age-encryption.org/v1"
"""How an encrypted file begins."""
SUFFIX = ".age"
TOO_SLOW = "Excessive work"
"""What age says if this machine would take too long for a passphrase."""
TIMINGS, PAUSE = 20, 0.1
"""How often this machine is timed before that is believed, and the seconds between."""
Write = Callable[[bytes], object]


def _pyrage() -> ModuleType:
    """Return the library.

    Raises:
        BackupError: it is not installed.
    """
    try:
        import pyrage
    except ImportError as error:
        raise BackupError(
            'encrypted backups need pyrage, which is not installed: pip install "snaptable[backup]"'
        ) from error
    return pyrage


class _Sink(io.RawIOBase):
    """A stream that hands on what is written to it, and keeps the error that this raised: age reports another."""

    def __init__(self, write: Write) -> None:
        super().__init__()
        self._hand_on = write
        self.error: BaseException | None = None

    def writable(self) -> bool:
        """Return True."""
        return True

    def write(self, data: Any) -> int:
        """Hand all of it on."""
        try:
            self._hand_on(bytes(data))
        except BaseException as error:
            self.error = error
            raise
        return len(data)


class Encryption:
    """How a backup is encrypted, and decrypted once, to verify it.

    For keys, a key of its own is among the recipients, which is forgotten with this object: without it whoever has
    public keys only could not read back what was written.
    """

    def __init__(self, recipients: Sequence[str] = (), passphrase: str | None = None) -> None:
        """Take the public keys, or the passphrase.

        Raises:
            BackupError: pyrage is missing, a key is none, both are given, or the passphrase is empty.
        """
        if recipients and passphrase is not None:
            raise BackupError("a backup is encrypted for recipients or with a passphrase, not both")
        if passphrase is not None and not passphrase:
            raise BackupError("the passphrase is empty")
        age = _pyrage()
        self._passphrase = passphrase
        self._own_key = age.x25519.Identity.generate()
        self._recipients = [_recipient(text) for text in recipients]

    @contextmanager
    def encrypting(self, write: Write) -> Iterator[Write]:
        """Return the function that takes the bytes to encrypt, until the block ends; encrypted ones go to `write`.

        Raises:
            BackupError, or what `write` raises: it could not be encrypted.
        """
        with (self._with_keys if self._passphrase is None else self._with_passphrase)(write) as take:
            yield take

    @contextmanager
    def _with_passphrase(self, write: Write) -> Iterator[Write]:
        whole = io.BytesIO()
        yield whole.write
        assert self._passphrase is not None
        write(_pyrage().passphrase.encrypt(whole.getvalue(), self._passphrase))

    @contextmanager
    def _with_keys(self, write: Write) -> Iterator[Write]:
        """Encrypt in another thread what a pipe brings: both sides of the zip and of age want to be the caller."""
        sink, failures = _Sink(write), list[Exception]()
        reading, writing = (os.fdopen(end, mode) for end, mode in zip(os.pipe(), ("rb", "wb"), strict=True))

        def encrypt() -> None:
            """Encrypt what is read, beside the thread that writes."""
            try:
                _pyrage().encrypt_io(reading, sink, [*self._recipients, self._own_key.to_public()])
            except Exception as error:  # noqa: BLE001 - raised in the caller's thread
                failures.append(error)
            finally:
                reading.close()  # or the caller would wait for ever for room in the pipe

        thread = threading.Thread(target=encrypt, name="snaptable-age", daemon=True)
        thread.start()
        try:
            with suppress(BrokenPipeError):  # the thread says why
                yield writing.write
                writing.close()
        finally:
            with suppress(BrokenPipeError):
                writing.close()
            thread.join()
        if failures:
            raise sink.error or BackupError(f"the backup could not be encrypted: {failures[0]}")

    def decrypt(self, source: BinaryIO, write: Write) -> None:
        """Decrypt what this object encrypted; raises as `Decryption.decrypt`."""
        keys = () if self._passphrase is not None else (self._own_key,)
        Decryption(keys, self._passphrase).decrypt(source, write)


class Decryption:
    """The private keys, or the passphrase, that open a backup."""

    def __init__(
        self, identities: "Sequence[pyrage.x25519.Identity | pyrage.ssh.Identity]", passphrase: str | None
    ) -> None:
        self._identities, self._passphrase = identities, passphrase

    @classmethod
    def of(cls, key_files: Sequence[bytes] = (), passphrase: str | None = None) -> "Decryption":
        """Return what opens a backup.

        Args:
            key_files: contents of files of private keys: age's (`AGE-SECRET-KEY-1…`, comments beside), or SSH's.
            passphrase: the one it was encrypted with.

        Raises:
            BackupError: pyrage is missing, or a file holds no key.
        """
        return cls([identity for content in key_files for identity in _identities(content)], passphrase)

    def decrypt(self, source: BinaryIO, write: Write) -> None:
        """Hand the decrypted bytes to a function, in order; what came before damage was found has been handed on.

        Raises:
            BackupError: they can't be decrypted: another key, a wrong passphrase, or damage. Or what `write` raises.
        """
        age, sink = _pyrage(), _Sink(write)
        try:
            if self._passphrase is not None:
                sink.write(_decrypt_with(self._passphrase, source.read()))
            else:
                age.decrypt_io(source, sink, list(self._identities))
        except (age.DecryptError, OSError, ValueError) as error:
            if sink.error is not None:
                raise sink.error from None
            reason = f"it is for other keys, or has another passphrase, or is damaged ({error})"
            raise BackupError(f"the backup can't be decrypted: {reason}") from None


def _decrypt_with(passphrase: str, data: bytes) -> bytes:
    """Return what a passphrase opens.

    age times this machine before it begins, by a few milliseconds, and refuses what would then take long: a file whose
    maker asks for endless work, but also a sound one while this process waits for a processor. So it is asked again.

    Raises:
        BackupError: it would take too long, each time it was timed.
        pyrage.DecryptError: another passphrase, or damage.
    """
    age, refusals = _pyrage(), 0
    while True:
        try:
            return bytes(age.passphrase.decrypt(data, passphrase))
        except age.DecryptError as error:
            if TOO_SLOW not in str(error):
                raise
            refusals += 1
            if refusals == TIMINGS:
                raise BackupError(
                    f"the backup can't be decrypted: this machine is too slow, or too busy now, for the work that its "
                    f"passphrase asks for ({error}); try again when it has less to do, or on another one"
                ) from None
        time.sleep(PAUSE)


def _recipient(text: str) -> object:
    age, text = _pyrage(), text.strip()
    if text.upper().startswith("AGE-SECRET-KEY"):
        raise BackupError("a recipient is a public key (age1…); this is a private one")
    kind = age.ssh if text.startswith("ssh-") else age.x25519
    try:
        return kind.Recipient.from_str(text)
    except (age.RecipientError, ValueError) as error:
        raise BackupError(f"{text!r} is no public key of age (age1…) or SSH (ssh-ed25519 …): {error}") from None


def _identities(content: bytes) -> "list[Identity]":
    """Return the private keys that a file holds; no message repeats anything of it."""
    age = _pyrage()
    identities: list[Identity] = []
    with suppress(age.IdentityError, ValueError):
        if b"PRIVATE KEY-----" in content:
            identities.append(age.ssh.Identity.from_buffer(content))
        else:
            lines = [line.strip() for line in content.decode().splitlines()]
            identities += [age.x25519.Identity.from_str(line) for line in lines if line and not line.startswith("#")]
    if not identities:
        raise BackupError("a file of keys holds lines AGE-SECRET-KEY-1…, or a private key of SSH without a passphrase")
    return identities


def is_encrypted(file: BinaryIO) -> bool:
    """Return whether a file is encrypted with age; leaves its position at the start."""
    start = file.read(len(HEADER))
    file.seek(0)
    return start == HEADER
