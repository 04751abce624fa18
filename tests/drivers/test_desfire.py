"""The DESFire stack against what is public: NIST's and NXP's numbers, and answers that real cards gave.

Sources: NIST SP 800-38B; NXP AN10922 and AN10957; transcripts of real EV1 cards ("DESFire EV1 Communication Examples",
RFDoorLock project); single numbers from the test suites of libfreefare, proxmark3 and python-desfire. The enciphered
reads are this project's own, cross-checked with python-desfire.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.reader_nfc.desfire import CardError, NotGenuine, Refusal
from drivers.reader_nfc.desfire.ciphers import Cipher, Key, desfire_crc16, desfire_crc32
from drivers.reader_nfc.desfire.diversify import diversify_an10922, diversify_plain_cmac
from drivers.reader_nfc.desfire.picc import ENCIPHERED, MACED, PLAIN, CardVersion, FileSettings, Picc
from drivers.reader_nfc.desfire.sessions import LegacySession

h = bytes.fromhex
NIST = h(
    "6bc1bee22e409f96e93d7e117393172aae2d8a571e03ac9c9eb76fac45af8e51"
    "30c81c46a35ce411e5fbc1191a0a52eff69f2445df4f9b17ad2b417be66c3710"
)
TDEA = h("0123456789abcdef23456789abcdef01456789abcdef0123")
MASTER = h("00112233445566778899AABBCCDDEEFF")
UID = h("04112233445566")
AES_KEY, DES_KEY = "10182028303840485058606870788088", "10182029303840485058606870788088"
TRIPLE = "101820293038404850586068707880889098A0A8B0B8C0C8"


class OtherTalk(Exception):
    """The station says something else than in the recorded talk."""


class Transcript:
    """A card that has said this once: ``(command, answer)`` in native bytes and in hex, status first in the answer.
    Anything but the recorded command fails."""

    def __init__(self, *said: tuple[str, str]) -> None:
        self.said = list(said)

    def __call__(self, apdu: bytes) -> bytes:
        assert apdu[:1] == b"\x90"
        assert apdu[2:4] == b"\0\0"
        assert apdu[-1:] == b"\0"
        body = apdu[5:-1] if len(apdu) > 5 else b""
        assert len(apdu) == 5 or apdu[4] == len(body)
        command, answer = self.said.pop(0) if self.said else ("", "")
        if (apdu[1:2] + body) != h(command):
            raise OtherTalk(f"{(apdu[1:2] + body).hex()} instead of {command}")
        whole = h(answer)
        return whole[1:] + b"\x91" + whole[:1]


def card(a: str, *said: tuple[str, str]) -> tuple[Picc, Transcript]:
    """``a``: the station's random number of the recorded talk."""
    transcript = Transcript(*said)
    return Picc(transcript, lambda n: h(a)[:n]), transcript


# --- check sums and diversification ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("size", "mac"),
    [
        (0, "bb1d6929e95937287fa37d129b756746"),
        (16, "070a16b46b4d4144f79bdd9dd04a287c"),
        (40, "dfa66747de9ae63030ca32611497c827"),
        (64, "51f0bebf7e3b9d92fc49741779363cfe"),
    ],
)
def test_cmac_aes(size: int, mac: str) -> None:
    cipher = Cipher(h("2b7e151628aed2a6abf7158809cf4f3c"), aes=True)
    assert [k.hex() for k in cipher.cmac_subkeys] == [
        "fbeed618357133667c85e08f7236a8de",
        "f7ddac306ae266ccf90bc11ee46d513b",
    ]
    assert cipher.cmac_block(NIST[:size]).hex() == mac


@pytest.mark.parametrize(
    ("key", "macs"),
    [
        (TDEA, "7db0d37df936c550 30239cf1f52e6609 6c9f3ee4923f6be2 99429bd0bf7904e5"),
        (TDEA[:16], "79ce52a7f786a960 cc18a0b79af2413b c06d377ecd101969 9cd33580f9b64dfb"),
        (TDEA[:8], "86f79c13fd306e67 bea4212292462a85 3e2f8310c569275e 9d1fc4d4c0259132"),
    ],
)
def test_cmac_des(key: bytes, macs: str) -> None:
    cipher = Cipher(key, aes=False)
    assert [cipher.cmac_block(NIST[:n]).hex() for n in (0, 16, 20, 32)] == macs.split()


def test_check_sums() -> None:
    assert desfire_crc16(h("04440F32763180")) == h("2798")
    assert desfire_crc32(h("04440F32763180") + b"\0") == h("99CE1AD4")


@pytest.mark.parametrize(
    ("aes", "master", "message", "key"),
    [
        (True, MASTER, "04782E21801D803042F54E585020416275", "A8DD63A3B89D54B37CA802473FDA9175"),
        (True, h("f3f9377698707b688eaf84abe39e3791"), "04deadbeeffeed", "0bb408baff98b6ee9f2e1585777f6a51"),
        (True, MASTER, "04112233445566 F58840 434847", "2c7638621cbc45bc6340587cf94fa36e"),
        (False, MASTER, "04782E21801D803042F54E58502041", "16F8597C9E8910C86B9648D006107DD7"),
        (
            False,
            MASTER + h("0102030405060708"),
            "04782E21801D803042F54E5850",
            "2F0DD03675D3FB9A5705AB0BDA91CA0B55B8E07FCDBF10EC",
        ),
    ],
)
def test_an10922(aes: bool, master: bytes, message: str, key: str) -> None:
    assert diversify_an10922(Key(master, aes), h(message)).value.hex() == key.lower()


def test_the_other_reading_of_an10922() -> None:
    master = Key(h("83A66CF43605111802A2616FA0C5E2FF"))
    assert diversify_plain_cmac(master, h("044D0702195E80DADADA715517")).value == h("DAE9B8D3136B2DAE35D58678F378B0B1")
    for message in (b"", bytes(32)):
        with pytest.raises(ValueError, match="1 to 31 bytes"):
            diversify_an10922(master, message)


# --- what real cards have said -----------------------------------------------------------------------------------


def test_real_card_aes_with_the_key_of_the_factory() -> None:
    picc, transcript = card(
        "F44B26F5686F3A391CD38EBD10772281",
        ("AA00", "AF B969FDFE56FD91FC9DE6F6F213B8FD1E"),
        (
            "AF 36AAD7DF6E436BA08D18613830A70D5AD43E3D3F4A8D47541EEE623A934E4774",
            "00 800DB680BC146BD121D6578F2D2E2059",
        ),
    )
    picc.authenticate_key("aes", Key(bytes(16)), 0)
    assert not transcript.said


def ask(picc: Picc, command: str) -> bytes:
    """A command that the stack has no method for."""
    return picc._session.check_plain(picc._send_command(h(command)))


def test_real_card_aes_key_version() -> None:
    picc, _ = card(
        "90F7A201C4DB760538FF8A49EC63DECD",
        ("AA00", "AF 3E2BE626C05E7798EE518355A751648E"),
        (
            "AF FABF71BB0DC45B8F31BAEDDFF7F3439652D4094DF12C17EF0C94353E6D7770C8",
            "00 1CE6C574E24923D404E18B6A240C1B08",
        ),
        ("6400", "00 10 8A8FA36F55CD210D"),
    )
    picc.authenticate_key("aes", Key(h(AES_KEY)), 0)
    assert ask(picc, "6400") == b"\x10"


COUNT = bytes(range(0x50))


def test_real_card_aes_long_chain() -> None:
    """Seven commands, each check sum built on all before: creating, listing, settings, writing, reading."""
    picc, transcript = card(
        "40E7D27174CBA675E8EFBAB99C530E3D",
        ("AA01", "AF B351CB2465D4F33AC627FD6E87A168F2"),
        (
            "AF 044B6CAC343A0865895149649CA8DDE1F5AC4EC67BD208900AF02F049E05F0B0",
            "00 A2EE144B1012FBEB7B2F11132D95A454",
        ),
        ("CD05001100500000", "00 A75316AD1596B953"),
        ("6F", "00 05 2D5FF67FFEC9D2D3"),
        ("F505", "00 00001100500000 2AAC7517024E09DC"),
        ("3D05000000340000" + COUNT[:0x34].hex(), "00 765C9DAA50ECB62F"),
        ("3D053400001C0000" + COUNT[0x34:].hex(), "00 3E0AED986B8B0F37"),
        ("BD05000000300000", "00" + COUNT[:0x30].hex() + "4C65F1F842262BAC"),
        ("BD05300000200000", "00" + COUNT[0x30:].hex() + "F02205CF913C03C9"),
    )
    picc.authenticate_key("aes", Key(h(AES_KEY)), 1)
    assert ask(picc, "CD05001100500000") == b""
    assert ask(picc, "6F") == b"\x05"
    settings = picc.get_file_settings(5)
    assert settings == FileSettings(0, PLAIN, (0, 0, 1, 1))
    assert settings.read_communication(1) == PLAIN
    assert ask(picc, "3D05000000340000" + COUNT[:0x34].hex()) == b""
    assert ask(picc, "3D053400001C0000" + COUNT[0x34:].hex()) == b""
    assert picc.read_data(5, 0, 0x30, PLAIN) == COUNT[:0x30]
    assert picc.read_data(5, 0x30, 0x20, MACED) == COUNT[0x30:]
    assert not transcript.said


def test_real_card_des_version() -> None:
    """An 8 KiB EV1; GetVersion's three frames have one check sum."""
    picc, _ = card(
        "849B36C5F8BF4A09",
        ("1A00", "AF 5D994CE085F24089"),
        ("AF 21D0AD5F2FD97454A746CC80567F1B1C", "00 913C6DED84221C41"),
        ("60", "AF 04010101001A05"),
        ("AF", "AF 04010101041A05"),
        ("AF", "00 04063F72633480BA4519E3204913 CDC810BAFA401759"),
    )
    picc.authenticate_key("iso", Key(bytes(16), aes=False), 0)
    version = picc.get_version()
    assert version == CardVersion(4, 1, (1, 0), 0x1A, (1, 4), h("04063F72633480"))
    assert version.is_desfire
    assert not version.is_ev1_4k


@pytest.mark.parametrize(
    ("key", "a", "said"),
    [
        (
            DES_KEY,
            "DDB097C2A1E47B96",
            (
                ("1A00", "AF 9414819CC8BB62C3"),
                ("AF 937E6B1854A6D92E0FD975D9909001E8", "00 E055D11DD9535060"),
                ("6400", "00 10 3345AA95F2D956CF"),
            ),
        ),
        (
            TRIPLE,
            "D1542B86D5C84F9A197CB3EE9D705782",
            (
                ("1A00", "AF EDFAC076F7F75F3FA930D8365A7C9206"),
                (
                    "AF B4F5266DBF4BF93970BC386E94F4FA59884E94F9F113B1BFB5A54E5A1BA08892",
                    "00 65F4F5DADE89E12E2405FCE14D5CD798",
                ),
                ("6400", "00 10 AD4A52B1E31CC741"),
            ),
        ),
    ],
    ids=["two keys", "three keys"],
)
def test_real_card_des_key_version(key: str, a: str, said: tuple[tuple[str, str], ...]) -> None:
    picc, _ = card(a, *said)
    picc.authenticate_key("iso", Key(h(key), aes=False), 0)
    assert ask(picc, "6400") == b"\x10"


def test_a_chip_that_answers_the_zero_key() -> None:
    picc, transcript = card(
        "99259c95dfd9620d",
        ("1A00", "AF ee91301ee8f584d6"),
        ("AF 156f6f700b46eefed65031d8a83263da", "AE"),
    )
    with pytest.raises(Refusal, match="authentication error"):
        picc.authenticate_key("iso", Key(bytes(16), aes=False), 0)
    assert not transcript.said


SESSION = h("40E7D271626FFBD49C530E3D304F5B17")
CHAIN = (
    ("CD05001100500000", "F23B0368578C65AD705C52AFE76261B6", "", "A75316AD1596B95374EEF55FB7FA00EC"),
    ("6F", "F69B3BADA99A58AA2BD736662E32D4B0", "05", "2D5FF67FFEC9D2D36087211588EAC2D7"),
    ("F505", "6365D3B198DCA84043DF6DF8FE76DFD6", "00001100500000", "2AAC7517024E09DC452857D5D56FD213"),
    ("3D05000000340000" + bytes(range(0x34)).hex(), "5F7BCA269F97495C64BCFB3DB41449CA", "",
     "765C9DAA50ECB62F59BACA81F2EF80F9"),
    ("3D053400001C0000" + bytes(range(0x34, 0x50)).hex(), "EDF32CB90997155F8C0A15BBCA118DA1", "",
     "3E0AED986B8B0F37F64D79B911A5A6C9"),
    ("BD05000000300000", "433303AB3CFFA758BF7EB16FFEC47A70", bytes(range(0x30)).hex(),
     "4C65F1F842262BAC65FFBF61CF71FD06"),
    ("BD05300000200000", "C26BDE4EB965BC3C831C0771C42FD5B9", bytes(range(0x30, 0x50)).hex(),
     "F02205CF913C03C9354C8FF43D1C9E61"),
)  # fmt: skip


def test_the_whole_check_sums_of_a_long_talk() -> None:
    """Of which a card shows half, and of a command none."""
    cipher, iv = Cipher(SESSION, aes=True), bytes(16)
    for command, asked, answer, vector in CHAIN:
        iv = cipher.cmac_block(h(command), iv)
        assert iv == h(asked), command
        iv = cipher.cmac_block(h(answer) + b"\0", iv)
        assert iv == h(vector), command


def test_single_numbers_of_the_ciphers() -> None:
    """What a legacy station deciphers to send; a real card's enciphered command; NXP's subkeys."""
    assert Cipher(b"\1" * 8, aes=False).decrypt_blocks(h("d659e17043a84068")) == h("730ddfada4d20789")
    session = Cipher(h("90F7A20191036845EC63DECD544B9931"), aes=True)
    iv = session.cmac_block(h("10") + b"\0", session.cmac_block(h("6400")))
    assert iv == h("8A8FA36F55CD210DD8054658AC70D99A")
    changed = h("00" * 16 + "00" + "0A0F861B" + "00" * 11)
    assert session.encrypt_blocks(changed, iv) == h("635375E4919F8AF2E9E86B1C1BA55B0C0807EAF484D7A7EF6E0C3084160F5A61")
    assert desfire_crc32(h("C400") + changed[:17])[:4] == h("0A0F861B")
    assert Cipher(MASTER, aes=True).cmac_subkeys == (
        h("FBC9F75C9413C041DFEE452D3F0706D1"), h("F793EEB928278083BFDC8A5A7E0E0D25"),
    )  # fmt: skip


# --- enciphered reads --------------------------------------------------------------------------------------------

A = bytes(range(0xA0, 0xB0)).hex()
AES_TALK = (
    ("5A4088F5", "00"),
    ("AA01", "AF d8627ab06f695495ebd7332b92bca930"),
    ("AF 8ba395cf5066087923432bf91aec83f6fac3389a77fafa3fec7aec8167f0c919", "00 7f13a60862696216845cf9c8b957dd61"),
    ("51", "00 2f5970bca5b120b4009daa713f9813a6"),
    ("BD01000000110000", "00 a92d85a1c426b00faa1d4ebec00150fd4499e2f2cf4b718f43b1525e4509b1e6"),
    (
        "BD01000000000000",
        "AF d39caaddf0625b2015932039b86c2b97ce7bd219978e22c927e8160964e478ad"
        "98cefc3a126daa9c4c113a8d400c72e13b3cfb988713e01ef017ba",
    ),
    ("AF", "00 ad00dc0b0e0bf73cfa8ca199a101344209facd4860"),
    ("F501", "00 00030010400000 f08d759c17dfa26f"),
    ("BD03000000100000", "00 000102030405060708090a0b0c0d0e0f 2fbae107fd08bcd6"),
)
TEXT = b"LU*CHG*C12345678*"


def test_aes_enciphered() -> None:
    picc, transcript = card(A, *AES_TALK)
    picc.select_application(0xF58840)
    picc.authenticate_key("aes", diversify_an10922(Key(MASTER), UID + h("F58840") + b"CHG"), 1)
    assert picc.get_card_uid() == UID
    assert picc.read_data(1, 0, 17, ENCIPHERED) == TEXT
    assert picc.read_data(1, 0, 0, ENCIPHERED) == TEXT + COUNT[: 64 - 17]
    assert picc.get_file_settings(1).read_communication(1) == ENCIPHERED
    assert picc.read_data(3, 0, 16, MACED) == COUNT[:16]
    assert not transcript.said


DES_TALKS = {
    "one key": (
        "iso",
        bytes(16),
        b"des-content",
        ("1A00", "AF fb7fbec17683e2b3"),
        ("AF e316f146d95951494cd0377a3e68e84e", "00 1790007676c810d9"),
        ("51", "00 8170ce5354c306f826ca6e7ab4489835"),
        ("BD010000000b0000", "00 207cf88416d0a74d67eeec352c938c6e"),
    ),
    "three keys": (
        "iso",
        bytes(range(24)),
        b"3k3des-content!!",
        ("1A00", "AF 907c778d5e637334c509a23d1a840500"),
        (
            "AF 73a9ce020277d9052da8544c2f24e8bbfc0293f5fc813cd3618c2e75eb1f5c38",
            "00 7a70e136cfdc651fac6b3515f3a539c4",
        ),
        ("51", "00 33e8ab0fdfb2aad4c43b71a208973995"),
        ("BD01000000100000", "00 b26ca95222c41f1e98664ed054d8ea74fc40243e1f138160"),
    ),
    "legacy": (
        "legacy",
        bytes(range(0, 32, 2)),
        b"2k3des-content",
        ("0A00", "AF f1b050bdfb6efde4"),
        ("AF eb79dfaa0025934ed698aad26574255d", "00 c0db543e444c1968"),
        ("51", "00 3eb10b9c2be30666fb547e04f3fdb715"),
        ("BD010000000e0000", "00 f1060ea1977be9923e9c358bcdbe8fd4"),
    ),
}


@pytest.mark.parametrize("name", DES_TALKS)
def test_des_enciphered(name: str) -> None:
    scheme, key, content, *said = DES_TALKS[name]
    picc, transcript = card(A, *said)
    picc.authenticate_key(scheme, Key(key, aes=False), 0)
    assert picc.get_card_uid() == UID
    assert picc.read_data(1, 0, len(content), ENCIPHERED) == content
    assert not transcript.said


def test_legacy_check_sum() -> None:
    key = h("a0a1a2a3b0b1b2b3a4a5a6a7b4b5b6b7")
    assert LegacySession(key).check_maced(bytes(20) + h("db4be81f")) == bytes(20)
    with pytest.raises(NotGenuine):
        LegacySession(key).check_maced(bytes(20) + h("db4be81e"))


# --- cards that lie ----------------------------------------------------------------------------------------------


def aes_until(step: int, change: Callable[[bytes], bytes]) -> Picc:
    """A talk of ``AES_TALK`` in which the answer number ``step`` is another one."""
    said = list(AES_TALK[:4])
    command, answer = said[step]
    changed = change(h(answer))
    picc, _ = card(A, *said[:step], (command, changed.hex()), *said[step + 1 :])
    return picc


def talk(picc: Picc) -> bytes:
    picc.select_application(0xF58840)
    picc.authenticate_key("aes", diversify_an10922(Key(MASTER), UID + h("F58840") + b"CHG"), 1)
    return picc.get_card_uid()


@given(st.integers(2, 3), st.integers(0, 16 * 8 - 1))
def test_no_flipped_bit_is_believed(step: int, bit: int) -> None:
    def flip(answer: bytes) -> bytes:
        n = int.from_bytes(answer, "big") ^ (1 << bit)
        return n.to_bytes(len(answer), "big")

    with pytest.raises(NotGenuine):
        talk(aes_until(step, flip))


@given(st.integers(0, 3), st.binary(min_size=1, max_size=60))
def test_whatever_a_card_answers_is_a_card_error_or_the_truth(step: int, answer: bytes) -> None:
    picc = aes_until(step, lambda _: answer)
    try:
        assert talk(picc) == UID
    except (CardError, OtherTalk):
        pass


def test_an_answer_without_end_ends() -> None:
    picc, _ = card(A, ("60", "AF 01"), *[("AF", "AF 01")] * 9000)
    with pytest.raises(NotGenuine, match="without an end"):
        picc.get_version()
    picc, _ = card(A, ("60", "AF"), ("AF", "AF"))
    with pytest.raises(NotGenuine):
        picc.get_version()


@pytest.mark.parametrize("answer", [b"", b"\x91", b"\x6a\x82", b"\x90\x00", bytes(20)])
def test_what_is_no_desfire_is_reported_so(answer: bytes) -> None:
    with pytest.raises(NotGenuine, match="no DESFire"):
        Picc(lambda apdu: answer).get_version()


def test_nothing_is_read_under_a_proof_that_is_not_there() -> None:
    for communication in (MACED, ENCIPHERED):
        picc, _ = card(A, ("BD01000000100000", "00" + bytes(32).hex()))
        with pytest.raises(NotGenuine, match="not authenticated"):
            picc.read_data(1, 0, 16, communication)


def test_a_refusal_ends_the_authentication() -> None:
    picc, _ = card(A, *AES_TALK[:3], ("BD09000000100000", "F0"), ("51", "00" + bytes(16).hex()))
    picc.select_application(0xF58840)
    picc.authenticate_key("aes", diversify_an10922(Key(MASTER), UID + h("F58840") + b"CHG"), 1)
    with pytest.raises(Refusal, match="no such file"):
        picc.read_data(9, 0, 16, ENCIPHERED)
    with pytest.raises(NotGenuine, match="not authenticated"):
        picc.get_card_uid()


def test_a_key_shows_itself_to_no_one() -> None:
    key = Key(MASTER)
    for said in (repr(key), str(key), f"{key}", repr([key])):
        assert "112233" not in said.lower()
        assert "\\x11" not in said
    with pytest.raises(ValueError, match="16 bytes") as caught:
        Key(MASTER[:15])
    assert "\\x11" not in str(caught.value)


@pytest.mark.parametrize(
    ("first", "second", "desfire", "ev1_4k"),
    [
        ("04010101001805", "04010101041805", True, True),
        ("04010101001A05", "04010101041A05", True, False),
        ("04010100021805", "04010100061805", True, False),
        ("04010112001805", "04010112001805", True, False),
        ("04810101001805", "04010101041805", True, True),
        ("04020101001105", "04020101001105", False, False),
        ("05010101001805", "05010101041805", False, False),
    ],
)
def test_versions(first: str, second: str, desfire: bool, ev1_4k: bool) -> None:
    version = CardVersion.from_bytes(h(first + second) + bytes(14))
    assert (version.is_desfire, version.is_ev1_4k) == (desfire, ev1_4k)


def test_how_a_file_is_read_depends_on_who_asks() -> None:
    """Free access is plain even where the file is enciphered for those who know a key."""
    enciphered = FileSettings.from_bytes(h("000310E0400000"))
    assert enciphered.rights == (0xE, 0, 1, 0)
    assert (enciphered.read_communication(1), enciphered.read_communication(3)) == (ENCIPHERED, PLAIN)
    assert FileSettings.from_bytes(h("00010F20400000")).read_communication(2) == MACED
