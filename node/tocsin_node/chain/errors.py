"""What goes wrong between us and a chain."""


class ChainError(Exception):
    """Base of all errors of `chain/`."""


class RpcUnavailable(ChainError):
    """The endpoint did not give a usable answer: connection, time, HTTP status, size or form."""


class RpcRefused(ChainError):
    """The endpoint answered with a JSON-RPC error."""

    def __init__(self, code: int, message: str, data: str | None = None) -> None:
        super().__init__(f"{message} (code {code})")
        self.code = code
        self.message = message
        self.data = data


class AbiError(ChainError):
    """A signature, argument or return value that the ABI does not allow."""


class ChainConfigError(ChainError):
    """An endpoint of another chain than the configured one, or a key that is none."""


class CapReached(ChainError):
    """A transaction that would cost more than the operator allows; the message names the key of the config."""
