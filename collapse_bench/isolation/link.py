"""Calls in both directions between the judge's process and the plugin's.

Who waits for an answer serves the calls of the other process meanwhile, so that a method may ask
for rows while it curates, and a model of the suite may call a loss of the plugin while it trains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from ..errors import ContractError
from .frames import Broken, Frames
from .objects import Exchange

MOST_DEEP = 100  # calls within calls


class Link:
    """One end of the connection.  ``serve`` is called with (method, arguments) of each call of the
    other process; ``failure`` turns an exception into plain values, ``problem`` back into one."""

    def __init__(
        self,
        frames: Frames,
        exchange: Exchange,
        serve: Callable[[str, list[Any]], Any],
        failure: Callable[[BaseException], dict[str, Any]],
        problem: Callable[[dict[str, Any]], BaseException],
    ):
        self.frames, self.exchange, self.serve = frames, exchange, serve
        self.failure, self.problem = failure, problem
        self.broken = False  # the other process is not there any more
        self._depth = 0  # calls and answers that have not ended
        exchange.link = self

    def call(self, method: str, *args: Any) -> Any:
        """What the other process answers.  Raises what it raised, or Broken."""
        with self._nested():
            self._send({"call": method, "args": [self.exchange.encode(arg) for arg in args]})
            while True:
                message = self._receive()
                if "call" in message:
                    self._answer(message)
                elif "failure" in message:
                    failure = message["failure"]
                    raise self.problem(failure if isinstance(failure, dict) else {})
                else:
                    return self.exchange.decode(message.get("value"))

    def run(self) -> None:
        """Serve calls until the other process ends the connection."""
        while True:
            self._answer(self._receive())

    def _answer(self, message: dict[str, Any]) -> None:
        args = message.get("args")
        with self._nested():
            try:
                if self._depth > MOST_DEEP or not isinstance(args, list):
                    raise ContractError(f"calls are nested deeper than {MOST_DEEP}")
                given = [self.exchange.decode(arg) for arg in args]
                value = self.exchange.encode(self.serve(str(message.get("call")), given))
            except (Broken, KeyboardInterrupt):
                raise
            except BaseException as problem:
                self._send({"failure": self.failure(problem)})
            else:
                self._send({"value": value})

    @contextmanager
    def _nested(self) -> Iterator[None]:
        """Within a call.  The outermost one has a time limit, and lets go of what was only lent."""
        self._depth += 1
        if self._depth == 1:
            self.frames.begin()
        try:
            yield
        except Broken:
            self.broken = True
            raise
        finally:
            self._depth -= 1
            if not self._depth:
                self.exchange.forget()

    # how far each stream has been drawn is part of every message, so that both processes go on from
    # the same place

    def _send(self, message: dict[str, Any]) -> None:
        self.frames.send({**message, "drawn": self.exchange.drawn()})

    def _receive(self) -> dict[str, Any]:
        message = self.frames.receive()
        if not isinstance(message, dict):
            raise Broken(f"{self.frames.other} sent what is no message")
        self.exchange.advance(message.get("drawn"))
        return message
