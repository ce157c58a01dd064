-- The set work of an export: normalise, validate, merge, compare with the ledger, leave out who must not be touched.
-- Each statement stands under its name; plan.py runs them. Nothing here holds a whole segment in memory.

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

-- Of those who are in the audience only subscribed members are sent, and transactional ones where new ones become
-- that too. A pending member would be asked again by every run.
CREATE MACRO says_no(status) AS
    NOT (status = 'subscribed' OR (status = 'transactional' AND getvariable('new_status') = 'transactional'));
-- A refusal that passes by itself is tried again; the others only once the profile has changed.
CREATE MACRO lasts(reason) AS reason NOT IN ('too_many_signups', 'no_answer')
    AND reason NOT IN ('unsubscribed', 'cleaned', 'pending', 'transactional', 'archived');

-- name: new_status
SET VARIABLE new_status = $value;

-- name: salt
SET VARIABLE salt = $value;

-- name: rules_changed
SET VARIABLE rules_changed = $value;

-- name: full_export
SET VARIABLE full_export = $value;

-- name: tables
-- place numbers the rows over all segments in source order; the first place of a person wins.
-- The types of the fields are those of the sources.
CREATE TABLE staged AS
SELECT 0::BIGINT AS place, 0::INTEGER AS segment, source_row, email, ''::VARCHAR AS problem,
    profile_id, 0::UBIGINT AS fingerprint, fields
FROM incoming LIMIT 0;
CREATE TABLE standing (subscriber_hash VARCHAR, status VARCHAR);
CREATE TABLE segments (segment INTEGER, name VARCHAR, tag VARCHAR);

-- name: no_ledger
CREATE TABLE ledger (
    subscriber_hash VARCHAR, email VARCHAR, profile_id VARCHAR, state VARCHAR, status VARCHAR,
    fingerprint UBIGINT, tags VARCHAR[], reason VARCHAR
);

-- name: ledger
CREATE VIEW ledger AS SELECT * FROM read_parquet({path});

-- name: adopt
-- The tag is this export's from now on, and so are those who carry it.
INSERT INTO ledger
SELECT subscriber_hash(email), normal_address(email), NULL, 'member', 'subscribed', NULL, [$tag], ''
FROM incoming;

-- name: adopted
-- A person may carry several adopted tags.
CREATE OR REPLACE TABLE ledger AS
SELECT subscriber_hash, any_value(email) AS email, NULL::VARCHAR AS profile_id, 'member' AS state,
    'subscribed' AS status, NULL::UBIGINT AS fingerprint, list_sort(list_distinct(flatten(list(tags)))) AS tags,
    '' AS reason
FROM ledger GROUP BY subscriber_hash;

-- name: write_adopted
COPY (SELECT *, now() AS changed_at, '' AS run FROM ledger)
TO {path} (FORMAT parquet, COMPRESSION zstd, KV_METADATA {{{key}: {mark}}});

-- name: name
INSERT INTO segments VALUES ($segment, $name, $tag);

-- name: stage
-- The fingerprint stands for all that a request would say of a person, but for the tags; in its text the values
-- stand in the order that the ledger's fingerprints have.
INSERT INTO staged
SELECT source_row + $first_place, $segment, source_row, address,
    CASE WHEN NOT coalesce(is_plain(address), false) THEN address_problem(address) END,
    profile_id, md5_number_lower({values}::VARCHAR || getvariable('salt')), fields
FROM (SELECT *, normal_address(email) AS address FROM incoming);

-- name: stand
INSERT INTO standing
SELECT unnest([id, subscriber_hash(email)]), $status FROM incoming;

-- name: people
-- One row a person, over all segments.
CREATE TABLE people AS
SELECT email, md5(email) AS subscriber_hash, min(place) AS place, count(*) AS source_rows,
    bitstring_agg(segment, 0, $last_segment) AS segments
FROM staged WHERE problem IS NULL GROUP BY email;

-- name: standings
-- A no from anywhere outweighs a yes: the reads of the statuses are not of one moment.
CREATE VIEW standings AS
SELECT subscriber_hash, coalesce(min(status) FILTER (says_no(status)), min(status)) AS status
FROM standing GROUP BY subscriber_hash;

-- name: memberships
-- There are few combinations of segments, so their names are made once each.
CREATE TABLE memberships AS
SELECT (row_number() OVER (ORDER BY combinations.segments) - 1)::INTEGER AS membership, combinations.segments,
    list(name ORDER BY segment) AS names, list_sort(list_distinct(list(tag))) AS tags
FROM (SELECT DISTINCT segments FROM people) AS combinations
JOIN segments ON get_bit(combinations.segments, segment) = 1
GROUP BY combinations.segments;

-- name: membership_names
SELECT names, tags FROM memberships ORDER BY membership;

-- name: moves
-- Whose address changed: the same profile id under another address, and the old one is nobody's any more.
-- Whom this export archived has left; a new address is a new start. It is one, too, for whom mail did not reach
-- (cleaned), but not for who said no under the old address.
CREATE TABLE moves AS
SELECT new_address.subscriber_hash, any_value(old.subscriber_hash) AS old_hash, any_value(old.email) AS old_email,
    any_value(standings.status) FILTER (says_no(standings.status)) AS old_standing
FROM (
    SELECT profile_id, min_by(people.subscriber_hash, people.place) AS subscriber_hash
    FROM people JOIN staged USING (place) WHERE profile_id IS NOT NULL GROUP BY profile_id
) AS new_address
JOIN ledger AS old ON old.profile_id = new_address.profile_id
    AND old.subscriber_hash <> new_address.subscriber_hash AND len(old.tags) > 0 AND old.state <> 'archived'
ANTI JOIN people ON people.subscriber_hash = old.subscriber_hash
LEFT JOIN standings ON standings.subscriber_hash = old.subscriber_hash
GROUP BY new_address.subscriber_hash;

-- name: no_moves
CREATE TABLE moves (subscriber_hash VARCHAR, old_hash VARCHAR, old_email VARCHAR, old_standing VARCHAR);

-- name: planned
-- What is to be done with each person. Whom this export archived itself may be sent again, as what they were before.
CREATE TABLE planned AS
SELECT place, subscriber_hash, membership, standing, old_standing, state, known_status, known_reason, known_id,
    returns, CASE
    WHEN says_no(standing) AND NOT returns THEN 'suppressed'
    WHEN old_standing <> 'cleaned' THEN 'suppressed'
    WHEN getvariable('full_export') OR fingerprint IS DISTINCT FROM known_fingerprint OR returns THEN 'send'
    WHEN state = 'member' AND list_has_all(known_tags, tags) THEN 'unchanged'
    WHEN state = 'rejected' AND known_reason IN ('required_field', 'invalid_field')
        AND getvariable('rules_changed') THEN 'send'
    WHEN state IN ('rejected', 'suppressed') AND lasts(known_reason) THEN state
    ELSE 'send'
END AS disposition
FROM (
    SELECT people.place, people.subscriber_hash, memberships.membership, memberships.tags, staged.fingerprint,
        standings.status AS standing, moves.old_standing,
        ledger.state, ledger.status AS known_status, ledger.fingerprint AS known_fingerprint,
        ledger.tags AS known_tags, ledger.reason AS known_reason, ledger.profile_id AS known_id,
        coalesce(ledger.state = 'archived' AND standings.status = 'archived', false) AS returns
    FROM people
    JOIN staged USING (place)
    JOIN memberships ON memberships.segments = people.segments
    LEFT JOIN standings ON standings.subscriber_hash = people.subscriber_hash
    LEFT JOIN ledger ON ledger.subscriber_hash = people.subscriber_hash
    LEFT JOIN moves ON moves.subscriber_hash = people.subscriber_hash
);

-- name: upserts
SELECT subscriber_hash, email,
    CASE WHEN returns THEN known_status ELSE coalesce(standing, getvariable('new_status')) END AS status,
    membership, segment, source_row, fingerprint, profile_id, standing IS NULL AS is_new, fields
FROM planned JOIN staged USING (place) WHERE disposition = 'send' ORDER BY place;

-- name: upsert_count
SELECT count(*) FROM planned WHERE disposition = 'send';

-- name: new_count
-- Unless the subscribed members were read, some of these may be members already.
SELECT count(*) FROM planned
WHERE disposition = 'send' AND (returns OR (standing IS NULL AND state IS DISTINCT FROM 'member'));

-- name: surely_new_count
SELECT count(*) FROM planned LEFT JOIN standings USING (subscriber_hash)
WHERE disposition = 'send' AND (returns OR standings.status IS NULL);

-- name: renames
SELECT old_hash, old_email, staged.email, getvariable('new_status') AS status
FROM moves JOIN planned USING (subscriber_hash) JOIN staged USING (place)
WHERE moves.old_standing IS NULL AND disposition = 'send' AND state IS NULL AND standing IS NULL;

-- name: leaving
-- Who lost a tag that this export gave, by the segments of this run. People who said no are left as they are,
-- and so is whom this export archived, unless they return.
CREATE TABLE leaving AS
SELECT subscriber_hash, email, profile_id, lost,
    CASE WHEN $on_leave = 'archive' AND NOT present AND len(lost) = len(tags) THEN 'archive' ELSE 'untag' END AS kind
FROM (
    SELECT ledger.subscriber_hash, ledger.email, ledger.profile_id, ledger.tags,
        planned.subscriber_hash IS NOT NULL AS present,
        list_filter(
            ledger.tags,
            lambda tag: list_contains($run_tags, tag) AND NOT list_contains(coalesce(memberships.tags, []), tag)
        ) AS lost
    FROM ledger
    LEFT JOIN planned ON planned.subscriber_hash = ledger.subscriber_hash
    LEFT JOIN memberships USING (membership)
    LEFT JOIN standings ON standings.subscriber_hash = ledger.subscriber_hash
    WHERE (NOT coalesce(says_no(standings.status), false) AND ledger.state <> 'archived') OR coalesce(returns, false)
)
WHERE len(lost) > 0 AND $on_leave <> 'keep';

-- name: leavers
SELECT kind, tag, subscriber_hash, email, profile_id FROM (
    SELECT kind, unnest(lost) AS tag, subscriber_hash, email, profile_id FROM leaving WHERE kind = 'untag'
    UNION ALL
    SELECT kind, '', subscriber_hash, email, profile_id FROM leaving WHERE kind = 'archive'
) ORDER BY kind DESC, tag, subscriber_hash;

-- name: removal_tallies
SELECT (SELECT count(*) FROM leaving) AS leaving, (SELECT count(*) FROM ledger WHERE len(tags) > 0 AND state <> 'archived') AS owned;

-- name: emptied
-- Segments without a usable row that used to have people.
SELECT segments.name, count(*) AS people FROM segments
ANTI JOIN (SELECT DISTINCT segment FROM staged WHERE problem IS NULL) AS filled USING (segment)
JOIN leaving ON list_contains(leaving.lost, segments.tag)
GROUP BY segments.name ORDER BY segments.name;

-- name: set_aside
-- Who is not sent, and why: rows without a usable address, people who must not be touched, and people
-- whom Mailchimp refused before and whose profile is as it was. Who is unchanged but has another profile id
-- stands here too, so that the ledger learns it: the id has to be known before the address changes.
SELECT effect, reason, field, subscriber_hash, email, segments, segment, source_row, fingerprint, profile_id FROM (
    SELECT 'rejected' AS effect, problem AS reason, 'EMAIL' AS field, '' AS subscriber_hash,
        coalesce(email, '') AS email, [name] AS segments, segment, source_row, place,
        NULL::UBIGINT AS fingerprint, profile_id
    FROM staged JOIN segments USING (segment) WHERE problem IS NOT NULL
    UNION ALL
    SELECT disposition,
        CASE WHEN says_no(standing) THEN standing ELSE coalesce(nullif(old_standing, 'cleaned'), known_reason) END,
        '', subscriber_hash, email, names, segment, source_row, place, fingerprint, profile_id
    FROM planned JOIN memberships USING (membership) JOIN staged USING (place)
    WHERE disposition IN ('rejected', 'suppressed')
    UNION ALL
    SELECT disposition, '', '', subscriber_hash, email, names, segment, source_row, place, fingerprint, profile_id
    FROM planned JOIN memberships USING (membership) JOIN staged USING (place)
    WHERE disposition = 'unchanged' AND profile_id IS NOT NULL AND profile_id IS DISTINCT FROM known_id
) ORDER BY place;

-- name: tallies
SELECT
    (SELECT count(*) FROM staged) AS rows_read,
    (SELECT coalesce(sum(source_rows - 1), 0)::BIGINT FROM people) AS merged,
    (SELECT count(*) FROM staged AS further
        JOIN (SELECT email, place FROM people WHERE source_rows > 1) AS person USING (email)
        JOIN staged AS first ON first.place = person.place
        WHERE further.place <> person.place AND further.fingerprint <> first.fingerprint) AS differing,
    (SELECT count(*) FROM planned WHERE disposition = 'unchanged') AS unchanged;

-- name: segment_tallies
SELECT segments.name, segments.tag, coalesce(any_value(source_rows), 0), coalesce(any_value(unchanged), 0)
FROM segments
LEFT JOIN (SELECT segment, count(*) AS source_rows FROM staged GROUP BY segment) USING (segment)
LEFT JOIN (
    SELECT unnest(names) AS name, count(*) AS unchanged
    FROM planned JOIN memberships USING (membership) WHERE disposition = 'unchanged' GROUP BY 1
) USING (name)
GROUP BY ALL ORDER BY min(segments.segment);

-- name: values
SELECT {columns} FROM staged;
