-- A ledger inside PostgreSQL, as small as it can be and still keep both sides, balances and a history to list.
CREATE TABLE accounts (
    id      bigint PRIMARY KEY,
    balance bigint NOT NULL CHECK (balance >= 0),
    version bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE entries (
    id          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    account     bigint NOT NULL REFERENCES accounts,
    transfer    uuid NOT NULL,
    amount      bigint NOT NULL,
    balance     bigint NOT NULL,
    version     bigint NOT NULL,
    description text,
    at          timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX entries_by_account ON entries (account, id);

CREATE FUNCTION debit(payer_id bigint, payee_id bigint, debited bigint, about text) RETURNS uuid
LANGUAGE plpgsql AS $$
DECLARE
    transfer_id uuid := gen_random_uuid();
    payer accounts;
    payee accounts;
BEGIN
    -- In the order of ids, so that no two calls ever wait for each other.
    PERFORM FROM accounts WHERE id IN (payer_id, payee_id) ORDER BY id FOR UPDATE;
    SELECT * INTO STRICT payer FROM accounts WHERE id = payer_id;
    SELECT * INTO STRICT payee FROM accounts WHERE id = payee_id;
    IF payer.balance < debited THEN
        RAISE EXCEPTION 'The amount debited must be less than the existing balance';
    END IF;
    INSERT INTO entries (account, transfer, amount, balance, version, description) VALUES
        (payer_id, transfer_id, -debited, payer.balance - debited, payer.version + 1, about),
        (payee_id, transfer_id, debited, payee.balance + debited, payee.version + 1, about);
    UPDATE accounts SET balance = payer.balance - debited, version = payer.version + 1 WHERE id = payer_id;
    UPDATE accounts SET balance = payee.balance + debited, version = payee.version + 1 WHERE id = payee_id;
    RETURN transfer_id;
END
$$;
