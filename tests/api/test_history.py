"""The past of a wallet over HTTP: balances, statements in three forms, filtered listings, walks while others write."""

import csv
import re
from datetime import UTC, datetime, timedelta
from html.parser import HTMLParser
from io import StringIO
from typing import Any

import httpx
import pytest

from monedero.api.paging import Page
from monedero.api.statement_csv import plain_cell
from monedero.sources import new_id
from tests.api.test_paging import walk
from tests.api.world import World
from tests.support import Service

FULL = {"accept": "application/problem+json"}
NASTY = '<script>alert("x")</script>\r\n=1+1, "quoted"; \u202eabc & \'more\''


@pytest.fixture
def world(client: httpx.Client) -> World:
    """Return a customer and a business with their wallets, on the shared service."""
    return World(client)


def position(answer: httpx.Response) -> int:
    """Return the position that a write was recorded at."""
    return int(answer.headers["ledger-position"])


def time_of(world: World, answer: httpx.Response) -> str:
    """Return when a transaction was recorded."""
    return str(world.client.get(f"/transactions/{answer.json()['id']}").json()["created_at"])


def before(time: str) -> str:
    """Return the microsecond before a time."""
    at = datetime.fromisoformat(time) - timedelta(microseconds=1)
    return at.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def balance(world: World, **query: Any) -> dict[str, Any]:
    """Return the wallet's balance at some moment."""
    answer = world.client.get(f"/wallets/{world.wallet}/balance", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def statement(world: World, **query: Any) -> dict[str, Any]:
    """Return the wallet's statement."""
    answer = world.client.get(f"/wallets/{world.wallet}/statement", params=query)
    assert answer.status_code == 200, answer.text
    body: dict[str, Any] = answer.json()
    return body


def problem(world: World, path: str, **query: Any) -> tuple[int, str]:
    """Return the status and code of an answer that is no success."""
    answer = world.client.get(path, params=query or None, headers=FULL)
    return answer.status_code, answer.json()["code"]


def test_a_balance_at_a_position_and_at_its_time(world: World) -> None:
    """The event at the position or time is counted, the next one is not; without either it is the balance now."""
    paid_in, paid = world.deposit(10), world.debit(3)
    world.client.get(f"/holds/{world.hold}")

    expected = {"id": world.wallet, "balance": 7, "held": 0, "available": 7, "currency": "EUR", "version": 2}
    assert balance(world, at=position(paid)) == {**expected, "position": position(paid)}
    by_time = balance(world, at=time_of(world, paid))
    assert {**by_time, "position": 0} == {**expected, "position": 0}
    assert balance(world, at=position(paid_in))["balance"] == 10
    assert balance(world, at=before(time_of(world, paid)))["balance"] == 10
    now = balance(world)
    assert (now["balance"], now["held"], now["available"], now["version"]) == (8, 1, 7, 4)
    assert balance(world, at="2999-01-01T00:00:00Z") == balance(world, at=balance(world)["position"])


def test_a_denied_debit_does_not_hide_what_was_before_it(world: World) -> None:
    """At the position of a denied debit the balance is the one that it was denied for."""
    world.deposit(10)
    denied = world.debit(11)

    assert balance(world, at=position(denied))["balance"] == 10


def test_a_wallet_that_was_not_open_then(world: World) -> None:
    """404 with a code of its own, for a balance and for a statement that ends before the opening."""
    path = f"/wallets/{world.wallet}"
    opened = world.client.get(path).json()["created_at"]

    assert problem(world, f"{path}/balance", at=0) == (404, "wallet_not_open_then")
    assert problem(world, f"{path}/balance", at=before(opened)) == (404, "wallet_not_open_then")
    assert problem(world, f"{path}/balance", at="0001-01-01T00:00:00Z") == (404, "wallet_not_open_then")
    assert problem(world, f"{path}/statement", to=opened) == (404, "wallet_not_open_then")
    assert balance(world, at=opened)["balance"] == 0


def test_a_position_that_the_log_does_not_have(world: World) -> None:
    """412, as for Ledger-Min-Position; a statement may end right after the newest event, and not later."""
    path, size = f"/wallets/{world.wallet}", 10**9
    newest = balance(world)["position"]

    for wrong in (f"{path}/balance?at={size}", f"{path}/statement?to={size}", f"{path}/statement?from={size}"):
        assert problem(world, wrong) == (412, "position_not_reached")
    assert statement(world, to=newest + 1)["to"] == newest + 1


@pytest.mark.parametrize(
    "wrong", ["", "x", "-1", "1.5", "2030-01-31", "2030-01-31T12:00:00", "9" * 5000, "٣", str(2**63)]
)
def test_moments_that_are_none(world: World, wrong: str) -> None:
    """400 names the parameter."""
    path = f"/wallets/{world.wallet}"
    for query in (f"{path}/balance", "at"), (f"{path}/statement", "from"), (f"{path}/statement", "to"):
        answer = world.client.get(query[0], params={query[1]: wrong})
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(f"The value of '{query[1]}' must be a position")


@pytest.mark.parametrize("wrong", ["x", "-1", "9" * 5000, str(2**63)])
def test_a_position_to_read_at_that_is_none(world: World, wrong: str) -> None:
    """400, however long it is."""
    answer = world.client.get(f"/wallets/{world.wallet}", headers={"Ledger-Min-Position": wrong, **FULL})

    assert (answer.status_code, answer.json()["code"]) == (400, "invalid_position")


def test_wallets_and_forms_that_nobody_has(world: World) -> None:
    """An unknown wallet is 404, an unknown form 400, a period that ends before it begins too."""
    for path in ("balance", "statement"):
        assert problem(world, f"/wallets/{new_id()}/{path}") == (404, "unknown_wallet")
        assert problem(world, f"/wallets/x/{path}") == (404, "unknown_wallet")
    paid = position(world.deposit(1))
    assert problem(world, f"/wallets/{world.wallet}/statement", format="pdf") == (400, "invalid_value")
    assert problem(world, f"/wallets/{world.wallet}/statement", to=paid, **{"from": paid + 1}) == (400, "invalid_value")
    assert problem(world, f"/wallets/{world.wallet}/statement", limit=0) == (400, "invalid_value")


def test_a_statement_says_what_moved_the_balance(world: World) -> None:
    """Lines oldest first, signed, with the balance after each; what was denied or only held is counted, not shown."""
    paid_in, paid = world.deposit("10.25"), world.debit(3)
    world.debit(100)
    world.post(f"/businesses/wallets/{world.till}/holds", customer_wallet_id=world.wallet, amount=2)
    shown = statement(world)

    assert {key: value for key, value in shown.items() if key not in {"lines", "from", "to"}} == {
        "wallet_id": world.wallet, "currency": "EUR", "opening_balance": 0, "closing_balance": 7.25,
        "total_in": 10.25, "total_out": 3, "unmoved": 2,
    }  # fmt: skip
    assert shown["lines"] == [
        {
            "position": position(paid_in), "created_at": time_of(world, paid_in), "id": paid_in.json()["id"],
            "kind": "deposit", "status": "accepted", "description": "Apertura cuenta", "amount": 10.25,
            "balance": 10.25, "counterparty_wallet_id": None,
        },
        {
            "position": position(paid), "created_at": time_of(world, paid), "id": paid.json()["id"],
            "kind": "debit", "status": "accepted", "description": "Cobro tele", "amount": -3,
            "balance": 7.25, "counterparty_wallet_id": world.till,
        },
    ]  # fmt: skip


def test_periods_are_from_inclusive_to_exclusive(world: World) -> None:
    """A transaction at the very beginning is in, one at the very end is not: neighbouring periods share nothing."""
    answers = [world.deposit(1) for _ in range(3)]
    middle, last = (time_of(world, answer) for answer in answers[1:])

    for start, end in ((middle, last), (position(answers[1]), position(answers[2]))):
        shown = statement(world, to=end, **{"from": start})
        assert [line["id"] for line in shown["lines"]] == [answers[1].json()["id"]]
        assert (shown["opening_balance"], shown["closing_balance"]) == (1, 2)
        earlier, later = statement(world, to=start), statement(world, **{"from": end})
        assert [len(earlier["lines"]), len(later["lines"])] == [1, 1]
        assert (earlier["closing_balance"], later["opening_balance"]) == (1, 2)


def test_pages_of_a_statement_add_up_and_do_not_grow(world: World) -> None:
    """Following `next`, each page opens with what the one before closed with; what comes later is not in it."""
    ids = [world.deposit(1).json()["id"] for _ in range(7)]
    seen: list[str] = []
    closing = 0
    for answer in walk(world, f"/wallets/{world.wallet}/statement?limit=3"):
        page = answer.json()
        assert page["opening_balance"] == closing
        closing = page["closing_balance"]
        seen += [line["id"] for line in page["lines"]]
        world.deposit(1)

    assert (seen, closing) == (ids, 7)


def test_the_form_is_the_one_that_is_liked_best(world: World) -> None:
    """`format` decides, else Accept by its weights; what we do not have is answered in JSON."""
    path = f"/wallets/{world.wallet}/statement"
    browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
    for accept, expected in (
        ("*/*", "application/json"), ("text/csv", "text/csv"), (browser, "text/html"),
        ("image/png", "application/json"),
        ("text/csv;q=0.5, text/html;q=0.7", "text/html"), ("text/*, application/json", "application/json"),
        ("text/*;q=0.9, text/csv;q=0.1", "text/html"), ("", "application/json"), ("text/csv;q=x", "text/csv"),
        ("application/problem+json", "application/json"), ("*/*, application/json;q=0", "text/csv"),
    ):  # fmt: skip
        answer = world.client.get(path, headers={"accept": accept})
        assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, expected), accept
        assert answer.headers["vary"] == "accept"
    for name, expected in (("json", "application/json"), ("csv", "text/csv"), ("html", "text/html")):
        answer = world.client.get(path, params={"format": name}, headers={"accept": "text/html"})
        assert answer.headers["content-type"].partition(";")[0] == expected


def test_the_csv_reads_back(world: World) -> None:
    """Whatever is in a description, the rows read back as they are in JSON, with balances before and after."""
    world.deposit(5)
    world.debit(2, NASTY)
    answer = world.client.get(f"/wallets/{world.wallet}/statement", params={"format": "csv"})
    rows = list(csv.DictReader(StringIO(answer.text, newline="")))
    lines = statement(world)["lines"]

    assert [(row["kind"], row["amount"], row["balance"]) for row in rows] == [
        ("opening_balance", "", "0"), ("deposit", "5", "5"), ("debit", "-2", "3"), ("closing_balance", "", "3"),
        ("total_in", "5", ""), ("total_out", "2", ""),
    ]  # fmt: skip
    for row, line in zip((row for row in rows if row["id"]), lines, strict=True):
        assert {key: value for key, value in row.items() if key not in {"amount", "balance"}} == {
            key: str("" if value is None else value) for key, value in line.items() if key not in {"amount", "balance"}
        }
    assert answer.text.count("\r\n") == answer.text.count("\n")
    assert answer.headers["content-disposition"] == f'attachment; filename="statement-{world.wallet}.csv"'


@pytest.mark.parametrize(
    "formula",
    [
        "=1",
        "+1",
        "-1",
        "@SUM",
        "\t=1",
        "\r=1",
        "\n=1",
        " =1",
        "\u00a0@x",
        "\uff1d1",
        "\uff0b1",
        "\uff0d1",
        "\uff201",
        "'=1",
    ],
)
def test_no_cell_is_a_formula(world: World, formula: str) -> None:
    """A description that a spreadsheet would take for a formula begins with an apostrophe; one less gives it back."""
    world.deposit(5)
    world.debit(1, formula)
    answer = world.client.get(f"/wallets/{world.wallet}/statement", params={"format": "csv"})
    (cell,) = [
        row["description"] for row in csv.DictReader(StringIO(answer.text, newline="")) if row["kind"] == "debit"
    ]

    assert cell == f"'{formula}"
    assert plain_cell("5 = 2 + 3") == "5 = 2 + 3"


class _Page(HTMLParser):
    """Collects the tags, attributes and texts of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_to_print_runs_and_loads_nothing(world: World) -> None:
    """What a client wrote is text and nothing else, and the browser is told to run and load nothing."""
    world.deposit(5)
    world.debit(2, NASTY)
    answer = world.client.get(f"/wallets/{world.wallet}/statement", headers={"accept": "text/html"})
    page = _Page(answer.text)

    assert "script" not in page.tags
    assert page.attributes <= {"lang", "charset", "name", "content", "class", "scope", "colspan"}
    assert NASTY.replace("\r\n", "\n") in page.text.replace("\r\n", "\n")
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert re.search(r"@media print", answer.text)
    assert "url(" not in answer.text


def test_too_much_for_one_document_is_said_and_comes_in_pages(tmp_path: Any) -> None:
    """A document is whole or refused, never cut; a page that has read enough is short and goes on."""
    with Service(tmp_path / "ledger.db", MONEDERO_READ_LIMIT_ITEMS="4") as service, service.client() as client:
        world = World(client)
        for _ in range(4):
            world.deposit(1)
        path = f"/wallets/{world.wallet}/statement"
        fits = [client.get(path, params={"format": each}).status_code for each in ("csv", "html")]
        for _ in range(5):
            world.debit(1000)
        world.debit(1)
        refused = [problem(world, path, format=each) for each in ("csv", "html")]
        pages = [answer.json() for answer in walk(world, path)]
        found = [
            answer.json() for answer in walk(world, f"/customers/wallets/{world.wallet}/transactions?kind=deposit")
        ]
        ours = [answer.json() for answer in walk(world, f"/customers/{world.customer}/transactions?kind=deposit")]

    assert fits == [200, 200]
    assert refused == [(400, "statement_too_long")] * 2
    assert [(len(page["lines"]), page["unmoved"]) for page in pages] == [(4, 0), (0, 4), (1, 1)]
    assert [len(page["transactions"]) for page in found] == [0, 2, 2]
    assert sum(len(wallet["transactions"]) for page in ours for wallet in page["wallets"]) == 4


def test_filters_choose_by_kind_status_and_time(world: World) -> None:
    """Each filter of each listing, alone and together; since is included, until is not."""
    paid_in, paid, denied = world.deposit(10), world.debit(3), world.debit(300)
    held = world.created(f"/businesses/wallets/{world.till}/holds", customer_wallet_id=world.wallet, amount=1)
    mine, theirs = f"/customers/wallets/{world.wallet}/transactions", f"/businesses/wallets/{world.till}/transactions"
    debit, deposit = paid.json()["id"], paid_in.json()["id"]
    refused = denied.headers["location"].rpartition("/")[2]
    times = {"since": time_of(world, paid)}
    for query, expected in (
        ({"kind": "debit"}, [refused, debit]), ({"status": "denied"}, [refused]), ({"kind": "hold"}, [held]),
        ({"kind": "debit", "status": "accepted"}, [debit]), ({"kind": "refund"}, []), ({"status": "placed"}, [held]),
        (times, [held, refused, debit]), ({**times, "kind": "debit"}, [refused, debit]),
        ({"until": times["since"]}, [deposit]), ({**times, "until": times["since"]}, []),
    ):  # fmt: skip
        listed = world.client.get(mine, params=query)
        assert [each["id"] for each in listed.json()["transactions"]] == expected, query
        business = world.client.get(theirs, params=query).json()["transactions"]
        assert [each["id"] for each in business] == [each for each in expected if each != deposit], query
        history = world.client.get(f"/customers/{world.customer}/transactions", params=query).json()["wallets"]
        assert [each["id"] for wallet in history for each in wallet["transactions"]] == expected, query
        assert [wallet["id"] for wallet in history] == [world.wallet] * bool(expected)


def test_a_filtered_walk_meets_each_match_once_while_writes_go_on(world: World) -> None:
    """Following `next` keeps the filter; what is recorded meanwhile changes nothing on the pages to come."""
    for _ in range(5):
        world.deposit(1)
        world.debit("0.5")
    since = time_of(world, world.deposit(7))
    for path in (f"/customers/wallets/{world.wallet}", f"/customers/{world.customer}"):
        seen: list[str] = []
        for answer in walk(world, f"{path}/transactions?kind=deposit&status=accepted&until={since}&limit=2"):
            pages = answer.json().get("wallets", [answer.json()])
            seen += [each["id"] for page in pages for each in page["transactions"]]
            world.deposit(1)

        assert len(seen) == len(set(seen)) == 5


def test_a_cursor_belongs_to_the_filter(world: World) -> None:
    """A cursor of a filtered listing is refused by another filter and by none; an instant may be written otherwise."""
    for _ in range(3):
        world.deposit(1)
    path, since = f"/customers/wallets/{world.wallet}/transactions", "2020-01-31T12:00:00Z"
    following = world.client.get(path, params={"kind": "deposit", "since": since, "limit": 1}).json()["next"]
    cursor = httpx.URL(following).params["cursor"]

    for query in ({}, {"kind": "deposit"}, {"kind": "debit", "since": since}, {"since": since}):
        assert problem(world, path, cursor=cursor, **query) == (400, "invalid_cursor")
    same = {"kind": "deposit", "since": "2020-01-31T13:00:00+01:00", "cursor": cursor}
    assert len(world.client.get(path, params=same).json()["transactions"]) == 2


@pytest.mark.parametrize(
    ("name", "wrong"),
    [("kind", "x"), ("kind", ""), ("status", "Denied"), ("since", "42"), ("until", "yesterday"), ("until", "")],
)
def test_filters_that_are_none(world: World, name: str, wrong: str) -> None:
    """400 names the parameter, on every listing of transactions."""
    for path in (f"/customers/wallets/{world.wallet}", f"/businesses/wallets/{world.till}",
                 f"/customers/{world.customer}"):  # fmt: skip
        answer = world.client.get(f"{path}/transactions", params={name: wrong})
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith(f"The value of '{name}' must be ")


def test_a_walk_through_wallets_that_change_meets_each_once(world: World) -> None:
    """A wallet that moves to the front between two pages is neither missed nor met twice; a new one is not in it."""
    wallets = [world.wallet, *(world.created("/customers/wallets", customer_id=world.customer) for _ in range(5))]
    seen: list[str] = []
    for number, answer in enumerate(walk(world, f"/customers/{world.customer}/wallets?limit=2")):
        seen += [each["id"] for each in answer.json()["wallets"]]
        for wallet in (wallets[0], wallets[number], wallets[-1]):
            world.post(f"/customers/wallets/{wallet}/deposit", amount=1)
        world.created("/customers/wallets", customer_id=world.customer)

    assert seen == wallets[::-1]


def test_a_transfer_between_two_pages(world: World) -> None:
    """Two wallets that one transfer changed are on both sides of a page's end, and so is the transfer itself."""
    other = world.created("/customers/wallets", customer_id=world.customer)
    world.deposit(5)
    moved = world.created(f"/wallets/{world.wallet}/transfers", wallet_id=other, amount=1)
    wallets = [each["id"] for answer in walk(world, f"/customers/{world.customer}/wallets?limit=1")
               for each in answer.json()["wallets"]]  # fmt: skip
    history = [(wallet["id"], each["id"]) for answer in walk(world, f"/customers/{world.customer}/transactions?limit=1")
               for wallet in answer.json()["wallets"] for each in wallet["transactions"]]  # fmt: skip

    assert wallets == [other, world.wallet]
    assert sorted(wallet for wallet, transaction in history if transaction == moved) == sorted(wallets)
    assert len(history) == 3


@pytest.mark.parametrize("place", [(0, 0), (2**63 - 1, 2**63 - 1), (2**64 - 1, 0)])
def test_a_cursor_of_wallets_that_somebody_made(world: World, place: tuple[int, int]) -> None:
    """A cursor that is whole but names no wallet of the customer is not one that the listing gave."""
    made = Page(f"/customers/{world.customer}/wallets", None, 10).next(*place)

    assert problem(world, made) == (400, "invalid_cursor")
