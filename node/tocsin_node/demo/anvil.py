"""A local chain for the demo and the tests: anvil, started on a free loopback port and always stopped."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from tocsin_node.chain.rpc import RpcEndpoint, read_quantity

START_TIMEOUT_S = 60
"""Usually 0.4 s; a loaded machine is given time."""
STOP_TIMEOUT_S = 10
MINE_TIMEOUT_S = 60
CHAIN_ID = 31_337
GAS_LIMIT = 5_000_000
PATH_VARIABLE = "TOCSIN_ANVIL"
_LISTENING = re.compile(rb"Listening on 127\.0\.0\.1:(\d+)")
_MAX_START_BYTES = 256 * 1024


class AnvilError(Exception):
    """Anvil is not there, or did not start."""


@dataclass(frozen=True, slots=True)
class Mined:
    """A mined transaction; `contract` is the address it created, if it did."""

    hash: str
    is_success: bool
    block: int
    contract: str


@dataclass(frozen=True, slots=True)
class Anvil:
    """A running anvil: its URL, its endpoint, and its unlocked accounts (lower-case addresses)."""

    url: str
    rpc: RpcEndpoint
    accounts: tuple[str, ...]
    pid: int
    chain_id: int = CHAIN_ID

    @property
    def chain(self) -> str:
        """Its CAIP-2 id."""
        return f"eip155:{self.chain_id}"

    async def call(self, method: str, *params: Any) -> Any:
        """One JSON-RPC call; raises the errors of `chain.rpc`."""
        return await self.rpc.call(method, *params)

    async def mine(self, blocks: int = 1) -> None:
        """Mine empty blocks, or with what is pending."""
        await self.call("anvil_mine", hex(blocks))

    async def send(self, sender: str, to: str | None, data: bytes) -> Mined:
        """Send from an unlocked account and wait until it is mined, whatever its status.

        Raises AnvilError when it is not within MINE_TIMEOUT_S.
        """
        request = {"from": sender, "data": "0x" + data.hex(), "gas": hex(GAS_LIMIT)}
        if to is not None:
            request["to"] = to
        sent = str(await self.call("eth_sendTransaction", request))
        receipt = await self.wait_receipt(sent)
        return Mined(
            hash=sent,
            is_success=read_quantity(receipt["status"]) == 1,
            block=read_quantity(receipt["blockNumber"]),
            contract=str(receipt.get("contractAddress") or "").lower(),
        )

    async def wait_receipt(self, transaction: str) -> dict[str, Any]:
        """Wait until a transaction that was sent is mined, which it is a moment later, and return its receipt.

        Raises AnvilError when it is not within MINE_TIMEOUT_S.
        """
        with trio.move_on_after(MINE_TIMEOUT_S):
            while True:
                receipt = await self.call("eth_getTransactionReceipt", transaction)
                if isinstance(receipt, dict):
                    return receipt
                await trio.sleep(0.005)
        raise AnvilError(f"transaction {transaction} was not mined within {MINE_TIMEOUT_S} s")

    async def fund(self, address: str, wei: int) -> None:
        """Give an account so much ether."""
        await self.call("anvil_setBalance", address, hex(wei))

    async def snapshot(self) -> str:
        """Remember the state of the chain; `restore` goes back to it, once."""
        return str(await self.call("evm_snapshot"))

    async def restore(self, snapshot: str) -> None:
        """Go back; blocks mined since are gone, as in a reorg. Raises AnvilError when it is used up."""
        if await self.call("evm_revert", snapshot) is not True:
            raise AnvilError(f"snapshot {snapshot} cannot be restored")


def find_anvil() -> Path:
    """Return the anvil binary: $TOCSIN_ANVIL, the npm package of a checkout above the working folder, or PATH.

    Raises AnvilError with a sentence that says what to do.
    """
    named = os.environ.get(PATH_VARIABLE)
    if named:
        if not Path(named).is_file():
            raise AnvilError(f"{PATH_VARIABLE}: {named} is not a file")
        return Path(named)
    system = {"linux": "linux", "darwin": "darwin"}.get(sys.platform, "linux")
    machine = "arm64" if platform.machine().lower() in {"arm64", "aarch64"} else "amd64"
    package = f"deploy/contracts/node_modules/@foundry-rs/anvil-{system}-{machine}/bin/anvil"
    here = Path.cwd()
    for folder in (here, *here.parents, *Path(__file__).resolve().parents):
        if (folder / package).is_file():
            return folder / package
    on_path = shutil.which("anvil")
    if on_path is None:
        raise AnvilError("anvil is not installed: run `make set-up` in the checkout, or install Foundry")
    return Path(on_path)


@asynccontextmanager
async def open_anvil(*arguments: str, accounts: int = 10, chain_id: int = CHAIN_ID) -> AsyncIterator[Anvil]:
    """Run anvil for as long as the context lasts.

    Raises AnvilError when it does not start.
    """
    command = [
        str(find_anvil()),
        *("--host", "127.0.0.1", "--port", "0", "--chain-id", str(chain_id), "--accounts", str(accounts)),
        *arguments,
    ]
    async with _open_process(command) as (process, output):
        with trio.fail_after(START_TIMEOUT_S):
            port = await _wait_port(output)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(_drain, output)
            url = f"http://127.0.0.1:{port}"
            rpc = RpcEndpoint(url, timeout_ms=30_000)
            try:
                unlocked = tuple(str(name).lower() for name in await rpc.call("eth_accounts"))
                yield Anvil(url=url, rpc=rpc, accounts=unlocked, pid=process.pid, chain_id=chain_id)
            finally:
                with trio.CancelScope(shield=True):
                    await rpc.aclose()
                nursery.cancel_scope.cancel()


@asynccontextmanager
async def _open_process(command: Sequence[str]) -> AsyncIterator[tuple[trio.Process, trio.abc.ReceiveStream]]:
    process = await trio.lowlevel.open_process(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output = process.stdout
    if output is None:
        raise AnvilError("anvil was started without a pipe")
    try:
        yield process, output
    finally:
        with trio.CancelScope(shield=True):
            process.terminate()
            with trio.move_on_after(STOP_TIMEOUT_S):
                await process.wait()
            if process.returncode is None:
                process.kill()
                await process.wait()
            await output.aclose()


async def _wait_port(output: trio.abc.ReceiveStream) -> int:
    text = bytearray()
    while len(text) < _MAX_START_BYTES:
        chunk = await output.receive_some(4_096)
        if not chunk:
            break
        text += chunk
        found = _LISTENING.search(text)
        if found is not None:
            return int(found[1])
    raise AnvilError(f"anvil did not start: {bytes(text[-500:]).decode(errors='replace')}")


async def _drain(output: trio.abc.ReceiveStream) -> None:
    """Read and drop what anvil prints: a full pipe would stop it."""
    while await output.receive_some(65_536):
        pass
