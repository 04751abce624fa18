"""Keep whole card numbers and secrets out of the journal.

They could be in the agent's own lines, in error texts of a backend and in tracebacks. What identifies a person passes
through the engine as an event before it can be logged, so the newest tokens are known. A filter on the handlers of the
log replaces them by their last four characters.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import threading
from collections import OrderedDict
from types import TracebackType
from typing import Any

from agent.domain.events import Event, RequestReceived, Started
from agent.domain.requests import SetVariablesRequest
from agent.domain.variables import VARIABLES
from agent.model.types import Token, TokenType

log = logging.getLogger(__name__)

KEPT = 500
"""This many of the newest tokens are remembered."""
SHORTEST = 4
"""The least length of a token that is masked. A shorter one identifies no person, and to replace it would make lines
unreadable."""


class LogMask(logging.Filter):
    """The filter. It learns tokens on the event loop, and masks the lines of other threads (store, transfers) there."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._tokens: OrderedDict[str, str] = OrderedDict()
        self._secrets: set[str] = set()

    def install_filter(self) -> None:
        """Add the filter to the handlers that write the journal.

        An error that ends the process is logged there too.
        """
        for handler in logging.getLogger().handlers:
            handler.addFilter(self)
        sys.excepthook = _log_crash

    def remove_filter(self) -> None:
        for handler in logging.getLogger().handlers:
            handler.removeFilter(self)
        sys.excepthook = sys.__excepthook__

    # --- what is to be masked ----------------------------------------------------------------------------------

    def before_event(self, event: Event) -> None:
        """Learn what must be masked, before the event is handled."""
        of = event.ask if isinstance(event, RequestReceived) else event
        token = getattr(of, "token", None)
        if isinstance(token, Token) and token.type is not TokenType.NO_AUTHORIZATION:
            self._learn_token(token)
        group = getattr(getattr(of, "verdict", None), "group", None) or getattr(of, "group", None)
        if group:
            self._learn_token(Token(str(group)))
        if isinstance(event, Started):
            for name, record in event.remembered.get("setting", {}).items():
                self._learn_setting(name, str(record.get("text", "")))
        if isinstance(of, SetVariablesRequest):
            for name, text in of.values.items():
                self._learn_setting(name, text)

    def _learn_setting(self, name: str, text: str) -> None:
        if name in VARIABLES and VARIABLES[name].secret:
            self.learn_secret(text.removeprefix("text:"))

    def _learn_token(self, token: Token) -> None:
        if len(token.value) < SHORTEST:
            return
        with self._lock:
            for spelling in {token.value.casefold(), json.dumps(token.value)[1:-1].casefold()}:
                self._tokens[spelling] = token.masked_value()
                self._tokens.move_to_end(spelling)
            while len(self._tokens) > KEPT:
                self._tokens.popitem(last=False)

    def learn_secret(self, text: str) -> None:
        if len(text) >= SHORTEST:
            with self._lock:
                self._secrets.add(text)

    # --- masking -----------------------------------------------------------------------------------------------

    def mask_text(self, text: str) -> str:
        with self._lock:
            secrets, tokens = tuple(self._secrets), tuple(self._tokens.items())
        for secret in secrets:
            text = text.replace(secret, "***")
        folded = text.casefold()
        for value, shown in tokens:
            if value in folded:
                text = re.sub(re.escape(value), lambda _, shown=shown: shown, text, flags=re.IGNORECASE)  # type: ignore[misc]
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        try:
            record.msg, record.args = self.mask_text(record.getMessage()), ()
        except (TypeError, ValueError):
            return True  # the format string is wrong: the handler reports it
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self.mask_text(record.exc_text)
        return True


def _log_crash(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> Any:
    if issubclass(kind, KeyboardInterrupt):
        return sys.__excepthook__(kind, error, trace)
    log.critical("a defect, please report: the process ends", exc_info=(kind, error, trace))
    return None
