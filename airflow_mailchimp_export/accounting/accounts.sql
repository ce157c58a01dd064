-- The account of a run: what was planned beside what Mailchimp answered, and the ledger that follows from it.

-- name: macros
CREATE MACRO masked(address) AS left(address, 1) || '***@' || left(split_part(address, '@', 2), 1) || '***';

-- name: no_ledger
CREATE TABLE ledger (
    subscriber_hash VARCHAR, email VARCHAR, profile_id VARCHAR, state VARCHAR, status VARCHAR,
    fingerprint UBIGINT, tags VARCHAR[], reason VARCHAR, changed_at TIMESTAMPTZ, run VARCHAR
);

-- name: ledger
CREATE VIEW ledger AS SELECT * FROM read_parquet({path});

-- name: answers
-- A person named twice is counted by the worse of the two answers.
CREATE TABLE answers AS
SELECT normal_address(email) AS email, chunk,
    unnest(arg_max({{effect: effect, status: status, reason: reason, field: field, words: words}},
        CASE effect WHEN 'created' THEN 0 WHEN 'updated' THEN 1 ELSE 2 END))
FROM {answers} WHERE email <> '' GROUP BY 1, 2;

-- name: accounts
-- One row for each person sent, each tag lost and each profile set aside: what happened, and why.
CREATE TABLE accounts AS
SELECT
    plan.chunk, plan.change, plan.subscriber_hash, plan.email, plan.status, plan.profile_id, plan.fingerprint,
    plan.tags, plan.segments, plan.source, plan.leave, plan.new_email,
    CASE
        WHEN plan.effect IS NOT NULL THEN plan.effect
        WHEN $dry_run THEN CASE
            WHEN plan.change = 'leave' THEN 'removed'
            WHEN plan.change = 'rename' THEN 'renamed'
            WHEN plan.is_new THEN 'created'
            ELSE 'updated'
        END
        WHEN answers.email IS NULL THEN CASE plan.change
            WHEN 'leave' THEN 'removal_failed' WHEN 'rename' THEN 'rename_refused' ELSE 'unconfirmed'
        END
        WHEN answers.effect IN ('created', 'updated') AND answers.status NOT IN ('', 'subscribed', plan.status)
            THEN 'suppressed'
        ELSE answers.effect
    END AS effect,
    CASE
        WHEN plan.effect IS NOT NULL THEN plan.reason
        WHEN answers.email IS NULL THEN 'no_answer'
        WHEN answers.effect IN ('created', 'updated') AND answers.status NOT IN ('', 'subscribed', plan.status)
            THEN answers.status
        ELSE answers.reason
    END AS reason,
    coalesce(plan.field, answers.field, '') AS field,
    coalesce(answers.words, '') AS words
FROM read_parquet($plan) AS plan
LEFT JOIN answers ON plan.effect IS NULL AND answers.email = normal_address(plan.email)
    AND answers.chunk IS NOT DISTINCT FROM CASE plan.change WHEN 'leave' THEN plan.chunk WHEN 'rename' THEN -1 END;

-- name: drop_renamed
-- Who kept their membership under a new address did not leave under the old one.
DELETE FROM accounts WHERE change = 'leave' AND subscriber_hash IN (
    SELECT subscriber_hash FROM accounts WHERE change = 'rename' AND effect = 'renamed'
);

-- name: effects
-- A person may lose several tags; they are counted once, and as failed if one of them stayed.
SELECT effect, count(*) FROM accounts WHERE change IS DISTINCT FROM 'leave' GROUP BY effect
UNION ALL
SELECT effect, count(*) FROM (
    SELECT max(effect) FILTER (effect <> 'removed') AS failed, coalesce(failed, 'removed') AS effect
    FROM accounts WHERE change = 'leave' GROUP BY subscriber_hash
) GROUP BY effect;

-- name: reasons
SELECT reason, count(*) FROM accounts WHERE effect = $effect GROUP BY reason ORDER BY count(*) DESC, reason;

-- name: members
SELECT segment, count(*) FROM (
    SELECT unnest(segments) AS segment FROM accounts WHERE effect IN ('created', 'updated')
) GROUP BY segment;

-- name: joined
SELECT segment, count(*) FROM (
    SELECT unnest(accounts.segments) AS segment, accounts.tags AS tags,
        CASE WHEN ledger.state <> 'archived' THEN ledger.tags END AS known
    FROM accounts LEFT JOIN ledger USING (subscriber_hash) WHERE accounts.effect IN ('created', 'updated')
) JOIN (SELECT unnest($names) AS segment, unnest($tags) AS tag) USING (segment)
WHERE NOT list_contains(coalesce(known, []), tag) GROUP BY segment;

-- name: left
SELECT tag, count(*) FROM (
    SELECT unnest(CASE accounts.leave WHEN 'archive' THEN ledger.tags ELSE accounts.tags END) AS tag
    FROM accounts JOIN ledger USING (subscriber_hash) WHERE accounts.change = 'leave' AND effect = 'removed'
) GROUP BY tag;

-- name: examples
SELECT effect, list(address) FROM (
    SELECT effect, masked(email) AS address, row_number() OVER (PARTITION BY effect ORDER BY email) AS number
    FROM accounts WHERE email <> '' AND effect <> 'unchanged'
) WHERE number <= 3 GROUP BY effect ORDER BY effect;

-- name: rejects
SELECT segments, source, email, field, reason, words FROM accounts WHERE effect = 'rejected';

-- name: outcomes
COPY (SELECT * FROM accounts WHERE effect <> 'unchanged') TO {path} (FORMAT parquet, COMPRESSION zstd);

-- name: ledger_changes
SELECT count(*) > 0 FROM accounts LEFT JOIN ledger USING (subscriber_hash)
WHERE accounts.change IS NOT NULL OR (
    accounts.subscriber_hash <> '' AND (ledger.state, ledger.reason, ledger.fingerprint)
        IS DISTINCT FROM (accounts.effect, accounts.reason, accounts.fingerprint)
);

-- name: next_ledger
-- Only what was confirmed counts as done. Who got no answer may carry the tags all the same, so they are kept
-- in mind, without a fingerprint, which has the person sent again.
CREATE TABLE next_ledger AS
SELECT * FROM (
    SELECT
        coalesce(told.subscriber_hash, ledger.subscriber_hash) AS subscriber_hash,
        coalesce(told.email, ledger.email) AS email,
        coalesce(told.profile_id, ledger.profile_id) AS profile_id,
        CASE
            WHEN lost.archived THEN 'archived'
            WHEN told.effect IN ('created', 'updated') THEN 'member'
            WHEN ledger.state = 'archived' OR told.effect = 'unchanged' THEN ledger.state
            ELSE coalesce(told.effect, ledger.state)
        END AS state,
        CASE WHEN told.effect IN ('created', 'updated') OR ledger.status IS NULL THEN told.status ELSE ledger.status END
            AS status,
        CASE told.effect
            WHEN 'unconfirmed' THEN NULL
            ELSE coalesce(told.fingerprint, ledger.fingerprint)
        END AS fingerprint,
        list_sort(list_filter(
            list_distinct(list_concat(
                coalesce(ledger.tags, []),
                -- Who was renamed keeps their tags in Mailchimp; those of segments they left go with the next run.
                coalesce(moved.tags, []),
                CASE WHEN told.effect IN ('created', 'updated', 'unconfirmed') THEN told.tags ELSE [] END
            )),
            lambda tag: NOT list_contains(coalesce(lost.tags, []), tag)
        )) AS tags,
        CASE WHEN told.subscriber_hash IS NULL THEN ledger.reason ELSE coalesce(told.reason, '') END AS reason,
        CASE WHEN told.subscriber_hash IS NULL AND lost.subscriber_hash IS NULL THEN ledger.changed_at
            ELSE $now::TIMESTAMPTZ END AS changed_at,
        CASE WHEN told.subscriber_hash IS NULL AND lost.subscriber_hash IS NULL THEN ledger.run ELSE $run END AS run
    FROM ledger
    FULL JOIN (
        SELECT * FROM accounts WHERE (change = 'upsert' OR change IS NULL) AND subscriber_hash <> ''
    ) AS told ON told.subscriber_hash = ledger.subscriber_hash
    LEFT JOIN (
        SELECT accounts.new_email AS email, flatten(list(ledger.tags)) AS tags
        FROM accounts JOIN ledger USING (subscriber_hash)
        WHERE accounts.change = 'rename' AND accounts.effect = 'renamed' GROUP BY accounts.new_email
    ) AS moved ON moved.email = told.email
    LEFT JOIN (
        SELECT subscriber_hash, flatten(list(tags)) AS tags, bool_or(leave = 'archive') AS archived
        FROM accounts WHERE change = 'leave' AND effect = 'removed' GROUP BY subscriber_hash
    ) AS lost ON lost.subscriber_hash = ledger.subscriber_hash
    ANTI JOIN (
        SELECT subscriber_hash FROM accounts WHERE change = 'rename' AND effect = 'renamed'
    ) AS renamed ON renamed.subscriber_hash = ledger.subscriber_hash
)
WHERE NOT (len(tags) = 0 AND state IN ('member', 'unconfirmed'))
ORDER BY subscriber_hash;

-- name: write_ledger
COPY next_ledger TO {path} (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{key}: {mark}}});
