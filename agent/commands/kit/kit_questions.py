"""``kit new``: a kit made of answers. Each question is also an option, so that a script can answer it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

from agent.commands.kit.kit_file import KIT_TABLES, KIT_VERSION, load_kit
from agent.commands.kit.station_changes import read_station_tables
from agent.model.fastclass import field_specs, frozen
from agent.model.key_rules import first_problem, key_type, split_type_and_rules
from agent.station_file.settings import SettingsError
from agent.station_file.tables import Backend

Answers: TypeAlias = dict[str, str]
"""By the name of the question's option; "" is no answer, and the key is left out."""
NO_ANSWER = "-"
"""What a person types to leave a key out that has a proposal."""


@frozen
class KitQuestion:
    """``proposal``: what Enter answers, from the answers so far; ``applies``: whether the question makes sense."""

    table: str
    key: str
    text: str
    proposal: Callable[[Answers], str] = lambda answers: ""
    applies: Callable[[Answers], bool] = lambda answers: True
    required: bool = False
    option: str = ""

    @property
    def name(self) -> str:
        return self.option or self.key.replace("_", "-")


def _fixed(text: str) -> Callable[[Answers], str]:
    return lambda answers: text


def _profile_is(*profiles: str) -> Callable[[Answers], bool]:
    return lambda answers: answers.get("security-profile") in profiles


def _has(name: str) -> Callable[[Answers], bool]:
    return lambda answers: bool(answers.get(name))


QUESTIONS = (
    KitQuestion("station", "number", "Number of the station, as on the sticker", required=True),
    KitQuestion("station", "hotline", "Telephone number of the hotline", required=True),
    KitQuestion("kit", "station_type", "Type of station"),
    KitQuestion("backend", "charge_point_id", "Charge point id", lambda a: a["number"], required=True),
    KitQuestion("backend", "url", "Address of the backend (ws:// or wss://, without the id)", required=True),
    KitQuestion(
        "backend",
        "versions",
        "Versions of OCPP, the preferred one first",
        _fixed(",".join(Backend().versions)),
        required=True,
    ),
    KitQuestion(
        "backend",
        "security_profile",
        "Security profile (0 none, 1 password, 2 TLS and password, 3 TLS and certificate)",
        lambda a: "2" if a["url"].startswith("wss://") else "0",
    ),
    KitQuestion(
        "backend", "password_file", "File with the password", _fixed("secrets/password"), _profile_is("1", "2")
    ),
    KitQuestion("backend", "client_cert", "File with the certificate", _fixed("secrets/client.pem"), _profile_is("3")),
    KitQuestion("backend", "client_key", "File with its key", _fixed("secrets/client.key"), _profile_is("3")),
    KitQuestion(
        "backend", "ca", "File with the backend's certificate authorities (PEM)", applies=_profile_is("2", "3")
    ),
    KitQuestion("sim", "apn", "Access point of the SIM (APN)"),
    KitQuestion("sim", "user", "User of the access point", applies=_has("apn"), option="apn-user"),
    KitQuestion("sim", "auth", "How it asks for the user (pap, chap)", _fixed("pap"), _has("apn-user")),
    KitQuestion(
        "sim",
        "password_file",
        "File with the password",
        _fixed("secrets/apn"),
        _has("apn-user"),
        False,
        "apn-password-file",
    ),
    KitQuestion("sim", "iccid", "Number of the SIM (ICCID)", applies=_has("apn")),
    KitQuestion("sim", "pin_file", "File with the PIN of the SIM", applies=_has("apn")),
    KitQuestion("station", "price_line", "Price as the idle screen shows it"),
    KitQuestion("tariff", "kwh", "Ad-hoc price per kWh, VAT included"),
    KitQuestion("tariff", "vat_percent", "VAT in percent", _fixed("17"), _has("kwh")),
    KitQuestion("station", "qr_url", "Address of the QR code"),
    KitQuestion("sticker", "brand", "Brand of the sticker (chargy, superchargy)", _fixed("chargy")),
    KitQuestion("sticker", "logo", "File with the operator's logo (PNG, JPEG)"),
)
ORDER = ("kit", "station", "backend", "tariff", "sim", "sticker")


def collect_answers(given: Mapping[str, str | None], proposals: Answers, ask: Callable[[str], str] | None) -> Answers:
    """Return the answers: those of the options, of the person (``ask``), or the proposals.

    Raises ``SettingsError`` with everything that is missing or wrong.
    """
    answers: Answers = {}
    wrong: list[str] = []
    for question in (q for q in QUESTIONS if q.applies(answers)):
        option = given.get(question.name)
        proposal = proposals.get(question.name) or question.proposal(answers)
        if option is None and ask is not None:
            answers[question.name] = _answer_of_person(question, proposal, ask)
            continue
        answer = proposal if option is None else option.strip()
        if said := answer_problem(question, answer):
            wrong.append(f"--{question.name}: {said}")
        answers[question.name] = answer
    if wrong:
        raise SettingsError(wrong)
    return answers


def _answer_of_person(question: KitQuestion, proposal: str, ask: Callable[[str], str]) -> str:
    """Ask until the answer is good."""
    hint = f" [{proposal}]" if proposal else "" if question.required else " [none]"
    said = ""
    while True:
        typed = ask(f"{said}{question.text}{hint}: ").strip()
        answer = "" if typed == NO_ANSWER and not question.required else typed or proposal
        if not (problem := answer_problem(question, answer)):
            return answer
        said = f"  {problem}\n"


def answer_problem(question: KitQuestion, answer: str) -> str:
    """Return what is wrong with an answer, by the rules of its key; "": nothing."""
    if not answer:
        return "is missing" if question.required else ""
    try:
        value = answer_value(question, answer)
    except ValueError:
        return f"must be a number, is {answer!r}"
    if question.table not in KIT_TABLES:
        return ""
    spec = field_specs(KIT_TABLES[question.table])[question.key]
    base, rules = split_type_and_rules(key_type(KIT_TABLES[question.table], spec))
    return "" if base is Path else first_problem(rules, value)


def answer_value(question: KitQuestion, answer: str) -> Any:
    """Return an answer as TOML has it. Raises ``ValueError``."""
    if question.table == "tariff":
        number = float(answer.replace(",", "."))
        if not math.isfinite(number):
            raise ValueError(answer)
        return int(number) if number.is_integer() else number
    spec = field_specs(KIT_TABLES[question.table])[question.key]
    base, _ = split_type_and_rules(key_type(KIT_TABLES[question.table], spec))
    if base is int:
        return int(answer)
    if base in (str, Path):
        return answer
    return [entry.strip() for entry in answer.split(",") if entry.strip()]


def proposals_of_station(station: Path) -> Answers:
    """Return what a station file answers already. Raises ``SettingsError``."""
    tables = read_station_tables(station)
    found: Answers = {}
    for question in QUESTIONS:
        table = tables.get(question.table, {})
        value = table.get(question.key) if isinstance(table, dict) and not question.key.endswith("_file") else None
        if isinstance(value, str | int | float | list) and question.key not in ("ca", "client_cert", "client_key"):
            found[question.name] = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    about = tables.get("station", {})
    found |= {name: about[key] for name, key in (("station-type", "model"), ("charge-point-id", "id")) if key in about}
    return found


def kit_lines(answers: Answers) -> Iterator[str]:
    """Yield the lines of the kit, each key with its question as a comment."""
    for table in ORDER:
        lines = [
            f"{q.key} = {json.dumps(answer_value(q, answers[q.name]), ensure_ascii=False)}  # {q.text}"
            for q in QUESTIONS
            if q.table == table and answers.get(q.name)
        ]
        if table == "kit":
            lines.insert(0, f"version = {KIT_VERSION}  # Version of this format: docs/kit.md")
        if lines:
            yield from (f"[{table}]", *lines, "")


def refuse_existing(path: Path) -> None:
    """Raise ``OSError`` if the file exists."""
    if path.exists():
        raise FileExistsError(0, "exists already; give another name", str(path))


def write_kit(path: Path, answers: Answers) -> list[str]:
    """Write a new kit. Return what is still to be done: files that it names and that are not there yet.

    Raises ``SettingsError`` if anything else is wrong with it, and ``OSError``, also if the file exists.
    """
    refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.partial")
    beside.write_text("\n".join(kit_lines(answers)), "utf-8")
    try:
        load_kit(beside)
        missing: list[str] = []
    except SettingsError as e:
        problems = [said.removeprefix(f"{beside}: ") for said in e.problems]
        files = {f"{q.table}.{q.key}" for q in QUESTIONS if _names_missing_file(q, answers, path)}
        missing = [said for said in problems if said.partition(": ")[0] in files]
        if len(missing) < len(problems):
            beside.unlink()
            raise SettingsError([f"{path}: {said}" for said in problems if said not in missing]) from None
    beside.rename(path)
    return missing


def _names_missing_file(question: KitQuestion, answers: Answers, path: Path) -> bool:
    if question.table not in KIT_TABLES or not answers.get(question.name):
        return False
    spec = field_specs(KIT_TABLES[question.table])[question.key]
    is_file = split_type_and_rules(key_type(KIT_TABLES[question.table], spec))[0] is Path
    return is_file and not (path.parent / answers[question.name]).exists()
