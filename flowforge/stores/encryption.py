"""The door to cryptography: a layer that encrypts what a store writes, and notices what was changed."""

import base64

from flowforge.errors import FlowForgeError
from flowforge.stores.byte_layers import LayerError

try:
    from cryptography.fernet import Fernet, InvalidToken, MultiFernet
except ImportError as err:
    raise ImportError(
        f"Encryption needs the library cryptography ({err}). Install it, as pip install 'flowforge[encryption]' does."
    ) from err

__all__ = ["Encryption", "EncryptionKeyError"]


class EncryptionKeyError(FlowForgeError, ValueError):
    """A key that is none."""

    def __init__(self, number: int) -> None:
        # The key itself must not come into a log.
        super().__init__(f"The key {number!r} is not 32 bytes in URL-safe base64. Make one with Encryption.new_key().")
        self.number = number


class Encryption:
    """Encrypts with `key` and reads what was written with it or with the `older` keys (Fernet: AES-128 and HMAC).

    EncryptionKeyError for what is no key.
    """

    name = "encryption"

    def __init__(self, key: bytes | str, *older: bytes | str) -> None:
        self._cipher = MultiFernet([_fernet(number, each) for number, each in enumerate((key, *older), start=1)])

    @staticmethod
    def new_key() -> bytes:
        """A random key; keep it apart from the store, for nothing can be read without it."""
        return Fernet.generate_key()

    def wrap(self, data: bytes) -> bytes:
        """The block, encrypted with the first key."""
        return base64.urlsafe_b64decode(self._cipher.encrypt(data))

    def unwrap(self, data: bytes) -> bytes:
        """The block as it was; LayerError if it was changed, or if none of the keys is its."""
        try:
            return self._cipher.decrypt(base64.urlsafe_b64encode(data))
        except InvalidToken:
            problem = "it was changed, or encrypted with another key"
            raise LayerError(self.name, problem, "Give Encryption the key that it was written with.") from None


def _fernet(number: int, key: bytes | str) -> Fernet:
    try:
        return Fernet(key)
    except (ValueError, TypeError):
        raise EncryptionKeyError(number) from None
