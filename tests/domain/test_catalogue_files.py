"""The traps of real catalogue exports, each in a literal sample, and the real files themselves where they are."""

import os
from io import StringIO
from pathlib import Path

import pytest

from hub.domain.catalogue_files import (
    ENCODING,
    ENCODING_ERRORS,
    MAX_ROW_CHARS,
    CatalogueRow,
    CatalogueSummary,
    Format,
    MappedListing,
    NotThisFormat,
    RejectedRow,
    Repetition,
    read,
    read_mapping,
    summarise,
)
from hub.domain.money import Money

UDEMY = (
    "course_id,course_title,url,is_paid,price,num_subscribers,num_reviews,num_lectures,level,content_duration,"
    "published_timestamp,subject\n"
)
EDX = (
    "title,summary,n_enrolled,course_type,institution,instructors,Level,subject,language,subtitles,course_effort,"
    "course_length,price,course_description,course_syllabus,course_url\n"
)
COURSERA = "name,institution,course_url,course_id,n_course_id,institution_id\n"


def udemy(price: str, is_paid: str = "True", title: str = "Knots", id: str = "7") -> str:
    return f"{id},{title},https://u.test/knots/,{is_paid},{price},12,3,5,All Levels,1.5,2017-01-18T20:58:58Z,Sailing\n"


def edx(**cells: str) -> str:
    row = dict.fromkeys(EDX.strip().split(","), "") | {"title": "Knots", "course_url": "https://e.test/course/knots"}
    return ",".join((row | cells).values()) + "\n"


def rows_of(text: str, format: Format, currency: str | None = None) -> list[CatalogueRow | RejectedRow]:
    return list(read(StringIO(text, newline=""), format, currency=currency))


def taken(text: str, format: Format, currency: str | None = None) -> CatalogueRow:
    [row] = rows_of(text, format, currency)
    assert isinstance(row, CatalogueRow), row
    return row


def refused(text: str, format: Format, currency: str | None = None) -> RejectedRow:
    [row] = rows_of(text, format, currency)
    assert isinstance(row, RejectedRow), row
    return row


def test_each_field_of_a_udemy_row() -> None:
    assert taken(UDEMY + udemy("20"), Format.UDEMY) == CatalogueRow(
        line=2,
        external_id="7",
        title="Knots",
        url="https://u.test/knots/",
        level="All Levels",
        subject="Sailing",
        price=Money(2000, "USD"),
        price_text="20",
        learners=12,
        published_at_us=1_484_773_138_000_000,
        extras=(("num_reviews", "3"), ("num_lectures", "5"), ("content_duration", "1.5")),
    )


def test_a_coursera_row_has_no_price() -> None:
    row = taken(COURSERA + "Knots,Sea School ,https://c.test/learn/knots,knots,1,2\n", Format.COURSERA)
    assert (row.external_id, row.institution, row.price, row.price_text) == ("knots", "Sea School", None, "")


@pytest.mark.parametrize(
    ("price", "is_paid", "currency", "known"),
    [
        ("19.99", "True", None, Money(1999, "USD")),
        ("19.9", "True", "CNY", Money(1990, "CNY")),
        ("0.07", "True", None, Money(7, "USD")),
        ("2000", "True", "JPY", Money(2000, "JPY")),
        ("1.234", "True", "KWD", Money(1234, "KWD")),
        ("90071992547409.92", "True", None, Money(2**53, "USD")),
        ("0", "False", None, Money(0, "USD")),
        ("0", "True", None, None),
        ("0.00", "", None, None),
        ("", "True", None, None),
        ("", "False", None, None),
        ("NA", "True", None, None),
    ],
)
def test_price_is_exact_or_unknown(price: str, is_paid: str, currency: str | None, known: Money | None) -> None:
    row = taken(UDEMY + udemy(price, is_paid), Format.UDEMY, currency)
    assert row.price == known
    assert row.is_free is (known is not None and known.amount_minor == 0)


@pytest.mark.parametrize(
    ("price", "is_paid", "currency", "column", "reason"),
    [
        ("-5", "True", None, "price", "negative"),
        ("19.999", "True", None, "price", "3 decimals; USD has 2"),
        ("20.5", "True", "JPY", "price", "1 decimals; JPY has 0"),
        ("90071992547409.93", "True", None, "price", "above 9007199254740992 minor units"),
        ("1e2", "True", None, "price", "not an amount like 20 or 19.99"),
        ("NaN", "True", None, "price", "not an amount like 20 or 19.99"),
        ('"1,500"', "True", None, "price", "not an amount like 20 or 19.99"),
        ("٢٠", "True", None, "price", "not an amount like 20 or 19.99"),
        ("$20", "True", None, "price", "not an amount like 20 or 19.99"),
        ("20", "False", None, "price", "above 0 on a course that is not paid"),
        ("20", "maybe", None, "is_paid", "neither True nor False"),
    ],
)
def test_price_is_never_guessed(price: str, is_paid: str, currency: str | None, column: str, reason: str) -> None:
    row = refused(UDEMY + udemy(price, is_paid), Format.UDEMY, currency)
    assert row == RejectedRow(line=2, column=column, reason=reason, external_id="7")


def test_unknown_currency_is_a_fault_of_the_caller() -> None:
    with pytest.raises(ValueError, match="'usd'"):
        rows_of(UDEMY, Format.UDEMY, "usd")


@pytest.mark.parametrize(
    ("sentence", "certificate"),
    [
        ("FREE-Add a Verified Certificate for $49 USD", Money(4900, "USD")),
        ("FREE-Add a Verified Certificate for $299.70 USD", Money(29970, "USD")),
        ("FREE-Add a Verified Certificate for $49.9 USD", Money(4990, "USD")),
        ("FREE-Add a Verified Certificate for $49 USD or more", None),
        ("FREE-Add a Verified Certificate for €49 EUR", None),
    ],
)
def test_certificate_sentence_is_no_course_price(sentence: str, certificate: Money | None) -> None:
    row = taken(EDX + edx(price=sentence), Format.EDX, "EUR")
    assert (row.price, row.price_text, row.certificate) == (None, sentence, certificate)


def test_edx_id_is_the_last_segment_of_the_address() -> None:
    row = taken(EDX + edx(course_url="https://e.test/course/knots-2/?ref=a/b"), Format.EDX)
    assert row.external_id == "knots-2"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("", "empty; its last segment is the course's id"),
        ("javascript:alert(1)", "not an http or https address"),
        ("https://e.test/", "holds no id"),
        ("https:///course/knots", "not an http or https address"),
        ("http://[::1/course/knots", "not an address"),
        ("https://e.test/course/" + "k" * 201, "an id of 201 characters; at most 200"),
    ],
)
def test_edx_row_without_an_id_is_refused_and_leaves_the_file_incomplete(url: str, reason: str) -> None:
    summary = summarise(rows_of(EDX + edx(course_url=url), Format.EDX))
    assert summary.rejected == (RejectedRow(2, "course_url", reason, external_id=None),)
    assert not summary.is_complete


def test_absent_words_are_absent_where_a_column_may_be_empty() -> None:
    row = taken(EDX + edx(summary="NA", n_enrolled="NA", course_syllabus="None"), Format.EDX)
    assert (row.summary, row.learners, row.extras) == ("", None, ())
    assert taken(EDX + edx(title="None"), Format.EDX).title == "None"


def test_numbers_of_learners_have_thousands() -> None:
    assert taken(EDX + edx(n_enrolled='"2,442,271"'), Format.EDX).learners == 2_442_271


def test_what_only_describes_is_kept_as_text_when_unreadable() -> None:
    row = taken(EDX + edx(n_enrolled='"12,34"', language="Klingon", subtitles='"English, Klingon"'), Format.EDX)
    assert (row.learners, row.language, row.subtitles) == (None, "", ())
    assert row.extras == (("language", "Klingon"), ("subtitles", "English, Klingon"), ("n_enrolled", "12,34"))


def test_time_without_zone_is_kept_as_text() -> None:
    row = taken(UDEMY + udemy("20").replace("58Z", "58"), Format.UDEMY)
    assert row.published_at_us is None
    assert row.extras[-1] == ("published_timestamp", "2017-01-18T20:58:58")


@pytest.mark.parametrize(
    ("endonym", "tag"),
    [("Español", "es"), ("中文", "zh"), ("اللغة العربية", "ar"), ("Espan\u0303ol", "es"), (" english ", "en")],
)
def test_endonyms_become_bcp_47(endonym: str, tag: str) -> None:
    assert taken(EDX + edx(language=endonym), Format.EDX).language == tag


def test_subtitles_named_twice_count_once() -> None:
    assert taken(EDX + edx(subtitles='"English, 中文, 中文"'), Format.EDX).subtitles == ("en", "zh")


def test_quoted_line_breaks_stay_in_texts_and_leave_titles() -> None:
    row = taken(EDX + edx(title='"Knots\r\n and  bends "', course_description='"One\r\n\r\n two\n"'), Format.EDX)
    assert (row.title, row.description) == ("Knots and bends", "One\n\n two")


def test_line_numbers_are_those_of_an_editor_whatever_the_line_ends() -> None:
    text = UDEMY.replace("\n", "\r\n") + udemy("1", title='"a\nb\r\nc"', id="1") + "\r\n" + udemy("2", id="2")
    assert [row.line for row in rows_of(text, Format.UDEMY)] == [2, 6]


def test_texts_become_nfc() -> None:
    assert taken(EDX + edx(title="Cafe\u0301"), Format.EDX).title == "Café"


def test_right_to_left_titles_and_formula_signs_are_text() -> None:
    row = taken(EDX + edx(title="عقد ⚓ 结", course_syllabus='"=HYPERLINK(""https://x.test"")"'), Format.EDX)
    assert row.title == "عقد ⚓ 结"
    assert row.extras == (("course_syllabus", '=HYPERLINK("https://x.test")'),)


def test_instructors_are_kept_verbatim() -> None:
    row = taken(EDX + edx(instructors="Jean-Luc Marbot-Ann Lee"), Format.EDX)
    assert row.extras == (("instructors", "Jean-Luc Marbot-Ann Lee"),)


@pytest.mark.parametrize(
    ("title", "reason"),
    [
        ("  ", "empty"),
        ("k" * 501, "501 characters; at most 500"),
        ("Kno\x00ts", "a control character"),
        ("Kno\x1b[2Jts", "a control character"),
        ("Kno\udcffts", "not UTF-8"),
    ],
)
def test_unsellable_titles_are_refused(title: str, reason: str) -> None:
    row = refused(UDEMY + udemy("20", title=title), Format.UDEMY)
    assert row == RejectedRow(2, "course_title", reason, external_id="7")


def test_a_text_longer_than_a_listing_takes_is_refused() -> None:
    row = refused(EDX + edx(course_description="k" * 20_001), Format.EDX)
    assert (row.column, row.external_id) == ("summary", "knots")


def test_a_bad_row_does_not_stop_the_rest() -> None:
    text = UDEMY + udemy("1", id="1") + "2,too,few\n" + udemy("3", id="3")
    first, bad, last = rows_of(text, Format.UDEMY)
    assert bad == RejectedRow(3, None, "3 cells; the header has 12", external_id=None)
    assert [row.external_id for row in (first, last)] == ["1", "3"]


def test_a_row_over_the_limit_is_refused_whole() -> None:
    description = '"' + "line\n" * (MAX_ROW_CHARS // 5) + '"'
    text = EDX + edx(course_description=description) + edx(course_url="https://e.test/course/next")
    long, after = rows_of(text, Format.EDX)
    assert isinstance(long, RejectedRow)
    assert long.reason.endswith(f"a row has at most {MAX_ROW_CHARS}")
    assert after.external_id == "next"


def test_text_inside_an_unclosed_cell_is_never_sold() -> None:
    text = UDEMY + udemy("1", id="1") + udemy("2", title='"Knots', id="2") + udemy("3", id="3")
    first, broken = rows_of(text, Format.UDEMY)
    assert first.external_id == "1"
    assert broken == RejectedRow(3, None, "a quoted cell is not closed; nothing from here on was read")


def test_text_after_an_endless_cell_is_never_sold() -> None:
    endless = '"' + "k" * 200_000 + "\n" + udemy("0", "False", id="666") + '"'
    [broken] = rows_of(UDEMY + udemy("2", title=endless), Format.UDEMY)
    assert broken == RejectedRow(2, None, "a cell that never ends; nothing from here on was read")


@pytest.mark.parametrize(
    ("limit", "value"),
    [("MAX_ROWS", 2), ("MAX_FILE_BYTES", len(UDEMY + udemy("1", id="0") + udemy("1", id="1")))],
)
def test_what_lies_beyond_a_limit_is_not_read(limit: str, value: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(f"hub.domain.catalogue_files.{limit}", value)
    rows = rows_of(UDEMY + "".join(udemy("1", id=str(n)) for n in range(4)), Format.UDEMY)
    assert [row.external_id for row in rows] == ["0", "1", None]
    assert not summarise(rows).is_complete


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (COURSERA, "lacks"),
        ("", "lacks"),
        (UDEMY.replace("subject", "price"), "lacks subject"),
        (UDEMY.replace("\n", ",price\n"), "names price twice"),
    ],
)
def test_another_header_is_not_this_format(header: str, said: str) -> None:
    with pytest.raises(NotThisFormat, match=said):
        rows_of(header + udemy("20"), Format.UDEMY)


def test_header_may_have_a_byte_order_mark_spaces_and_more_columns() -> None:
    text = "\ufeff" + UDEMY.replace(",url", ", url ").replace("\n", ",rating\n") + udemy("20").replace("\n", ",5\n")
    assert taken(text, Format.UDEMY).price == Money(2000, "USD")


def test_the_same_row_again_is_a_duplicate() -> None:
    summary = summarise(rows_of(UDEMY + udemy("20") + udemy("20"), Format.UDEMY))
    assert summary.duplicates == (Repetition("7", line=3, earlier_line=2),)
    assert (summary.rows_read, len(summary.rows), summary.conflicts) == (2, 1, ())


def test_another_content_under_one_id_wins_and_is_named() -> None:
    summary = summarise(rows_of(UDEMY + udemy("20") + udemy("30"), Format.UDEMY))
    assert summary.conflicts == (Repetition("7", line=3, earlier_line=2),)
    assert [row.price for row in summary.rows] == [Money(3000, "USD")]
    assert summary.duplicates == ()


def test_a_refused_row_is_still_present_in_the_file() -> None:
    summary = summarise(rows_of(UDEMY + udemy("20", id="1") + udemy("-1", id="2"), Format.UDEMY))
    assert summary.present_ids == {"1", "2"}
    assert summary.is_complete


def test_draft_joins_summary_and_description() -> None:
    draft = taken(EDX + edx(summary="Short.", course_description="Long.", language="Deutsch"), Format.EDX).draft
    assert (draft.external_id, draft.title, draft.summary, draft.language) == (
        "knots",
        "Knots",
        "Short.\n\nLong.",
        "de",
    )
    assert draft.course_id is None


def test_mapping_names_a_course_or_another_listing() -> None:
    text = "platform,external_id,course_id,other_platform,other_external_id\nb,1,crs_1,,\nb,2,,a,7\n"
    assert list(read_mapping(StringIO(text, newline=""))) == [
        MappedListing(2, "b", "1", course_id="crs_1"),
        MappedListing(3, "b", "2", other_platform="a", other_external_id="7"),
    ]


@pytest.mark.parametrize(
    ("cells", "column"),
    [
        (",1,crs_1,,", "platform"),
        ("b,,crs_1,,", "external_id"),
        ("b,1,,,", "course_id"),
        ("b,1,crs_1,a,7", "course_id"),
        ("b,1,,a,", "other_external_id"),
        ("b,1,,,7", "other_platform"),
    ],
)
def test_mapping_that_names_none_or_both_is_refused(cells: str, column: str) -> None:
    text = f"platform,external_id,course_id,other_platform,other_external_id\n{cells}\n"
    [row] = read_mapping(StringIO(text, newline=""))
    assert isinstance(row, RejectedRow)
    assert row.column == column


def real(name: str, format: Format) -> CatalogueSummary:
    shared = Path(__file__).resolve().parents[3] / "shared" / "data" / "catalogs"
    folder = Path(os.environ.get("HUB_TEST_CATALOGS") or shared)
    if not (folder / name).is_file():
        pytest.skip(f"{name} is not here: HUB_TEST_CATALOGS names no folder with the three real catalogues")
    with open(folder / name, newline="", encoding=ENCODING, errors=ENCODING_ERRORS) as stream:
        return summarise(read(stream, format))


def test_real_udemy_file() -> None:
    summary = real("udemy_courses.csv", Format.UDEMY)
    assert (summary.rows_read, len(summary.rows), summary.rejected) == (3_678, 3_672, ())
    assert (len(summary.duplicates), summary.conflicts) == (6, ())
    assert sum(row.is_free for row in summary.rows) == 310
    assert sum(row.price.amount_minor for row in summary.rows if row.price) == 24_273_000
    assert not any(row.price is None or row.published_at_us is None for row in summary.rows)


def test_real_edx_file() -> None:
    summary = real("edx_courses.csv", Format.EDX)
    assert (summary.rows_read, len(summary.rows), summary.rejected) == (975, 974, ())
    assert (len(summary.duplicates), summary.conflicts) == (1, ())
    assert not any(row.price for row in summary.rows)
    assert sum(row.certificate.amount_minor for row in summary.rows if row.certificate) == 9_785_486
    assert not any(row.certificate is None or row.language == "" for row in summary.rows)
    assert max(len(row.description) for row in summary.rows) == 10_163


def test_real_coursera_file() -> None:
    summary = real("Coursera_courses.csv", Format.COURSERA)
    assert (summary.rows_read, len(summary.rows), summary.rejected) == (623, 623, ())
    assert not any(row.price or row.price_text for row in summary.rows)
