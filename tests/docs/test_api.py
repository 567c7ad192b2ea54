import ast

from monedero.api.errors import REFUSALS
from monedero.api.routes import OPERATIONS
from monedero.ledger.errors import (
    DENIALS,
    BalanceLimit,
    BatchRefused,
    BusinessHasWallet,
    CaptureTooLarge,
    CurrencyMismatch,
    EmailTaken,
    ExpiryNotAhead,
    HoldClosed,
    HoldNotDue,
    KeyReused,
    MoneyLeft,
    NotOneCustomer,
    NotRefundable,
    RefundTooLarge,
    Refusal,
    SelfTransfer,
    UnknownHold,
    UnknownOwner,
    UnknownTransaction,
    UnknownWallet,
    VersionMismatch,
)
from monedero.ledger.ids import HoldId, OwnerId, TransactionId, WalletId
from monedero.ledger.money import ZERO
from monedero.ledger.profiles import OwnerKind
from tests.docs import pages

PAGE = pages.ROOT / "docs/reference/api.md"
SOURCES = sorted((pages.ROOT / "src/monedero/api").glob("*.py"))
EVERY_REFUSAL: tuple[Refusal, ...] = (
    UnknownOwner(OwnerKind.CUSTOMER, OwnerId("")),
    UnknownOwner(OwnerKind.BUSINESS, OwnerId("")),
    UnknownWallet(WalletId("")),
    UnknownWallet(WalletId(""), "customer wallet"),
    UnknownTransaction(TransactionId("")),
    EmailTaken(),
    MoneyLeft(OwnerKind.CUSTOMER),
    BusinessHasWallet(),
    CurrencyMismatch("EUR", "USD"),
    BalanceLimit(),
    UnknownHold(HoldId(TransactionId(""))),
    NotRefundable(TransactionId("")),
    RefundTooLarge(None, ZERO),
    CaptureTooLarge(ZERO, ZERO),
    HoldClosed("captured", 0),
    HoldClosed("voided", 0),
    HoldClosed("expired", 0),
    ExpiryNotAhead(),
    HoldNotDue(),
    SelfTransfer(),
    NotOneCustomer(),
    VersionMismatch(1),
    KeyReused(),
    BatchRefused(0, "", ""),
)


def test_the_table_of_operations_is_complete_and_right() -> None:
    """Each operation has one row, in the order of the route table, with its status and name."""
    expected = [[f"`{each.method} {each.path}`", str(each.status), each.name] for each in OPERATIONS]

    rows = pages.table(PAGE, "operation")

    assert rows == expected


def test_the_table_of_problem_codes_is_complete() -> None:
    """Each code that the program can answer has one row, and there is no other."""
    assert {type(refusal) for refusal in EVERY_REFUSAL} == set(REFUSALS)
    refused = {refusal.code for refusal in EVERY_REFUSAL}
    raised = {code for _, code in problems()}

    rows = [cells[0].strip("`") for cells in pages.table(PAGE, "code")]

    assert len(rows) == len(set(rows))
    assert set(rows) == refused | raised | set(DENIALS)


def test_the_table_of_problem_codes_gives_the_statuses_that_are_answered() -> None:
    """The status in a row is the one that comes with that code."""
    statuses = {code: str(status) for status, code in problems() if status is not None}
    statuses |= {refusal.code: str(REFUSALS[type(refusal)]) for refusal in EVERY_REFUSAL}
    statuses |= dict.fromkeys(DENIALS, "409")

    rows = {code.strip("`"): status for code, status, *_ in pages.table(PAGE, "code")}

    assert {code: rows[code] for code in statuses} == statuses


def problems() -> set[tuple[int | None, str]]:
    """Return each code that the API's source gives to a Problem, with its status where that is written there too."""
    found: set[tuple[int | None, str]] = set()
    for source in SOURCES:
        for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Problem":
                status, _, code, *_ = node.args
                literal = status.value if isinstance(status, ast.Constant) else None
                assert literal is None or isinstance(literal, int)
                choices = (code.body, code.orelse) if isinstance(code, ast.IfExp) else (code,)
                found |= {
                    (literal, each.value)
                    for each in choices
                    if isinstance(each, ast.Constant) and isinstance(each.value, str)
                }
    return found
