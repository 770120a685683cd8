"""What the two sandbox platforms sell: invented, with a free piece, an unknown price, and one work on both."""

from dataclasses import dataclass

from hub.sandbox.tables import Tables

TITLES = {"lumen": "Lumen Academy", "folio": "Folio Reading Room"}
ABOUT = {
    "lumen": "Online courses you can finish in a weekend.",
    "folio": "E-books and magazines, read in the browser.",
}


@dataclass(frozen=True, slots=True)
class Work:
    """One piece on one platform; `price_minor` None: its platform names no price."""

    platform: str
    external_id: str
    kind: str
    title: str
    summary: str
    author: str
    language: str
    price_minor: int | None
    body: str


WORKS = (
    Work("lumen", "double-entry", "course", "Double Entry in a Weekend", "Every amount twice, and why it balances.",
         "Ines Aldana", "en", 4900, "Lesson 1. A ledger has two sides.\n\nLesson 2. One side gives, one takes."),
    Work("lumen", "merkle-trees", "course", "Merkle Trees by Hand", "Prove one leaf without showing the wood.",
         "Tomo Hirata", "en", 2900, "Lesson 1. Hash two leaves, then hash the hashes."),
    Work("lumen", "graph-queries", "course", "Asking Graphs", "Queries that fetch what the page shows, no more.",
         "Ruth Okafor", "en", 3900, "Lesson 1. Draw the page first, then write the query."),
    Work("lumen", "chengyu", "course", "成语十讲", "十个成语,十段历史。", "顾明远", "zh", 1900, "第一讲 画蛇添足。"),
    Work("lumen", "hello-lumen", "course", "Hello, Lumen", "How a lesson here works.", "Lumen Academy", "en", 0,
         "Welcome. Every lesson fits in one cup of tea."),
    Work("lumen", "studio-visit", "course", "A Studio Visit", "Price on request.", "Bea Lindqvist", "en", None,
         "Bring a notebook."),
    Work("folio", "double-entry-reader", "ebook", "Double Entry in a Weekend: the Reader",
         "The course's text, to read away from the desk.", "Ines Aldana", "en", 1500,
         "Chapter 1. A ledger has two sides.\n\nChapter 2. What one side gives, the other takes."),
    Work("folio", "small-proofs", "ebook", "Small Proofs", "Forty arguments that fit on a page.", "Tomo Hirata", "en",
         1200, "1. There is no largest prime."),
    Work("folio", "quarterly-7", "periodical", "The Quarterly, No. 7", "Essays on paying and being paid.",
         "Folio Editors", "en", 800, "On the price of a newspaper."),
    Work("folio", "tea-and-trade", "ebook", "茶与贸易", "一片叶子走过的路。", "林若水", "zh", 990, "第一章 出发。"),
    Work("folio", "house-style", "ebook", "The Folio House Style", "How we write. Free.", "Folio Editors", "en", 0,
         "Short words. Then stop."),
)  # fmt: skip
CURRENCY = "USD"


def stock(tables: Tables, now: int) -> None:
    """Put every work that is not there yet on its platform's shelf; what a platform changed since stays."""
    for work in WORKS:
        publish(tables, work, now, currency=CURRENCY if work.price_minor is not None else None, is_new_only=True)


def publish(tables: Tables, work: Work, now: int, *, currency: str | None, is_new_only: bool = False) -> None:
    """Put a work on the shelf, or renew it; it keeps its place in the list."""
    renewal = "NOTHING" if is_new_only else (
        "UPDATE SET kind = excluded.kind, title = excluded.title, summary = excluded.summary, "
        "author = excluded.author, language = excluded.language, price_minor = excluded.price_minor, "
        "currency = excluded.currency, body = excluded.body, updated_at = excluded.updated_at"
    )  # fmt: skip
    tables.run(
        "INSERT INTO course (platform, external_id, kind, title, summary, author, language, price_minor, currency, "
        "body, updated_at) VALUES (:platform, :external_id, :kind, :title, :summary, :author, :language, "
        f":price_minor, :currency, :body, :now) ON CONFLICT (platform, external_id) DO {renewal}",
        platform=work.platform,
        external_id=work.external_id,
        kind=work.kind,
        title=work.title,
        summary=work.summary,
        author=work.author,
        language=work.language,
        price_minor=work.price_minor,
        currency=currency,
        body=work.body,
        now=now,
    )
