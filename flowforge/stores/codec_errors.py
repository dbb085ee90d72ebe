"""What the codec raises: a value that cannot be kept, data that cannot be read, a type declared wrongly."""

from typing import Self

from flowforge.errors import FlowForgeError

__all__ = [
    "CodecExtraError",
    "DecodeError",
    "DuplicatePayloadError",
    "MissingExtraError",
    "MissingPartError",
    "PayloadDefinitionError",
    "PayloadVersionError",
    "SigningKeyError",
    "UnencodableValueError",
    "UnknownPayloadTypeError",
]


class UnencodableValueError(FlowForgeError):
    """A value that the codec cannot keep; `path` leads to the very part of it that is the cause."""

    def __init__(self, path: str, type_name: str, value: str, reason: str, remedy: str) -> None:
        super().__init__(f"The value at {path!r} cannot be kept: {value} {reason}. {remedy}")
        self.path = path
        self.type_name = type_name
        self.value = value
        self.reason = reason


class DecodeError(FlowForgeError):
    """Data that is no value of this codec: damaged, forged, nested too deep or of an unknown kind.

    `place` says where it lay, as far as that is known.
    """

    def __init__(self, problem: str, remedy: str = "") -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy
        self.place = ""

    def at(self, place: str) -> Self:
        """The same error, which says where the data lay, unless it does already."""
        self.place = self.place or place
        return self

    def __str__(self) -> str:
        data = f"The data of {self.place}" if self.place else "The data"
        return f"{data} cannot be decoded: {self.problem}.{' ' if self.remedy else ''}{self.remedy}"


class MissingPartError(DecodeError):
    """Data that was kept apart from the rest, and is not there."""

    def __init__(self) -> None:
        super().__init__("it was kept apart, and is missing", "Read it with the store that it is in.")


class UnknownPayloadTypeError(DecodeError):
    """Data of a registered type whose name this process does not know."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the payload type {name!r} is unknown",
            "Import the module that declares it with @payload before the data is read.",
        )
        self.name = name


class PayloadVersionError(DecodeError):
    """Data of a registered type in a version that this process cannot turn into its own."""

    def __init__(self, name: str, stored: int, known: int) -> None:
        newer = stored > known
        super().__init__(
            f"the payload type {name!r} is known in version {known!r}, the data has version {stored!r}",
            "Run the newer program to read it." if newer else "Give @payload a migrate function for older versions.",
        )
        self.name = name
        self.stored = stored
        self.known = known


class CodecExtraError(FlowForgeError, ValueError):
    """A library of which no codec keeps values."""

    def __init__(self, extra: object, known: list[str]) -> None:
        super().__init__(f"No codec keeps values of the library {extra!r}. Choose of {known!r}.")
        self.extra = extra


class MissingExtraError(FlowForgeError):
    """A library whose values a codec is to keep is not installed."""

    def __init__(self, extra: str, problem: str) -> None:
        super().__init__(
            f"The codec cannot keep values of the library {extra!r}: {problem}. "
            f"Install it, as pip install 'flowforge[{extra}]' does."
        )
        self.extra = extra
        self.problem = problem


class PayloadDefinitionError(FlowForgeError):
    """A class that @payload or a codec cannot accept."""

    def __init__(self, type_name: str, problem: str, remedy: str) -> None:
        super().__init__(f"The class {type_name!r} cannot be a payload type: {problem}. {remedy}")
        self.type_name = type_name


class DuplicatePayloadError(FlowForgeError):
    """Two different classes that claim the same payload name."""

    def __init__(self, name: str, first: str, second: str) -> None:
        super().__init__(
            f"The payload name {name!r} is claimed by both {first!r} and {second!r}. "
            "Give one of them another name; stored data tells types apart by it."
        )
        self.name = name
        self.first = first
        self.second = second


class SigningKeyError(FlowForgeError):
    """A signing key too short to protect what a PickleCodec reads."""

    def __init__(self, length: int, minimum: int) -> None:
        super().__init__(
            f"A signing key of {length!r} bytes is too short. "
            f"Use at least {minimum!r} random bytes, kept outside of the store."
        )
        self.length = length
        self.minimum = minimum
