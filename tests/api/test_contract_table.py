"""What the documented examples leave open, row by row."""

import gzip
import json
from typing import Any

import httpx
import pytest

from monedero.sources import new_id
from tests.api.world import World

HUGE = "9" * 400


@pytest.fixture
def world(client: httpx.Client) -> World:
    """Return a customer and a business with their wallets, on the shared service."""
    return World(client)


def detail(answer: httpx.Response) -> str:
    """Return the sentence of an error, which has nothing else."""
    assert list(answer.json()) == ["detail"]
    return str(answer.json()["detail"])


def test_opening_wallets_answers_as_documented(world: World) -> None:
    """A customer's wallet is opened with 200, a business's with 201."""
    assert world.post("/customers/wallets", customer_id=world.customer).status_code == 200
    business = world.sign_up_business()
    assert world.post("/businesses/wallets", business_id=business).status_code == 201


def test_a_get_may_carry_a_body(world: World) -> None:
    """The body that the document shows on a GET is accepted and has no meaning."""
    for path in (f"/businesses/wallets/{world.till}", f"/businesses/wallets/{world.till}/transactions"):
        for content in (b'{"business_id": "x"}', b"{{{"):
            assert world.client.request("GET", path, content=content).status_code == 200


def test_a_trailing_slash_is_the_same_resource(world: World) -> None:
    """With a slash at its end, a path is served as without, no redirect."""
    for path in (
        f"/customers/wallets/{world.wallet}",
        f"/customers/{world.customer}/wallets",
        f"/wallets/{world.wallet}",
    ):
        plain, slashed = world.client.get(path), world.client.get(f"{path}/")
        assert (slashed.status_code, slashed.json()) == (200, plain.json())
    assert world.client.post("/customers/wallets/", json={"customer_id": world.customer}).status_code == 200


def test_a_uuid_in_capitals_is_the_same_id(world: World) -> None:
    """Ids are read without regard to case, in paths and bodies, and answered in lower case."""
    answer = world.client.get(f"/customers/wallets/{world.wallet.upper()}")
    assert answer.json()["id"] == world.wallet
    assert world.post("/customers/wallets", customer_id=world.customer.upper()).status_code == 200
    assert world.debit(1, wallet=world.wallet.upper()).status_code == 409


@pytest.mark.parametrize("bad", ["x", "1", "0190163d-8694-739b-aea5-966c26f8ad9", "{0}", "é", "a b", "0x1", "*" * 150])
def test_an_id_that_is_no_uuid_is_unknown(world: World, bad: str) -> None:
    """What is no UUID is answered like a UUID that nobody has, with the id as it was sent."""
    for path, noun in (
        (f"/customers/wallets/{bad}", "wallet"),
        (f"/customers/wallets/{bad}/transactions", "wallet"),
        (f"/businesses/wallets/{bad}", "wallet"),
        (f"/businesses/wallets/{bad}/transactions", "wallet"),
        (f"/customers/{bad}/wallets", "customer"),
        (f"/customers/{bad}/transactions", "customer"),
        (f"/customers/{bad}", "customer"),
        (f"/businesses/{bad}", "business"),
        (f"/wallets/{bad}", "wallet"),
        (f"/transactions/{bad}", "transaction"),
    ):
        answer = world.client.get(path)
        assert (answer.status_code, detail(answer)) == (404, f"There is no {noun} with id {bad}")


def test_unknown_things_are_404_with_their_name(world: World) -> None:
    """Whoever names a thing that does not exist is told which."""
    nobody = new_id()
    asked = {"amount": 1}
    for answer, sentence in (
        (world.post(f"/customers/wallets/{nobody}/deposit", **asked), f"There is no wallet with id {nobody}"),
        (world.debit(1, till=nobody), f"There is no wallet with id {nobody}"),
        (world.debit(1, wallet=nobody), f"There is no customer wallet with id {nobody}"),
        (world.debit(1, wallet="x"), "There is no customer wallet with id x"),
        (world.post("/customers/wallets", customer_id=nobody), f"There is no customer with id {nobody}"),
        (world.post("/customers/wallets", customer_id="x"), "There is no customer with id x"),
        (world.post("/businesses/wallets", business_id=nobody), f"There is no business with id {nobody}"),
    ):
        assert (answer.status_code, detail(answer)) == (404, sentence)


def test_a_wallet_of_the_other_kind_is_unknown(world: World) -> None:
    """A customer's wallet is no business's, and the reverse."""
    for answer in (
        world.client.get(f"/customers/wallets/{world.till}"),
        world.client.get(f"/customers/wallets/{world.till}/transactions"),
        world.client.get(f"/businesses/wallets/{world.wallet}"),
        world.client.get(f"/businesses/wallets/{world.wallet}/transactions"),
        world.post(f"/customers/wallets/{world.till}/deposit", amount=1),
        world.debit(1, till=world.wallet),
        world.debit(1, wallet=world.till),
        world.post("/customers/wallets", customer_id=world.business),
        world.post("/businesses/wallets", business_id=world.customer),
    ):
        assert answer.status_code == 404


def test_the_whole_balance_may_be_debited(world: World) -> None:
    """A debit of exactly the balance is accepted, whatever the sentence of the denial says."""
    world.deposit("100.25")
    assert world.debit("100.25").status_code == 201
    assert world.balance(world.wallet) == "0"
    assert world.balance(world.till) == "100.25"


def test_a_denied_debit_is_recorded(world: World) -> None:
    """A denied debit answers 409, says where it is recorded, and stands in both listings with its error."""
    world.deposit(10)
    answer = world.debit(11, description="Compra coche")
    assert (answer.status_code, detail(answer)) == (409, "The amount debited must be less than the existing balance")
    recorded = world.client.get(answer.headers["location"]).json()
    assert (recorded["status"], recorded["amount"], recorded["error"]) == ("denied", 11, detail(answer))
    assert recorded["position"] == int(answer.headers["ledger-position"])
    (mine, _), (theirs,) = world.listed(world.wallet), world.listed(world.till, "businesses")
    assert mine.pop("business_wallet_id") == world.till
    assert theirs.pop("customer_wallet_id") == world.wallet
    assert mine == theirs == {
        "amount": 11, "description": "Compra coche", "status": "denied", "error": detail(answer),
        "created_at": recorded["created_at"], "id": recorded["id"],
    }  # fmt: skip
    assert world.balance(world.wallet) == "10"


def test_what_a_listed_transaction_shows(world: World) -> None:
    """An accepted deposit has neither error nor other side; an accepted debit has the other side."""
    world.deposit(10)
    world.debit(4)
    paid, filled = world.listed(world.wallet)
    common = {"amount", "description", "status", "created_at", "id"}

    assert filled.keys() == common
    assert paid.keys() == common | {"business_wallet_id"}


@pytest.mark.parametrize(
    ("sent", "shown"),
    [("500", "500"), ("500.25", "500.25"), ('"500.25"', "500.25"), ('"500.2500"', "500.25"), ("0.0001", "0.0001"),
     ("1e2", "100"), ("1.5E+1", "15"), ('"1\\u0030"', "10"), ("123456789012345.6789", "123456789012345.6789"),
     ('"123456789012345.6789"', "123456789012345.6789")],
)  # fmt: skip
def test_amounts_that_are_accepted(world: World, sent: str, shown: str) -> None:
    """A JSON number or a decimal string is taken exactly and answered as the shortest JSON number."""
    answer = world.raw(f"/customers/wallets/{world.wallet}/deposit", f'{{"amount": {sent}}}')
    assert answer.status_code == 201
    assert answer.text.startswith(f'{{"amount":{shown},"description":null,"id":"')
    assert world.balance(world.wallet) == shown


@pytest.mark.parametrize("sent", ["0", "0.0", "-0", "-500", "-0.0001", '"0"', '"-1"', "-1e400", "0e1"])
def test_amounts_that_are_not_positive(world: World, sent: str) -> None:
    """Zero and below: 400 with the documented sentence, for a deposit and a debit."""
    for answer in world.both(f'"amount": {sent}'):
        assert (answer.status_code, detail(answer)) == (400, "The entered amount must be a positive number")


@pytest.mark.parametrize(
    "sent",
    ["true", "false", "null", "[]", "{}", '""', '"abc"', '"1,5"', '" 1"', '"1 "', '"1\\n"', '"1_000"', '"+1"', '"NaN"',
     '"Infinity"', '"٣"', "1e400", '"1e400"', "0.00001", "1.23456", '"1.00000"', "1000000000000000", HUGE, f'"{HUGE}"',
     f"0.{HUGE}", "[1]", '{"amount": 1}', '"0x10"', '"1.5.5"'],
)  # fmt: skip
def test_amounts_that_are_refused(world: World, sent: str) -> None:
    """Whatever is no amount within the bounds: 400, the sentence names the key, and nothing is rounded or recorded."""
    for answer in world.both(f'"amount": {sent}'):
        assert answer.status_code == 400
        assert "'amount'" in detail(answer)
    assert world.listed(world.wallet) == []


@pytest.mark.parametrize(
    "sent", ["NaN", "Infinity", "-Infinity", "01", "1.", ".5", "+1", "0x1", "1_000", "'1'", "1,", "٣"]
)
def test_amounts_that_are_no_json(world: World, sent: str) -> None:
    """What JSON does not know as a value makes the body malformed."""
    for answer in world.both(f'"amount": {sent}'):
        assert (answer.status_code, detail(answer)) == (400, "Malformed JSON in request body")


def test_a_balance_never_passes_64_bits(world: World) -> None:
    """A deposit past the largest balance is refused with a sentence, and the balance stays."""
    world.deposit("922337203685477.5807")
    refused = world.deposit("0.0001", status=409)
    assert detail(refused) == "No wallet can hold more than 922337203685477.5807"
    assert world.balance(world.wallet) == "922337203685477.5807"
    assert world.deposit("999999999999999.9999", status=409).status_code == 409


@pytest.mark.parametrize(
    "body",
    [
        "",
        "{",
        "nothing",
        '{"amount": 1',
        '{"amount": 1}}',
        "'x'",
        '{"a": "\\ud800"}',
        '{"a": "\n"}',
        "﻿{}",
        '{"a" 1}',
        '{"name": 5, x',
    ],
)
def test_a_body_that_is_no_json(world: World, body: str) -> None:
    """400 with the documented sentence."""
    answer = world.raw("/customers", body)
    assert (answer.status_code, detail(answer)) == (400, "Malformed JSON in request body")


def test_a_body_in_another_encoding_is_no_json(world: World) -> None:
    """Bytes that are no UTF-8 are malformed."""
    for body in (b'{"amount": "\xff"}', b'{"amount": "\xff", "customer_wallet_id": "x"}'):
        for path in (f"/customers/wallets/{world.wallet}/deposit", f"/businesses/wallets/{world.till}/debit"):
            answer = world.client.post(path, content=body, headers={"content-type": "application/json"})
            assert answer.status_code == 400
    for body in (b'{"name": "\xff"}', '{"name": "é"}'.encode("latin-1"), '{"name": "x"}'.encode("utf-16")):
        answer = world.client.post("/customers", content=body, headers={"content-type": "application/json"})
        assert (answer.status_code, detail(answer)) == (400, "Malformed JSON in request body")


@pytest.mark.parametrize("body", ["[]", "1", '"x"', "null", "true", "[{}]"])
def test_a_body_that_is_no_object(world: World, body: str) -> None:
    """400, and the sentence says what is expected."""
    answer = world.raw("/customers", body)
    assert (answer.status_code, detail(answer)) == (400, "The body must be a JSON object")


@pytest.mark.parametrize(
    ("path", "keys"),
    [("/customers", ["name", "last_name", "email"]), ("/businesses", ["name", "email"]),
     ("/customers/wallets", ["customer_id"]), ("/businesses/wallets", ["business_id"]),
     ("/customers/wallets/{wallet}/deposit", ["amount"]),
     ("/businesses/wallets/{till}/debit", ["customer_wallet_id", "amount"])],
)  # fmt: skip
def test_each_required_key_is_missed_by_name(world: World, path: str, keys: list[str]) -> None:
    """400 names the first key that is missing."""
    complete = {"name": "x", "last_name": "x", "email": "x@y.org", "customer_id": world.customer, "amount": 1,
                "business_id": world.business, "customer_wallet_id": world.wallet}  # fmt: skip
    for key in keys:
        body = {name: complete[name] for name in keys if name != key}
        answer = world.client.post(path.format(wallet=world.wallet, till=world.till), json=body)
        assert (answer.status_code, detail(answer)) == (400, f"There is no '{key}' key in the json of the request")


@pytest.mark.parametrize(
    ("key", "value"),
    [("name", 1), ("name", None), ("name", ""), ("name", "x" * 201), ("name", "a\0b"), ("name", ["x"]),
     ("last_name", {}), ("last_name", ""), ("email", "x"), ("email", "x@"), ("email", "@y"), ("email", "a b@y.org"),
     ("email", "a@y.org\n"), ("email", "a@b@c"), ("email", "x" * 250 + "@y.org"), ("email", 5), ("phone", 687137049),
     ("phone", "1" * 51), ("phone", "\0")],
)  # fmt: skip
def test_values_of_the_wrong_type_or_out_of_bounds(world: World, key: str, value: Any) -> None:
    """400, the sentence names the key and what is wrong with it, and nobody is signed up."""
    body = {"name": "Ada", "last_name": "Lovelace", "email": f"{new_id()}@x.org", "phone": None, key: value}
    answer = world.client.post("/customers", json=body)
    assert answer.status_code == 400
    assert f"'{key}'" in detail(answer)
    assert "`" not in detail(answer)


def test_descriptions(world: World) -> None:
    """A description is optional, is answered as sent, and may have 1,000 characters of any language."""
    path = f"/customers/wallets/{world.wallet}/deposit"
    for text in ("", "ñandú 🦤", "x" * 1000, '"\\/\b', "<script>", "a\nb\tc"):
        assert world.post(path, amount=1, description=text).json()["description"] == text
        assert world.listed(world.wallet)[0]["description"] == text
    assert world.post(path, amount=1).json()["description"] is None
    assert world.post(path, amount=1, description=None).json()["description"] is None
    wrong: Any
    for wrong in ("x" * 1001, 5, [], "\0"):
        assert "'description'" in detail(world.post(path, amount=1, description=wrong))


def test_phone_is_optional(world: World) -> None:
    """Who gives no phone is shown with none."""
    answer = world.post("/customers", name="A", last_name="B", email=f"{new_id()}@x.org")
    assert (answer.status_code, answer.json()["phone"]) == (201, None)


@pytest.mark.parametrize("email", ["o'hara+tag@sub.example.co.uk", "josé@ejemplo.es", "a@localhost", "A.B@X.ORG"])
def test_emails_are_checked_for_shape_only(world: World, email: str) -> None:
    """An address of any language and domain is taken, and answered as it was written."""
    local, _, domain = email.partition("@")
    written = f"{local}{new_id()[-12:]}@{domain}"
    answer = world.post("/customers", name="A", last_name="B", email=written)
    assert (answer.status_code, answer.json()["email"]) == (201, written)


def test_emails_are_unique_ignoring_case(world: World) -> None:
    """An e-mail signs up one customer and one business, in whatever case it is written."""
    email = f"{new_id()}@X.org"
    assert world.post("/customers", name="A", last_name="B", email=email).status_code == 201
    again = world.post("/customers", name="A", last_name="B", email=email.upper())
    assert (again.status_code, detail(again)) == (409, "That email has already been used to create another account")
    assert world.post("/businesses", name="A", email=email.lower()).status_code == 201
    assert world.post("/businesses", name="A", email=email).status_code == 409


def test_unknown_keys_are_ignored(world: World) -> None:
    """Keys that the document does not know change nothing, however deep."""
    assert (
        world.post(f"/customers/wallets/{world.wallet}/deposit", amount=1, x={"y": [1, {"z": None}]}).status_code == 201
    )


def test_the_last_of_a_repeated_key_counts(world: World) -> None:
    """JSON with a key twice is read as its last value."""
    answer = world.raw(f"/customers/wallets/{world.wallet}/deposit", '{"amount": 1, "amount": 2}')
    assert answer.json()["amount"] == 2


def test_wrong_method(world: World) -> None:
    """405 names what is allowed."""
    for method, path, allowed in (
        ("GET", "/customers", "POST"),
        ("DELETE", f"/wallets/{world.wallet}", "GET, HEAD"),
        ("PUT", f"/customers/wallets/{world.wallet}", "GET, HEAD"),
        ("GET", "/customers/wallets", "POST"),
        ("OPTIONS", f"/businesses/wallets/{world.till}/debit", "POST"),
    ):
        answer = world.client.request(method, path)
        assert (answer.status_code, answer.headers["allow"]) == (405, allowed)
        assert path.split("/")[1] not in detail(answer)


@pytest.mark.parametrize(
    "path",
    ["/x", "/customers/a/b", "//customers", "/customers//wallets", "/docs/x", "/wallets", "/customers/%2e%2e/x/y"],
)
def test_unknown_path(world: World, path: str) -> None:
    """404, in JSON as everywhere."""
    answer = world.client.get(world.client.base_url.copy_with(raw_path=path.encode()))
    assert answer.status_code == 404
    assert detail(answer)


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonp", "multipart/form-data", "x"]
)
def test_wrong_content_type(world: World, kind: str) -> None:
    """415 says what is expected."""
    answer = world.client.post("/customers", content=b"{}", headers={"content-type": kind})
    assert (answer.status_code, "application/json" in detail(answer)) == (415, True)


def test_a_compressed_body(world: World) -> None:
    """415 tells it from malformed JSON."""
    headers = {"content-type": "application/json", "content-encoding": "gzip", "accept": "application/problem+json"}
    answer = world.client.post("/customers", content=gzip.compress(b"{}"), headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (415, "encoded_body")
    answer = world.client.post("/customers", content=b"{}", headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "missing_key")


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=utf-8", "application/vnd.api+json"])
def test_content_types_that_are_json(world: World, kind: str) -> None:
    """JSON under any of its names is read."""
    answer = world.client.post("/customers", content=b"{}", headers={"content-type": kind})
    assert answer.status_code == 400


def test_a_body_over_64_kib(world: World) -> None:
    """413, with its length announced or in chunks; up to the limit it is read."""
    path = f"/customers/wallets/{world.wallet}/deposit"
    fits = json.dumps({"amount": 1, "x": "y" * (65_536 - 22)}).encode()
    assert len(fits) == 65_536
    headers = {"content-type": "application/json"}
    assert world.client.post(path, content=fits, headers=headers).status_code == 201
    for content in (fits + b" ", iter([fits, b" "])):
        answer = world.client.post(path, content=content, headers=headers)
        assert (answer.status_code, detail(answer)) == (413, "The body is larger than 65536 bytes")
    assert world.client.post(path, content=iter([fits[:9], fits[9:]]), headers=headers).status_code == 201


def test_nesting_beyond_the_limit(world: World) -> None:
    """400 for JSON that nests too deep; brackets inside strings nest nothing."""
    path = f"/customers/wallets/{world.wallet}/deposit"
    for depth, status in ((31, 201), (32, 400), (20_000, 400)):
        assert world.raw(path, f'{{"amount": 1, "x": {"[" * depth}{"]" * depth}}}').status_code == status
    assert world.raw(path, f'{{"amount": 1, "x": "{"[" * 500}", "y": "\\"{"{" * 500}"}}').status_code == 201


def test_problem_documents_for_who_accepts_them(world: World) -> None:
    """A client that accepts problem documents gets the whole of RFC 9457; its `detail` is the same."""
    accept = {"accept": "application/problem+json"}
    answer = world.client.post("/customers", json={"name": 1}, headers=accept)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "detail": "The value of 'name' must be a string, not a number",
        "type": "urn:monedero:problem:invalid_value",
        "title": "Bad Request",
        "status": 400,
        "instance": "/customers",
        "code": "invalid_value",
        "errors": [{"detail": "The value of 'name' must be a string, not a number", "pointer": "/name"}],
    }
    denied = world.debit(1, headers=accept).json()
    assert (denied["code"], denied["status"]) == ("insufficient_funds", 409)


def test_what_signing_up_answered_is_shown_again(world: World) -> None:
    """The addresses in Location show what the writes answered."""
    for path, body in (
        ("/customers", {"name": "A", "last_name": "B", "email": f"{new_id()}@x.org", "phone": "1"}),
        ("/businesses", {"name": "A", "email": f"{new_id()}@x.org", "phone": "1"}),
    ):
        answer = world.client.post(path, json=body)
        assert world.client.get(answer.headers["location"]).json() == answer.json()
        assert int(answer.headers["ledger-position"]) >= 0


def test_every_write_says_where_and_at_which_position(world: World) -> None:
    """Positions rise with each write, and Location leads to what was written."""
    writes = [
        world.post("/customers/wallets", customer_id=world.customer),
        world.post(f"/customers/wallets/{world.wallet}/deposit", amount=5),
        world.debit(2),
        world.debit(200),
    ]
    positions = [int(answer.headers["ledger-position"]) for answer in writes]
    assert positions == sorted(set(positions))
    for answer in writes:
        assert world.client.get(answer.headers["location"]).status_code == 200


def test_a_transaction_by_its_id(world: World) -> None:
    """A deposit has no business's wallet; a debit has both; what is no transaction is unknown."""
    filled, paid = world.deposit(5), world.debit("2.5")
    deposit = world.client.get(filled.headers["location"]).json()
    debit = world.client.get(paid.headers["location"]).json()

    assert (deposit["kind"], deposit["business_wallet_id"], deposit["error"]) == ("deposit", None, None)
    assert debit == {
        "id": paid.json()["id"], "kind": "debit", "status": "accepted", "amount": 2.5, "description": "Cobro tele",
        "created_at": debit["created_at"], "customer_wallet_id": world.wallet, "business_wallet_id": world.till,
        "error": None, "position": int(paid.headers["ledger-position"]),
        "payer": {"wallet_id": world.wallet, "balance": 2.5, "held": 0, "version": 2},
        "payee": {"wallet_id": world.till, "balance": 2.5, "held": 0, "version": 1},
        "refunded": 0, "refundable": 2.5,
    }  # fmt: skip
    assert world.client.get(f"/transactions/{world.wallet}").status_code == 404


def test_a_wallet_by_its_id(world: World) -> None:
    """Either kind of wallet is shown with everything; its version counts what moved its money."""
    world.deposit(5)
    world.debit(200)
    shown = world.client.get(f"/wallets/{world.wallet}").json()

    assert shown == {
        "id": world.wallet, "kind": "customer", "owner": world.customer, "balance": 5, "held": 0, "available": 5,
        "currency": "EUR", "version": 1,
        "created_at": shown["created_at"], "modified_at": shown["modified_at"],
    }  # fmt: skip
    assert shown["created_at"] < shown["modified_at"]
    assert world.client.get(f"/wallets/{world.till}").json()["kind"] == "business"


def test_head_is_get_without_the_body(world: World) -> None:
    """HEAD answers what GET would, with its length and no body."""
    answer = world.client.head(f"/wallets/{world.wallet}")
    assert (answer.status_code, answer.content) == (200, b"")
    assert int(answer.headers["content-length"]) == len(world.client.get(f"/wallets/{world.wallet}").content)


def test_a_host_that_is_not_ours_is_refused(world: World) -> None:
    """A page on another name, pointed at this address, reaches nothing."""
    for host, status in (
        ("evil.example", 421), ("localhost.evil.example", 421), ("", 421), ("localhost", 200), ("LOCALHOST:1234", 200),
        ("[::1]:8000", 200), ("127.0.0.1", 200), ("evil.example:8000", 421),
    ):  # fmt: skip
        assert world.client.get(f"/wallets/{world.wallet}", headers={"host": host}).status_code == status
