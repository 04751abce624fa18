"""The doctor: why the station does not connect, started and followed on the page."""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING

from aiohttp import web

from agent.commands.page.markup import Content, html_element, join_markup
from agent.commands.page.page_frame import (
    action_form,
    live_page_section,
    notice,
    paragraph,
    verdict_badge,
    whole_html_page,
)
from agent.commands.page.roles import Role
from agent.commands.page.visit import PageRoute, PageSite, Visit, html_page_answer, redirect_answer

if TYPE_CHECKING:
    from agent.assembly.doctor.findings import Finding
    from agent.commands.doctor.page import DoctorTexts

KINDS = {"good": "good", "warning": "warn", "wrong": "bad", "not judged": "info"}
STEPS_OF_A_RUN = 18


async def show_doctor_page(site: PageSite, visit: Visit) -> web.StreamResponse:
    content = doctor_content(site, visit)
    if visit.asks_for_live_part:
        return html_page_answer(join_markup(content))
    texts = visit.texts
    label = "doctor.again" if site.doctor.is_finished else "doctor.start"
    page = whole_html_page(
        site,
        visit,
        texts.text_of("pages.doctor"),
        paragraph(texts.text_of("doctor.about")),
        action_form(visit, "/doctor", texts.text_of(label)),
        live_page_section(visit, content, texts.text_of("doctor.result")),
    )
    return html_page_answer(page)


def doctor_content(site: PageSite, visit: Visit) -> Content:
    """Return the findings so far, and what is judged now."""
    run, texts = site.doctor, visit.texts
    if not run.is_running and not run.is_finished:
        return paragraph(texts.text_of("doctor.not_yet"))
    words = doctor_texts_of_language(texts.language)
    return [
        _progress_part(site, visit, words) if run.is_running else _summary_part(site, visit, words),
        html_element("ol", [_finding_item(words, finding) for finding in run.findings], class_="findings"),
    ]


def _progress_part(site: PageSite, visit: Visit, words: DoctorTexts) -> Content:
    judged = len({(f.rung, f.subject) for f in site.doctor.findings})
    label = visit.texts.text_of("doctor.progress")
    return notice(
        "info",
        paragraph(visit.texts.text_of("doctor.judging", step=words.title_of(site.doctor.judged_now))),
        html_element(
            "progress",
            value=min(judged, STEPS_OF_A_RUN - 1),
            max=STEPS_OF_A_RUN,
            aria_label=label,
        ),
    )


def _summary_part(site: PageSite, visit: Visit, words: DoctorTexts) -> Content:
    from agent.commands.doctor.page import overall_verdict

    run, texts = site.doctor, visit.texts
    if run.has_failed:
        return notice("bad", texts.text_of("doctor.failed"))
    kind = KINDS[str(overall_verdict(run.findings))]
    at = time.strftime("%H:%M:%S UTC", time.gmtime(run.began_utc_s))
    return notice(
        kind, verdict_badge(kind, words.summary(run.findings)), paragraph(texts.text_of("doctor.of", time=at))
    )


def _finding_item(words: DoctorTexts, finding: Finding) -> Content:
    place = f" [{finding.subject}]" if finding.subject else ""
    verdict = words.table["verdicts"][str(finding.verdict)]
    advice = words.advice_of(finding)
    return html_element(
        "li",
        verdict_badge(KINDS[str(finding.verdict)], verdict),
        html_element("strong", f" {words.table['rungs'][finding.rung]}{place}: "),
        words.reason_of(finding),
        paragraph([html_element("strong", f"{words.table['words']['to_do']}: "), advice]) if advice else None,
    )


@cache
def doctor_texts_of_language(language: str) -> DoctorTexts:
    from agent.commands.doctor.page import DoctorTexts

    return DoctorTexts(language)


async def accept_doctor_form(site: PageSite, visit: Visit) -> web.StreamResponse:
    start_doctor_run(site, visit)
    return redirect_answer("/commission" if visit.form.get("back") == "commission" else "/doctor")


def start_doctor_run(site: PageSite, visit: Visit) -> None:
    site.commissioning.forget_done_step("doctor")
    name = visit.user_name

    def record_end_of_examination(is_good: bool) -> None:
        if is_good:
            site.commissioning.mark_step_as_done(
                "doctor", f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {name}"
            )

    if site.doctor.begin_examination(record_end_of_examination):
        site.activity.record_activity("doctor", name, visit.address)


ROUTES = (
    PageRoute("GET", "/doctor", Role.TECHNICIAN, show_doctor_page),
    PageRoute("POST", "/doctor", Role.TECHNICIAN, accept_doctor_form),
)
