"""Frames as a report may show them: without passwords, keys and credentials of addresses."""

from __future__ import annotations

import functools

from agent.model.secret_texts import HIDDEN, mask_urls_in_json, names_secret
from agent.ocpp.dialects.dialect import Dialect
from agent.ocpp.wire.calls import Called
from agent.ocpp.wire.masking import mask_frame
from agent.scenario.frames import CALL, Frame


def mask_secrets(frame: Frame) -> str:
    """Return the text of a frame, with each secret replaced."""
    if frame.kind == CALL and not frame.from_station and frame.version:
        called = Called(frame.message_id, frame.action, frame.payload)
        return mask_frame(frame.text, called, _dialect_of(frame.version))
    return HIDDEN if names_secret(frame.text) and not frame.from_station else mask_urls_in_json(frame.text)


@functools.cache
def _dialect_of(version: str) -> Dialect:
    from agent.ocpp.versions import build_dialects

    return build_dialects((version,))[0]
