import httpx
import pytest

from monedero.ledger.ids import canonical_id

HEADER = "x-request-id"


@pytest.mark.parametrize("given", ["7", "01a20416-28d8-7169-9f70-5ca70eb1da03", "Root=1-67891233-abc", "x" * 128])
def test_an_id_that_is_one_comes_back(client: httpx.Client, given: str) -> None:
    """A request's own id is the answer's."""
    answer = client.get("/wallets/nobody", headers={HEADER: given})

    assert answer.headers[HEADER] == given


@pytest.mark.parametrize("given", ["", "x" * 129, "two words", "line\\n", "a\tb", '"', "é", "<script>"])
def test_an_id_that_is_none_is_replaced(client: httpx.Client, given: str) -> None:
    """One that is empty, too long or of odd characters is not repeated: the answer has an id of ours."""
    answer = client.get("/openapi.json", headers={HEADER.encode(): given.encode()})

    assert answer.headers.get_list(HEADER) != [given]
    assert canonical_id(answer.headers[HEADER])


@pytest.mark.parametrize("path", ["/openapi.json", "/nothing", "/customers", "/wallets/nobody"])
def test_every_answer_has_an_id(client: httpx.Client, path: str) -> None:
    """Each answer of each kind has one id, and no two the same."""
    answers = [client.get(path) for _ in range(3)]

    assert all(len(answer.headers.get_list(HEADER)) == 1 for answer in answers)
    assert len({answer.headers[HEADER] for answer in answers}) == 3
