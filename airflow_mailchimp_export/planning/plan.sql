-- The set work of an export: normalise, validate, merge, compare with the ledger, leave out who must not be sent.
-- Each statement is listed under its name; plan.py runs them. The rules are tables, made of rules.py. Nothing here
-- holds a whole segment in memory.

-- name: macros
-- Only what no mail system takes is refused here (RFC 5321 lengths, one @, a dotted domain);
-- in doubt Mailchimp decides.
CREATE MACRO address_problem(address) AS CASE
    WHEN address IS NULL OR address = '' THEN 'missing_address'
    WHEN strlen(address) > 254
        OR strlen(split_part(address, '@', 1)) > 64
        OR regexp_matches(split_part(address, '@', 2), '[^.]{64}')
        OR NOT regexp_full_match(
            address,
            '[^\s\pZ@"(),:;<>\[\]\\.\x00-\x1f\x7f]+(\.[^\s\pZ@"(),:;<>\[\]\\.\x00-\x1f\x7f]+)*'
            || '@([\p{L}\p{M}\p{N}]+(-+[\p{L}\p{M}\p{N}]+)*\.)+'
            || '[\p{L}][\p{L}\p{M}\p{N}]*(-+[\p{L}\p{M}\p{N}]+)*[\p{L}\p{M}\p{N}]'
        )
    THEN 'invalid_address'
END;

-- Whether somebody with these tags has them by this export, as far as it counts for how many of them lose some.
CREATE MACRO is_owned(tags, state, run, attempts, retired) AS state <> 'archived'
    AND NOT (state = 'unconfirmed' AND list_contains(attempts, run)) AND NOT list_has_all(retired, tags);

-- The same as md5_number_lower, which takes three times as long.
CREATE MACRO fingerprint_of(text) AS (md5_number(text) >> 64)::UBIGINT;

-- name: new_status
SET VARIABLE new_status = $value;

-- name: salt
SET VARIABLE salt = $value;

-- name: rules_changed
SET VARIABLE rules_changed = $value;

-- name: full_export
SET VARIABLE full_export = $value;

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

-- name: tags_of_members
SELECT tag, count(*) FROM (SELECT unnest(tags) AS tag FROM ledger WHERE state = 'member') GROUP BY tag;

-- name: respelled_ledger
-- The spelling of this run counts, so that all else may compare tags letter by letter.
CREATE TABLE respelled AS
SELECT * REPLACE (list_sort(list_distinct(list_transform(
    tags, lambda tag: coalesce(list_extract($spellings, list_position($tags, tag)), tag)
))) AS tags)
FROM ledger;

-- name: take_respelled_ledger
DROP VIEW ledger;
ALTER TABLE respelled RENAME TO ledger;

-- name: adopt
-- The tag belongs to this export from now on, and so do those who carry it.
INSERT INTO ledger BY NAME
SELECT subscriber_hash(email) AS subscriber_hash, normal_address(email) AS email, 'member' AS state,
    'subscribed' AS status, [$tag] AS tags
FROM incoming;

-- name: merge_adopted
-- A person may carry several adopted tags.
CREATE OR REPLACE TABLE ledger AS
SELECT subscriber_hash, any_value(email) AS email, NULL::VARCHAR AS profile_id, any_value(state) AS state,
    any_value(status) AS status, NULL::UBIGINT AS fingerprint,
    list_sort(list_distinct(flatten(list(tags)))) AS tags, '' AS reason, '' AS words, 0 AS attempts,
    false AS created, now() AS changed_at, '' AS run
FROM ledger GROUP BY subscriber_hash;

-- name: adopted_rows
FROM ledger;

-- name: tables
-- position numbers the rows over all segments in source order; the first row of a person counts.
-- The types of the fields are those of the sources.
CREATE TABLE staged AS
SELECT 0::BIGINT AS position, 0::INTEGER AS segment, source_row, email, ''::VARCHAR AS problem,
    profile_id, 0::UBIGINT AS fingerprint, 0::UBIGINT AS earlier, fields
FROM incoming LIMIT 0;
CREATE TABLE marks AS SELECT 0::BIGINT AS position, null_words, numbers FROM incoming LIMIT 0;
CREATE TABLE member_status (subscriber_hash VARCHAR, status VARCHAR);
CREATE TABLE subscribed_since (subscriber_hash VARCHAR);
CREATE TABLE elsewhere (subscriber_hash VARCHAR);
CREATE TABLE segments (segment INTEGER, name VARCHAR, tag VARCHAR);

-- name: add_segment
INSERT INTO segments VALUES ($segment, $name, $tag);

-- name: stage
-- The fingerprint covers all that a request would say of a person, but for the tags; in its text the values have the
-- order that the ledger's fingerprints have. Where a release before this one made another fingerprint of the same
-- values, that is the earlier one. Moments are kept in UTC, so that the zone whose days count belongs to it.
INSERT INTO staged
SELECT source_row + $first_position, $segment, source_row, address,
    CASE WHEN NOT coalesce(plain OR is_plain(address), false) THEN address_problem(address) END,
    profile_id, fingerprint_of({values}::VARCHAR || getvariable('salt') || $zone),
    fingerprint_of({earlier}::VARCHAR || getvariable('salt') || $zone), fields
FROM (SELECT *, is_plain(lower(email)) AS plain, normal_address(email) AS address FROM incoming);

-- name: mark
-- Of few rows, what of their values was not as it is staged.
INSERT INTO marks
SELECT source_row + $first_position, null_words, numbers FROM incoming
WHERE null_words IS NOT NULL OR numbers IS NOT NULL;

-- name: values
SELECT {columns} FROM staged;

-- name: day_orders
-- How many days of each segment exist only with the day in front, only with the month there, and in both orders; and
-- one that does not tell.
SELECT segment, count(*) FILTER (one > 12 AND two <= 12), count(*) FILTER (one <= 12 AND two > 12),
    count(*) FILTER (one <= 12 AND two <= 12 AND one <> two), min(source_row)
FROM (
    SELECT segment, source_row, TRY_CAST(parts.one AS TINYINT) AS one, TRY_CAST(parts.two AS TINYINT) AS two
    FROM (
        SELECT segment, source_row, regexp_extract({column}, $pattern, ['one', 'two']) AS parts
        FROM staged WHERE {column} IS NOT NULL
    )
)
WHERE one BETWEEN 1 AND 31 AND two BETWEEN 1 AND 31 GROUP BY segment ORDER BY segment;

-- name: respell_days
UPDATE staged SET fields = respelled.fields, fingerprint = respelled.fingerprint, earlier = NULL
FROM (
    SELECT position, fields, fingerprint_of({values}::VARCHAR || getvariable('salt') || $zone) AS fingerprint
    FROM (
        SELECT position, struct_pack({packed}) AS fields FROM staged
        WHERE segment = $segment AND regexp_matches({column}, $pattern)
    )
) AS respelled
WHERE staged.position = respelled.position;

-- name: example
SELECT segment, source_row FROM staged WHERE {column} IS NOT NULL ORDER BY position LIMIT 1;

-- name: record_status
INSERT INTO member_status
SELECT unnest([id, subscriber_hash(email)]), $status FROM incoming;

-- name: record_statuses
INSERT INTO member_status
SELECT unnest([coalesce(member_id, subscriber_hash), subscriber_hash]), status FROM read_parquet({path});

-- name: audience
-- The statuses are not read in one moment: whoever is found under several of them is not sent if one forbids it, and
-- of those that forbid it the first of the rules counts.
CREATE VIEW audience AS
SELECT subscriber_hash, unnest(min({
    may_be_sent: list_contains(sent_under, getvariable('new_status')), rank: rank,
    status: status, carries_over: carries_over
}))
FROM member_status JOIN status_rules USING (status) GROUP BY subscriber_hash;

-- name: remembered
-- Who is not sent because of what an earlier run found, and has no status now that forbids it: once they subscribe by
-- themselves they are sent. Who was archived by this export and is not archived any more may have done so too.
CREATE VIEW remembered AS
SELECT ledger.subscriber_hash, ledger.email, ledger.state, ledger.changed_at,
    state <> 'archived' AND reason = '' AS came_back
FROM ledger
LEFT JOIN reason_rules USING (reason)
ANTI JOIN (SELECT subscriber_hash FROM audience WHERE NOT may_be_sent) AS held_back
    ON held_back.subscriber_hash = ledger.subscriber_hash
WHERE state IN ('archived', 'suppressed') OR (state = 'rejected' AND lasting IS DISTINCT FROM 'one_run');

-- name: remembered_since
SELECT epoch(min(changed_at)) FROM remembered WHERE NOT came_back;

-- name: record_subscribed_since
INSERT INTO subscribed_since SELECT unnest([id, subscriber_hash(email)]) FROM incoming;

-- name: record_elsewhere
INSERT INTO elsewhere
SELECT subscriber_hash FROM read_parquet({path}) WHERE state IN ('member', 'unconfirmed') AND len(tags) > 0;

-- name: people
-- One row a person, over all segments; their address is that of the row that counts, and is not kept twice.
CREATE TABLE people AS
SELECT min(position) AS position, count(*) AS source_rows, bitstring_agg(segment, 0, $last_segment) AS segments
FROM staged WHERE problem IS NULL GROUP BY email;

-- name: memberships
-- There are few combinations of segments, so their names are made once each.
CREATE TABLE memberships AS
SELECT (row_number() OVER (ORDER BY combinations.segments) - 1)::INTEGER AS membership, combinations.segments,
    list(name ORDER BY segment) AS names, list_sort(list_distinct(list(tag))) AS tags, any_value(people) AS people
FROM (SELECT segments, count(*) AS people FROM people GROUP BY segments) AS combinations
JOIN segments ON get_bit(combinations.segments, segment) = 1
GROUP BY combinations.segments;

-- name: membership_names
SELECT names, tags FROM memberships ORDER BY membership;

-- name: moves
-- Whose address changed: the same profile id under another address, and no profile has the old one any more.
-- Who was archived by this export is gone, and who was never given a tag was never there: for them a new address is a
-- new start. held_back says that something forbids to send them under the old address, and carried_over what forbids
-- it under the new one too; where the audience has no status of them, what an earlier run found may do so.
CREATE TABLE moves AS
WITH present AS MATERIALIZED (
    SELECT position, profile_id, md5(email) AS subscriber_hash FROM people JOIN staged USING (position)
)
SELECT subscriber_hash,
    any_value(old_hash) FILTER (is_member) AS old_hash, any_value(old_email) FILTER (is_member) AS old_email,
    bool_or(forbidden_by IS NOT NULL) AS held_back, any_value(forbidden_by) FILTER (carries_over) AS carried_over
FROM (
    SELECT new_address.subscriber_hash, old.subscriber_hash AS old_hash, old.email AS old_email,
        len(old.tags) > 0 AND old.state <> 'archived' AS is_member,
        CASE
            WHEN old.state = 'archived' AND audience.status = 'archived' THEN NULL
            WHEN NOT audience.may_be_sent THEN audience.status
            WHEN old.state = 'suppressed' AND comebacks.subscriber_hash IS NULL AND reason_rules.carries_over
            THEN old.reason
        END AS forbidden_by,
        CASE WHEN NOT audience.may_be_sent THEN audience.carries_over ELSE true END AS carries_over
    FROM (
        SELECT profile_id, min_by(subscriber_hash, position) AS subscriber_hash
        FROM present WHERE profile_id IS NOT NULL GROUP BY profile_id
    ) AS new_address
    JOIN ledger AS old ON old.profile_id = new_address.profile_id
        AND old.subscriber_hash <> new_address.subscriber_hash
    ANTI JOIN present ON present.subscriber_hash = old.subscriber_hash
    LEFT JOIN reason_rules ON reason_rules.reason = old.reason
    LEFT JOIN audience ON audience.subscriber_hash = old.subscriber_hash
    LEFT JOIN comebacks ON comebacks.subscriber_hash = old.subscriber_hash
)
GROUP BY subscriber_hash;

-- name: no_moves
CREATE TABLE moves (
    subscriber_hash VARCHAR, old_hash VARCHAR, old_email VARCHAR, held_back BOOLEAN, carried_over VARCHAR
);

-- name: comebacks
-- Who came back by themselves, now or, where they were in no segment then, before an earlier run.
CREATE TABLE comebacks AS
SELECT DISTINCT subscriber_hash, email, came_back AS known
FROM remembered LEFT JOIN subscribed_since AS since USING (subscriber_hash)
WHERE came_back OR since.subscriber_hash IS NOT NULL;

-- name: decisions
-- What is to be done with each person. Those who were archived by this export may be sent again, as what they were.
-- Nearly everybody is unchanged in all that the ledger knows, day by day: they are left out. Whom only the ledger knows
-- is here without a position.
CREATE TABLE decisions AS
SELECT position, subscriber_hash, membership, audience_status, suppressed_as, state, known_status, known_reason,
    known_id, known_fingerprint, returns, disposition
FROM (
    SELECT *, CASE
        WHEN position IS NULL THEN NULL
        WHEN suppressed_as IS NOT NULL THEN 'suppressed'
        WHEN getvariable('full_export') OR returns OR (
            fingerprint IS DISTINCT FROM known_fingerprint
            AND (earlier IS NULL OR earlier IS DISTINCT FROM known_fingerprint)
        ) THEN 'send'
        WHEN state = 'member' AND list_has_all(known_tags, tags) AND NOT list_has_any(tags, $gone_tags::VARCHAR[])
        THEN 'unchanged'
        WHEN lasting = 'until_fields_change' AND state = 'rejected' AND getvariable('rules_changed') THEN 'send'
        WHEN lasting IN ('one_run', 'while_status') OR came_back THEN 'send'
        WHEN state = 'rejected' AND known_attempts <= retries THEN 'send'
        WHEN state IN ('rejected', 'suppressed') THEN state
        ELSE 'send'
    END AS disposition
    FROM (
        SELECT people.position, coalesce(people.subscriber_hash, ledger.subscriber_hash) AS subscriber_hash,
            memberships.membership, memberships.tags, people.fingerprint, people.earlier, people.profile_id,
            audience.status AS audience_status,
            ledger.state, ledger.status AS known_status, ledger.fingerprint AS known_fingerprint,
            ledger.tags AS known_tags, ledger.reason AS known_reason, ledger.profile_id AS known_id,
            reason_rules.lasting, reason_rules.retries, greatest(coalesce(ledger.attempts, 1), 1) AS known_attempts,
            comebacks.subscriber_hash IS NOT NULL AS came_back,
            coalesce(ledger.state = 'archived' AND audience.status = 'archived', false) AS returns,
            CASE
                WHEN NOT audience.may_be_sent AND NOT returns THEN audience.status
                WHEN came_back THEN NULL
                WHEN moves.carried_over IS NOT NULL AND ledger.state IS DISTINCT FROM 'member' THEN moves.carried_over
                WHEN ledger.state = 'suppressed' AND lasting = 'until_subscribed' THEN ledger.reason
            END AS suppressed_as
        FROM (
            SELECT position, segments, md5(email) AS subscriber_hash, fingerprint, earlier, profile_id
            FROM people JOIN staged USING (position)
        ) AS people
        FULL JOIN ledger ON ledger.subscriber_hash = people.subscriber_hash
        LEFT JOIN memberships ON memberships.segments = people.segments
        LEFT JOIN audience ON audience.subscriber_hash = people.subscriber_hash
        LEFT JOIN reason_rules ON reason_rules.reason = ledger.reason
        LEFT JOIN comebacks ON comebacks.subscriber_hash = people.subscriber_hash
        LEFT JOIN moves ON moves.subscriber_hash = people.subscriber_hash
    )
)
WHERE disposition IS DISTINCT FROM 'unchanged' OR known_tags IS DISTINCT FROM tags
    OR list_has_any(tags, $retired::VARCHAR[]) OR fingerprint IS DISTINCT FROM known_fingerprint
    OR (profile_id IS NOT NULL AND profile_id IS DISTINCT FROM known_id);

-- name: upsert_ranges
-- How many people of each range of so many positions are sent; a range of nobody is left out.
SELECT position // $rows AS number, count(*) FROM decisions WHERE disposition = 'send' GROUP BY number ORDER BY number;

-- name: upserts
-- One range of positions at a time, so that little has to be put in order. The values of a profile are of no use where
-- its payload is made.
SELECT * REPLACE (CASE WHEN payload IS NULL THEN fields END AS fields) FROM (
    SELECT position, subscriber_hash, email, status, membership, segment, source_row, fingerprint, profile_id,
        was IS NULL AS is_new, was, null_words, numbers, fields,
        CASE WHEN null_words IS NULL AND numbers IS NULL THEN {payload} END AS payload
    FROM (
        SELECT position, subscriber_hash, membership, audience_status AS was,
            CASE WHEN returns THEN known_status ELSE coalesce(audience_status, getvariable('new_status')) END AS status
        FROM decisions WHERE disposition = 'send' AND position >= $first AND position < $beyond
    )
    JOIN (FROM staged WHERE position >= $first AND position < $beyond) USING (position)
    LEFT JOIN marks USING (position)
)
ORDER BY position;

-- name: upsert_count
SELECT count(*) FROM decisions WHERE disposition = 'send';

-- name: new_count
-- Unless the subscribed members were read, some of these may be members already.
SELECT count(*) FROM decisions
WHERE disposition = 'send' AND (returns OR (audience_status IS NULL AND state IS DISTINCT FROM 'member'));

-- name: surely_new_count
SELECT count(*) FROM decisions LEFT JOIN audience USING (subscriber_hash)
WHERE disposition = 'send' AND (returns OR audience.status IS NULL);

-- name: renames
-- Where the new address is subscribed and nobody is known to have the old one, an attempt before may have renamed the
-- member and never learned of it: asking again tells, and their tags are theirs.
CREATE VIEW renames AS
SELECT old_hash, old_email, decisions.subscriber_hash, staged.email, membership
FROM moves JOIN decisions USING (subscriber_hash) JOIN staged USING (position)
LEFT JOIN audience AS old ON old.subscriber_hash = old_hash
WHERE old_hash IS NOT NULL AND NOT held_back AND disposition = 'send' AND state IS NULL
    AND (audience_status IS NULL OR (audience_status = 'subscribed' AND old.subscriber_hash IS NULL));

-- name: rename_rows
SELECT old_hash, old_email, email, getvariable('new_status') AS status FROM renames;

-- name: removals
-- Who loses a tag that this export gave, by the segments of this run. People who may not be sent keep what they have,
-- and so do those who were archived by this export, unless they return. $kind removes people who are in no segment of
-- the run and would keep no tag of this export; where it removes only those whom this export created, it leaves
-- alone whom another export has, who came back by themselves, and everybody unless it is $certain that all other
-- exports are known. A $retired tag is taken from everybody, and nobody is taken out for the lack of it.
CREATE TABLE removals AS
SELECT subscriber_hash, email, profile_id, removed_tags,
    CASE WHEN gone AND takes_out THEN $kind ELSE $otherwise END AS kind, gone AND NOT takes_out AS instead,
    subscriber_hash AS known_hash
FROM (
    SELECT ledger.subscriber_hash, ledger.email, ledger.profile_id,
        list_filter(
            ledger.tags,
            lambda tag: list_contains($retired::VARCHAR[], tag) OR (
                list_contains($run_tags::VARCHAR[], tag) AND NOT list_contains(coalesce(memberships.tags, []), tag)
            )
        ) AS removed_tags,
        decisions.position IS NULL AND len(removed_tags) = len(ledger.tags)
            AND NOT list_has_all($retired::VARCHAR[], removed_tags) AS gone,
        NOT $only_created OR (
            coalesce(ledger.created, false) AND ledger.state NOT IN ('archived', 'suppressed')
            AND $certain AND others.subscriber_hash IS NULL
        ) AS takes_out
    FROM decisions
    JOIN ledger ON ledger.subscriber_hash = decisions.subscriber_hash
    LEFT JOIN memberships USING (membership)
    LEFT JOIN audience ON audience.subscriber_hash = ledger.subscriber_hash
    LEFT JOIN (SELECT DISTINCT subscriber_hash FROM elsewhere) AS others
        ON others.subscriber_hash = ledger.subscriber_hash
    LEFT JOIN comebacks ON comebacks.subscriber_hash = ledger.subscriber_hash
    WHERE (coalesce(may_be_sent, true) AND (ledger.state <> 'archived' OR comebacks.subscriber_hash IS NOT NULL))
        OR coalesce(returns, false)
)
WHERE len(removed_tags) > 0;

-- name: removals_of_renamed
-- Who is renamed keeps the tags of segments that they left on the same day, so these are taken under the new address;
-- known_hash is that of the old one.
INSERT INTO removals
SELECT renames.subscriber_hash, renames.email, ledger.profile_id,
    list_filter(
        ledger.tags,
        lambda tag: list_contains($retired::VARCHAR[], tag)
            OR (list_contains($run_tags::VARCHAR[], tag) AND NOT list_contains(memberships.tags, tag))
    ) AS removed_tags,
    $otherwise, false, renames.old_hash
FROM renames
JOIN ledger ON ledger.subscriber_hash = renames.old_hash
JOIN memberships USING (membership)
WHERE len(removed_tags) > 0;

-- name: no_removals
CREATE TABLE removals (
    subscriber_hash VARCHAR, email VARCHAR, profile_id VARCHAR, removed_tags VARCHAR[], kind VARCHAR, instead BOOLEAN,
    known_hash VARCHAR
);

-- name: removal_rows
-- One row for each tag that somebody loses, and one without a tag for each person who is taken out.
SELECT kind, tag, subscriber_hash, email, profile_id FROM (
    SELECT kind, rank, unnest(CASE WHEN removal_kinds.state IS NULL THEN removed_tags ELSE [''] END) AS tag,
        subscriber_hash, email, profile_id
    FROM removals JOIN removal_kinds USING (kind)
) ORDER BY rank, tag, subscriber_hash;

-- name: removal_counts
-- How many people lose each tag, and how many have it by this export; the row without a tag counts all people once.
-- What counts is what will be taken: who is only renamed keeps their membership, and who was archived by this export
-- and returns was not among those who have a tag. Nor was anybody of whom an earlier attempt at this very run got no
-- answer: it may have been about to send the wrong people. Retired tags are meant to be lost, and count as none.
WITH owned AS MATERIALIZED (
    -- Many people share few combinations, which are looked at once each.
    SELECT list_filter(tags, lambda tag: NOT list_contains($retired::VARCHAR[], tag)) AS tags, people
    FROM (SELECT tags, state, run, count(*) AS people FROM ledger GROUP BY tags, state, run)
    WHERE is_owned(tags, state, run, $attempts, $retired::VARCHAR[])
), taken AS (
    SELECT removed_tags FROM (
        SELECT subscriber_hash, known_hash,
            list_filter(removed_tags, lambda tag: NOT list_contains($retired::VARCHAR[], tag)) AS removed_tags
        FROM removals
    ) AS lost
    SEMI JOIN (
        SELECT subscriber_hash FROM ledger WHERE is_owned(tags, state, run, $attempts, $retired::VARCHAR[])
    ) AS owners ON owners.subscriber_hash = known_hash
    ANTI JOIN moves ON moves.old_hash = lost.subscriber_hash AND NOT moves.held_back
    WHERE len(removed_tags) > 0
)
SELECT '' AS tag, (SELECT count(*) FROM taken), (SELECT coalesce(sum(people), 0)::BIGINT FROM owned)
UNION ALL
SELECT tag, sum(lost)::BIGINT, sum(owned)::BIGINT FROM (
    SELECT unnest(removed_tags) AS tag, 1 AS lost, 0 AS owned FROM taken
    UNION ALL
    SELECT unnest(tags) AS tag, 0 AS lost, people AS owned FROM owned
) WHERE tag IN (SELECT tag FROM segments) GROUP BY tag ORDER BY tag;

-- name: instead_count
SELECT count(*) FROM removals WHERE instead;

-- name: kept_tags
-- How many people keep each retired tag, because they may not be touched.
SELECT tag, count(*) FROM (
    SELECT unnest(ledger.tags) AS tag FROM ledger ANTI JOIN removals ON removals.known_hash = ledger.subscriber_hash
    WHERE state <> 'archived'
) WHERE list_contains($retired::VARCHAR[], tag) GROUP BY tag ORDER BY tag;

-- name: usable_rows
-- How many rows each segment has, and how many of them have an address that can be sent.
SELECT segments.name, segments.tag, count(staged.segment), count(*) FILTER (staged.segment IS NOT NULL AND problem IS NULL)
FROM segments LEFT JOIN staged USING (segment) GROUP BY segments.segment, segments.name, segments.tag
ORDER BY segments.segment;

-- name: set_aside
-- Who is not sent, and why: rows without a usable address, people who may not be sent, and people whom Mailchimp
-- refused before and whose profile is as it was. Who is unchanged but has another profile id is here too, so that
-- the ledger learns it: the id has to be known before the address changes. So is who is unchanged by an earlier
-- fingerprint, who came back and is in no segment, so that the ledger forgets why they were not sent, and who is not
-- archived any more, so that nobody is taken for archived by this export whom somebody else archives later.
SELECT effect, reason, field, subscriber_hash, email, segments, segment, source_row, fingerprint, profile_id FROM (
    SELECT 'rejected' AS effect, problem AS reason, 'EMAIL' AS field, '' AS subscriber_hash,
        coalesce(email, '') AS email, [name] AS segments, segment, source_row, position,
        NULL::UBIGINT AS fingerprint, profile_id
    FROM staged JOIN segments USING (segment) WHERE problem IS NOT NULL
    UNION ALL
    SELECT disposition, CASE WHEN disposition = 'unchanged' THEN '' ELSE coalesce(suppressed_as, known_reason) END,
        '', subscriber_hash, email, names, segment, source_row, position, fingerprint, profile_id
    FROM decisions JOIN memberships USING (membership) JOIN staged USING (position)
    WHERE disposition IN ('rejected', 'suppressed')
        OR (disposition = 'unchanged' AND profile_id IS NOT NULL AND profile_id IS DISTINCT FROM known_id)
        OR (disposition = 'unchanged' AND fingerprint IS DISTINCT FROM known_fingerprint)
    UNION ALL
    SELECT 'unchanged', '', '', subscriber_hash, email, [], NULL, NULL, NULL, NULL, NULL
    FROM (
        SELECT subscriber_hash, email FROM comebacks WHERE NOT known
        UNION ALL
        SELECT subscriber_hash, email FROM ledger JOIN audience USING (subscriber_hash)
        WHERE state = 'archived' AND NOT may_be_sent AND audience.status <> 'archived'
    ) ANTI JOIN (SELECT subscriber_hash FROM decisions WHERE position IS NOT NULL) USING (subscriber_hash)
) ORDER BY position;

-- name: counts
SELECT
    (SELECT count(*) FROM staged) AS rows_read,
    (SELECT coalesce(sum(source_rows - 1), 0)::BIGINT FROM people) AS merged,
    (SELECT count(*) FROM people) - (SELECT count(*) FROM decisions WHERE disposition <> 'unchanged') AS unchanged;

-- name: conflicting_duplicates
-- Merged rows whose mapped values differ from those of the row that counts.
SELECT count(*) FROM staged AS further
JOIN (
    SELECT email, position, fingerprint FROM people JOIN staged USING (position) WHERE source_rows > 1
) AS person USING (email)
WHERE further.position <> person.position AND further.fingerprint <> person.fingerprint;

-- name: segment_counts
-- Unchanged is of whom nothing else is decided.
SELECT segments.name, segments.tag, coalesce(any_value(source_rows), 0), coalesce(any_value(unchanged), 0)
FROM segments
LEFT JOIN (SELECT segment, count(*) AS source_rows FROM staged GROUP BY segment) USING (segment)
LEFT JOIN (
    SELECT name, sum(unchanged)::BIGINT AS unchanged
    FROM (
        SELECT unnest(names) AS name, people - coalesce(decided, 0) AS unchanged
        FROM memberships LEFT JOIN (
            SELECT membership, count(*) AS decided FROM decisions WHERE disposition <> 'unchanged' GROUP BY membership
        ) USING (membership)
    ) GROUP BY name
) USING (name)
GROUP BY ALL ORDER BY min(segments.segment);
