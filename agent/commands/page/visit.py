"""One request of a person, and what all pages share: the station, the users, the agent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import field
from typing import TYPE_CHECKING, TypeAlias

from aiohttp import web

from agent.commands.page.activity_log import ActivityLog
from agent.commands.page.agent_watch import AgentWatch
from agent.commands.page.commissioning_record import CommissioningRecord
from agent.commands.page.doctor_run import DoctorRun
from agent.commands.page.login_limits import LoginLimits
from agent.commands.page.login_sessions import LoginSessions, expected_form_token
from agent.commands.page.page_texts import PageTexts
from agent.commands.page.page_users import PageUser
from agent.commands.page.roles import Role
from agent.model.fastclass import frozen, mutable
from agent.station_file.settings import StationFile

if TYPE_CHECKING:
    from agent.commands.page.markup import Markup

BODY_BYTES = 8 * 1024
"""Of a form without files."""


class PageSite:
    """The station that the page is about, and what its pages remember."""

    def __init__(self, file: StationFile) -> None:
        self.file = file
        self.folder = file.station.state_dir / "field-page"
        self.watch = AgentWatch(file)
        self.sessions = LoginSessions(self.folder / "sessions.json", seconds_since_boot)
        self.limits = LoginLimits()
        self.activity = ActivityLog(self.folder / "activity.jsonl")
        self.doctor = DoctorRun(file.path)
        self.commissioning = CommissioningRecord(self.folder / "commissioning.json")
        self.hashing = asyncio.Lock()
        """One password at a time: each takes 16 MiB."""
        self.hashing_count = 0
        self.reading_audits = asyncio.Lock()
        self.has_tls = file.field_page.tls_cert is not None


@frozen
class UploadedFile:
    name: str
    content: bytes


@mutable
class Visit:
    """``token``: the cookie of the session, or of the form of a login. ``user``: None before the login."""

    request: web.BaseRequest
    path: str
    texts: PageTexts
    token: str = ""
    user: PageUser | None = None
    form: Mapping[str, str] = field(default_factory=dict)
    files: tuple[UploadedFile, ...] = ()
    form_key: bytes = b""

    @property
    def role(self) -> Role:
        return self.user.role if self.user is not None else Role.READER

    @property
    def user_name(self) -> str:
        return self.user.name if self.user is not None else ""

    @property
    def address(self) -> str:
        return self.request.remote or ""

    @property
    def asks_for_live_part(self) -> bool:
        """Whether the script of a page asks for its live part."""
        return self.request.query.get("part") == "live"

    @property
    def expected_form_token(self) -> str:
        return expected_form_token(self.form_key, self.token)

    def user_may_act_as(self, role: Role) -> bool:
        return self.user is not None and self.user.role.includes_role(role)


PageHandler: TypeAlias = Callable[[PageSite, Visit], Awaitable[web.StreamResponse]]


@frozen
class PageRoute:
    """``role`` None: no login is needed."""

    method: str
    path: str
    role: Role | None
    handler: PageHandler
    body_bytes: int = BODY_BYTES


def html_page_answer(page: Markup, status: int = 200) -> web.Response:
    return web.Response(text=page, content_type="text/html", charset="utf-8", status=status)


def redirect_answer(path: str) -> web.Response:
    return web.Response(status=303, headers={"Location": path})


def seconds_since_boot() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def plain_text_answer(text: str, status: int) -> web.Response:
    return web.Response(text=f"{text}\n", status=status)
