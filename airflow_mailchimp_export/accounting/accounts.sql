-- The account of a run: what was planned beside what Mailchimp answered, and the ledger that follows from it.

-- name: macros
CREATE MACRO masked(address) AS left(address, 1) || '***@' || left(split_part(address, '@', 2), 1) || '***';

-- name: no_ledger
CREATE TABLE ledger (
    subscriber_hash VARCHAR, email VARCHAR, profile_id VARCHAR, state VARCHAR, status VARCHAR,
    fingerprint UBIGINT, tags VARCHAR[], reason VARCHAR, words VARCHAR, attempts INTEGER, created BOOLEAN,
    changed_at TIMESTAMPTZ, run VARCHAR
);

-- name: ledger
CREATE VIEW ledger AS SELECT * FROM read_parquet({path});

-- name: ledger_tags
SELECT DISTINCT unnest(tags) FROM ledger;

-- name: respelled_ledger
-- As in the plan: the spelling of this run counts.
CREATE TABLE respelled AS
SELECT * REPLACE (list_sort(list_distinct(list_transform(
    tags, lambda tag: coalesce(list_extract($spellings, list_position($tags, tag)), tag)
))) AS tags)
FROM ledger;

-- name: take_respelled_ledger
DROP VIEW ledger;
ALTER TABLE respelled RENAME TO ledger;

-- name: answers
-- How many there are DuckDB does not know, so they are joined to nothing before they are in a table: it would take them
-- for the smaller side, and keep them in memory.
CREATE TABLE answers AS
SELECT email, chunk, hash(email, chunk) AS place, effect, status, reason, field, words
FROM (SELECT * REPLACE (normal_address(email) AS email) FROM incoming WHERE email <> '')
WHERE list_contains($effects::VARCHAR[], effect);

-- name: named_twice
-- To group the answers of all people takes much memory, and hardly anybody is named twice.
CREATE TABLE named_twice AS SELECT place FROM answers GROUP BY place HAVING count(*) > 1;

-- name: worse_answers
-- A person named twice is counted by the worse of the two answers.
CREATE TABLE worse_answers AS
SELECT email, chunk, place, unnest(arg_max(
    {effect: effect, status: status, reason: reason, field: field, words: words}, rank
))
FROM answers SEMI JOIN named_twice USING (place) JOIN effect_rules USING (effect) GROUP BY email, chunk, place;

-- name: drop_better_answers
DELETE FROM answers WHERE place IN (FROM named_twice);

-- name: take_worse_answers
INSERT INTO answers FROM worse_answers;

-- name: outcomes
-- One row for each person sent, each tag removed and each profile set aside: what happened, and why. Who was taken
-- with another status than was sent, and would not be sent with it, said no. $begun is above the numbers of all chunks
-- that may have been sent.
CREATE TABLE outcomes AS
SELECT decided.* EXCLUDE (opted_out_as), effect_rules.delivered, effect_rules.state
FROM (
    SELECT
        plan.chunk, plan.change, plan.subscriber_hash, plan.email, plan.status, plan.profile_id, plan.fingerprint,
        plan.tags, plan.segments, plan.source, plan.leave AS removal_kind, plan.new_email,
        CASE WHEN plan.effect IS NULL AND taken.delivered AND answers.status <> plan.status
            AND NOT coalesce(list_contains(status_rules.sent_under, plan.status), answers.status = '')
            THEN answers.status
        END AS opted_out_as,
        CASE
            WHEN plan.effect IS NOT NULL THEN plan.effect
            WHEN $dry_run THEN CASE
                WHEN plan.change = 'leave' THEN 'removed'
                WHEN plan.change = 'rename' THEN 'renamed'
                WHEN plan.is_new THEN 'created'
                ELSE 'updated'
            END
            WHEN answers.email IS NULL THEN CASE
                WHEN $nothing_sent THEN 'not_sent'
                WHEN plan.change = 'leave' THEN 'removal_failed'
                ELSE 'unconfirmed'
            END
            WHEN opted_out_as IS NOT NULL THEN 'suppressed'
            ELSE answers.effect
        END AS effect,
        CASE
            WHEN plan.effect IS NOT NULL THEN plan.reason
            WHEN answers.email IS NULL THEN CASE WHEN NOT $nothing_sent THEN 'no_answer' END
            ELSE coalesce(opted_out_as, answers.reason)
        END AS reason,
        plan.change = 'upsert' AND answers.email IS NULL AND plan.chunk >= $begun AND NOT $nothing_sent AS unsent,
        coalesce(plan.field, answers.field, '') AS field,
        coalesce(answers.words, CASE WHEN plan.reason = ledger.reason THEN ledger.words END, '') AS words
    FROM (
        -- With more than columns in the condition of a join, DuckDB before 2.0 compares each row with each.
        SELECT *,
            CASE WHEN effect IS NOT NULL THEN subscriber_hash END AS hash_set_aside,
            CASE WHEN effect IS NULL THEN normal_address(email) END AS address_sent,
            CASE change WHEN 'leave' THEN chunk WHEN 'rename' THEN -1 END AS chunk_answered
        FROM read_parquet($plan)
    ) AS plan
    LEFT JOIN ledger ON ledger.subscriber_hash = plan.hash_set_aside
    LEFT JOIN answers ON answers.email = plan.address_sent
        AND answers.chunk IS NOT DISTINCT FROM plan.chunk_answered
    LEFT JOIN effect_rules AS taken ON taken.effect = answers.effect
    LEFT JOIN status_rules ON status_rules.status = answers.status
) AS decided
LEFT JOIN effect_rules USING (effect);

-- name: drop_not_sent
-- Whom a run that was stopped first would have renamed or removed is as before; their rows, if any, are counted.
DELETE FROM outcomes WHERE change IN ('leave', 'rename') AND effect = 'not_sent';

-- name: drop_renamed
-- Who kept their membership under a new address was not removed under the old one; who did not, lost no tag under the
-- new one; and of whom that is not known, and who opted out before, nobody was removed.
DELETE FROM outcomes WHERE change = 'leave' AND (
    subscriber_hash IN (
        SELECT subscriber_hash FROM outcomes
        WHERE change = 'rename' AND effect IN ('renamed', 'unconfirmed', 'suppressed')
    )
    OR email IN (SELECT new_email FROM outcomes WHERE change = 'rename' AND effect <> 'renamed')
);

-- name: lost_tags
CREATE TABLE lost_tags AS
SELECT tag, (row_number() OVER (ORDER BY tag) - 1)::INTEGER AS number
FROM (SELECT DISTINCT unnest(tags) AS tag FROM outcomes WHERE effect = 'removed');

-- name: all_lost_tags
SELECT tag FROM lost_tags ORDER BY number;

-- name: lost
-- What each person lost. Lists of so many take much memory while they are gathered, so a person has one bit for each tag
-- until all are together.
CREATE TABLE lost AS
SELECT subscriber_hash,
    CASE WHEN bits IS NULL THEN []
    ELSE list_filter($tags::VARCHAR[], lambda tag, place: get_bit(bits, (place - 1)::INTEGER) = 1) END AS tags,
    state, reason
FROM (
    SELECT subscriber_hash, bitstring_agg(number, 0, $last) AS bits,
        any_value(removal_kinds.state) AS state, any_value(removal_kinds.reason) AS reason
    FROM (
        SELECT subscriber_hash, removal_kind, unnest(CASE WHEN len(tags) > 0 THEN tags ELSE [NULL] END) AS tag
        FROM outcomes WHERE effect = 'removed'
    )
    JOIN removal_kinds ON removal_kinds.kind = removal_kind
    LEFT JOIN lost_tags USING (tag)
    GROUP BY subscriber_hash
);

-- name: remember_renamed
-- Who was renamed is known under the new address from then on, also where nothing was sent to it.
UPDATE outcomes SET unsent = false
WHERE unsent AND email IN (SELECT new_email FROM outcomes WHERE change = 'rename' AND effect = 'renamed');

-- name: effects
-- A person may lose several tags; they are counted once, and as failed if one of them stayed. Who opted out before
-- they lost anything is left as they are, and is not counted: they have no row any more.
-- Whose rename got no answer, or who opted out before it, is counted once, as the profile that was held back.
SELECT effect, count(*) FROM outcomes
WHERE change IS NULL OR change = 'upsert' OR (change = 'rename' AND effect NOT IN ('unconfirmed', 'suppressed'))
GROUP BY effect
UNION ALL
SELECT effect, count(*) FROM (
    SELECT max(rank) AS rank FROM outcomes JOIN effect_rules USING (effect)
    WHERE change = 'leave' AND effect <> 'suppressed' GROUP BY subscriber_hash
) JOIN effect_rules USING (rank) GROUP BY effect;

-- name: unconfirmed_renames
SELECT count(*) FROM outcomes WHERE change = 'rename' AND effect = 'unconfirmed';

-- name: reasons
SELECT reason, count(*) FROM outcomes
WHERE effect = $effect AND (change IS NULL OR change = 'upsert') GROUP BY reason ORDER BY count(*) DESC, reason;

-- name: members
SELECT segment, count(*) FROM (SELECT unnest(segments) AS segment FROM outcomes WHERE delivered) GROUP BY segment;

-- name: joined
SELECT segment, count(*) FROM (
    SELECT unnest(outcomes.segments) AS segment, CASE WHEN ledger.state <> 'archived' THEN ledger.tags END AS known
    FROM outcomes LEFT JOIN ledger USING (subscriber_hash) WHERE delivered
) JOIN (SELECT unnest($names) AS segment, unnest($tags) AS tag) USING (segment)
WHERE NOT list_contains(coalesce(known, []), tag) GROUP BY segment;

-- name: removed
SELECT tag, count(*) FROM (
    SELECT unnest(CASE WHEN removal_kinds.state IS NULL THEN outcomes.tags ELSE ledger.tags END) AS tag
    FROM outcomes
    LEFT JOIN ledger USING (subscriber_hash)
    JOIN removal_kinds ON removal_kinds.kind = removal_kind
    WHERE effect = 'removed'
) GROUP BY tag;

-- name: untagged_instead
-- Of those who would be archived if they could: who lost all their tags and is in no segment.
SELECT count(*) FROM (SELECT subscriber_hash, tags AS lost FROM lost) JOIN ledger USING (subscriber_hash)
ANTI JOIN (
    SELECT subscriber_hash FROM outcomes WHERE coalesce(change, '') NOT IN ('leave', 'rename') AND len(segments) > 0
) AS present USING (subscriber_hash)
WHERE len(lost) > 0 AND len(lost) = len(ledger.tags) AND NOT list_has_all($retired::VARCHAR[], lost);

-- name: examples
SELECT effect, list(address) FROM (
    SELECT effect, masked(email) AS address, row_number() OVER (PARTITION BY effect ORDER BY email) AS number
    FROM outcomes WHERE email <> '' AND effect <> 'unchanged'
) WHERE number <= 3 GROUP BY effect ORDER BY effect;

-- name: rejects_known
-- Whom the ledger has as rejected for the same reason already.
SELECT count(*) FROM outcomes JOIN ledger USING (subscriber_hash)
WHERE effect = 'rejected' AND subscriber_hash <> '' AND ledger.state = 'rejected' AND ledger.reason = outcomes.reason;

-- name: unusable_rows
-- Rows without a usable address, by what is wrong with it: they are nobody whom the ledger could remember.
SELECT reason, count(*) FROM outcomes WHERE effect = 'rejected' AND subscriber_hash = '' GROUP BY reason ORDER BY reason;

-- name: rejects
SELECT segments, source, email, field, reason, words FROM outcomes WHERE effect = 'rejected';

-- name: sample_rejects
-- Of each reason some, so that a common one does not hide a rare one.
SELECT segments, source, field, reason, words FROM (
    SELECT *, row_number() OVER (PARTITION BY reason ORDER BY source) AS number FROM outcomes WHERE effect = 'rejected'
) ORDER BY number, reason LIMIT $most;

-- name: write_outcomes
COPY (SELECT * EXCLUDE (delivered, state, unsent) RENAME (removal_kind AS leave) FROM outcomes WHERE effect <> 'unchanged')
TO {path} (FORMAT parquet, COMPRESSION zstd);

-- name: ledger_changes
SELECT count(*) > 0 FROM outcomes LEFT JOIN ledger USING (subscriber_hash)
WHERE effect <> 'not_sent' AND (outcomes.change IS NOT NULL OR (
    outcomes.subscriber_hash <> '' AND (ledger.state, ledger.reason, ledger.fingerprint)
        IS DISTINCT FROM (outcomes.state, outcomes.reason, outcomes.fingerprint)
));

-- name: this_run
CREATE TABLE this_run AS SELECT $now::TIMESTAMPTZ AS moment, $run AS run;

-- name: renamed
-- Who was renamed, under the new address, and what they had under the old one.
CREATE TABLE renamed AS
SELECT outcomes.new_email AS email, flatten(list(ledger.tags)) AS tags,
    bool_or(ledger.created AND ledger.state NOT IN ('archived', 'suppressed')) AS created
FROM outcomes JOIN ledger USING (subscriber_hash) WHERE effect = 'renamed' GROUP BY outcomes.new_email;

-- name: next_ledger
-- Only what was confirmed counts as done. Who got no answer may carry the tags anyway, so they are remembered,
-- without a fingerprint, which has the person sent again. Who was surely not sent stays what they were, but is sent
-- again too. Whose rename got no answer stays as they were, under the old address only, so that the next run renames
-- them; so does who opted out before it.
-- Whom the run says nothing of stays as they were. It is a view, so that its rows go to the file as they come.
CREATE VIEW next_ledger AS
SELECT * FROM (
    SELECT * EXCLUDE (changed) FROM (SELECT
        updates.subscriber_hash IS NOT NULL OR removed.subscriber_hash IS NOT NULL AS changed,
        coalesce(updates.subscriber_hash, ledger.subscriber_hash) AS subscriber_hash,
        coalesce(updates.email, ledger.email) AS email,
        coalesce(updates.profile_id, ledger.profile_id) AS profile_id,
        CASE
            WHEN removed.state IS NOT NULL THEN removed.state
            -- Who is not archived any more is a member like any other, and who opted out since is suppressed.
            WHEN ledger.state = 'archived' AND updates.effect = 'unchanged' THEN 'member'
            WHEN ledger.state = 'archived' AND coalesce(updates.effect, '') NOT IN ('created', 'updated', 'suppressed')
            THEN ledger.state
            -- Who had all these tags before has them whatever the answer would have been.
            WHEN updates.state = 'unconfirmed' AND ledger.state = 'member' AND list_has_all(ledger.tags, updates.tags)
            THEN ledger.state
            ELSE coalesce(updates.state, ledger.state)
        END AS state,
        CASE WHEN updates.delivered OR ledger.status IS NULL THEN updates.status ELSE ledger.status END AS status,
        CASE
            WHEN updates.state = 'unconfirmed' OR unsent.subscriber_hash IS NOT NULL THEN NULL
            ELSE coalesce(updates.fingerprint, ledger.fingerprint)
        END AS fingerprint,
        list_sort(list_filter(
            list_distinct(list_concat(
                coalesce(ledger.tags, []),
                -- Who was renamed keeps their tags in Mailchimp, but for those that are taken from them.
                coalesce(renamed.tags, []),
                CASE WHEN updates.state IN ('member', 'unconfirmed') THEN updates.tags ELSE [] END
            )),
            lambda tag: NOT list_contains(coalesce(removed.tags, []), tag)
        )) AS tags,
        CASE
            WHEN removed.reason IS NOT NULL THEN removed.reason
            WHEN updates.subscriber_hash IS NULL THEN ledger.reason
            ELSE coalesce(updates.reason, '')
        END AS reason,
        CASE
            WHEN updates.subscriber_hash IS NULL THEN coalesce(ledger.words, '')
            -- Of nearly everybody there are none, and masking is Python's work.
            WHEN updates.words = '' THEN ''
            ELSE masked_words(updates.words)
        END AS words,
        CASE
            WHEN updates.subscriber_hash IS NULL THEN coalesce(ledger.attempts, 0)
            WHEN reason_rules.retries = 0 OR reason_rules.retries IS NULL THEN 0
            WHEN updates.reason IS DISTINCT FROM ledger.reason
                OR updates.fingerprint IS DISTINCT FROM ledger.fingerprint THEN 1
            ELSE greatest(coalesce(ledger.attempts, 1), 1) + CASE WHEN updates.change IS NULL THEN 0 ELSE 1 END
        END AS attempts,
        -- Who was suppressed or archived and came back by themselves was not created by this export.
        CASE
            WHEN updates.effect = 'created' THEN true
            WHEN updates.delivered AND ledger.state IN ('archived', 'suppressed') THEN false
            WHEN updates.effect = 'unchanged' AND ledger.state = 'archived' THEN false
            ELSE coalesce(ledger.created, renamed.created, false)
        END AS created,
        CASE WHEN changed THEN (SELECT moment FROM this_run) ELSE ledger.changed_at END AS changed_at,
        CASE WHEN changed THEN (SELECT run FROM this_run) ELSE ledger.run END AS run
    FROM (SELECT * FROM ledger SEMI JOIN outcomes USING (subscriber_hash)) AS ledger
    FULL JOIN (
        SELECT * FROM outcomes
        ANTI JOIN (
            SELECT new_email FROM outcomes WHERE change = 'rename' AND effect IN ('unconfirmed', 'suppressed')
        ) AS held_back ON held_back.new_email = outcomes.email
        WHERE ((change = 'upsert' AND NOT unsent) OR change IS NULL) AND subscriber_hash <> '' AND effect <> 'not_sent'
    ) AS updates ON updates.subscriber_hash = ledger.subscriber_hash
    LEFT JOIN (SELECT DISTINCT subscriber_hash FROM outcomes WHERE unsent) AS unsent
        ON unsent.subscriber_hash = ledger.subscriber_hash
    LEFT JOIN reason_rules ON reason_rules.reason = updates.reason
    LEFT JOIN renamed ON renamed.email = updates.email
    LEFT JOIN lost AS removed ON removed.subscriber_hash = coalesce(ledger.subscriber_hash, updates.subscriber_hash)
    ANTI JOIN (SELECT subscriber_hash FROM outcomes WHERE effect = 'renamed') AS gone
        ON gone.subscriber_hash = ledger.subscriber_hash)
    UNION ALL
    SELECT
        subscriber_hash, email, profile_id, state, status, fingerprint,
        CASE WHEN len(tags) > 1 THEN list_sort(list_distinct(tags)) ELSE coalesce(tags, []) END AS tags,
        reason, coalesce(words, '') AS words, coalesce(attempts, 0) AS attempts, coalesce(created, false) AS created,
        changed_at, run
    FROM ledger ANTI JOIN outcomes USING (subscriber_hash)
)
WHERE NOT (len(tags) = 0 AND state IN ('member', 'unconfirmed'));

-- name: carried_tags
SELECT DISTINCT unnest(tags) AS tag FROM next_ledger WHERE state IN ('member', 'unconfirmed') ORDER BY tag;

-- name: ledger_rows
SELECT * FROM next_ledger;
