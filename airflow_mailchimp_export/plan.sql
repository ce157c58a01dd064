-- The set work of an export: normalise, validate, merge, and leave out who must not be touched.
-- Each statement stands under its name; plan.py runs them. Nothing here holds a whole segment in memory.

-- name: macros
-- Mailchimp trims addresses and keys its members by the lower-cased address.
CREATE MACRO normal_address(address) AS
    lower(trim(address, ' ' || chr(9) || chr(10) || chr(11) || chr(12) || chr(13) || chr(160) || chr(5760)
        || chr(8192) || chr(8193) || chr(8194) || chr(8195) || chr(8196) || chr(8197) || chr(8198)
        || chr(8199) || chr(8200) || chr(8201) || chr(8202) || chr(8203) || chr(8232) || chr(8233)
        || chr(8239) || chr(8287) || chr(12288) || chr(65279)));
-- Nearly all addresses are of this plain form; it spares them the slower look at Unicode.
CREATE MACRO is_plain(address) AS strlen(address) <= 64 AND regexp_full_match(
    address,
    '[a-z0-9!#$%&''*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&''*+/=?^_`{|}~-]+)*'
    || '@([a-z0-9]+(-+[a-z0-9]+)*\.)+[a-z][a-z0-9]*(-+[a-z0-9]+)*[a-z0-9]'
);
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
CREATE MACRO may_be_sent(status) AS
    status = 'subscribed' OR (status = 'transactional' AND getvariable('new_status') = 'transactional');

-- name: status
SET VARIABLE new_status = $new_status;

-- name: tables
-- place numbers the rows over all segments in source order; the first place of a person wins.
-- The types of the fields are those of the sources.
CREATE TABLE staged AS
SELECT 0::BIGINT AS place, 0::INTEGER AS segment, source_row, email, ''::VARCHAR AS problem, fields FROM incoming LIMIT 0;
CREATE TABLE standing (subscriber_hash VARCHAR, status VARCHAR);
CREATE TABLE segments (segment INTEGER, name VARCHAR, tag VARCHAR);

-- name: name
INSERT INTO segments VALUES ($segment, $name, $tag);

-- name: stage
INSERT INTO staged
SELECT source_row + $first_place, $segment, source_row, address,
    CASE WHEN NOT coalesce(is_plain(address), false) THEN address_problem(address) END, fields
FROM (
    SELECT *, CASE WHEN is_plain(lower(email)) THEN lower(email) ELSE normal_address(email) END AS address
    FROM incoming
);

-- name: stand
INSERT INTO standing
SELECT unnest([id, md5(normal_address(email))]), $status FROM incoming;

-- name: people
-- One row a person, over all segments.
CREATE TABLE people AS
SELECT email, min(place) AS place, count(*) AS source_rows, bitstring_agg(segment, 0, $last_segment) AS segments
FROM staged WHERE problem IS NULL GROUP BY email;

-- name: standings
-- A no from anywhere outweighs a yes: the reads of the statuses are not of one moment.
CREATE VIEW standings AS
SELECT subscriber_hash, coalesce(min(status) FILTER (NOT may_be_sent(status)), min(status)) AS status
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

-- name: planned
CREATE VIEW planned AS
SELECT
    people.place, people.email, md5(people.email) AS subscriber_hash,
    memberships.membership, staged.segment, staged.source_row, staged.fields,
    coalesce(standings.status, getvariable('new_status')) AS status,
    CASE WHEN NOT may_be_sent(standings.status) THEN standings.status END AS reason,
    standings.status IS NULL AS is_new
FROM people
JOIN staged USING (place)
JOIN memberships ON memberships.segments = people.segments
LEFT JOIN standings ON standings.subscriber_hash = md5(people.email);

-- name: upserts
SELECT subscriber_hash, email, status, membership, segment, source_row, fields
FROM planned WHERE reason IS NULL ORDER BY place;

-- name: upsert_count
SELECT count(*) FROM planned WHERE reason IS NULL;

-- name: new_count
SELECT count(*) FROM planned WHERE is_new;

-- name: set_aside
-- Who is not sent, and why: rows without a usable address, and people who must not be touched.
SELECT effect, reason, field, subscriber_hash, email, segments, segment, source_row FROM (
    SELECT 'rejected' AS effect, problem AS reason, 'EMAIL' AS field, '' AS subscriber_hash,
        coalesce(email, '') AS email, [name] AS segments, segment, source_row, place
    FROM staged JOIN segments USING (segment) WHERE problem IS NOT NULL
    UNION ALL
    SELECT 'suppressed', reason, '', subscriber_hash, email, names, segment, source_row, place
    FROM planned JOIN memberships USING (membership) WHERE reason IS NOT NULL
) ORDER BY place;

-- name: tallies
SELECT
    (SELECT count(*) FROM staged) AS rows_read,
    (SELECT coalesce(sum(source_rows - 1), 0)::BIGINT FROM people) AS merged,
    (SELECT count(*) FROM staged AS further
        JOIN (SELECT email, place FROM people WHERE source_rows > 1) AS person USING (email)
        JOIN staged AS first ON first.place = person.place
        WHERE further.place <> person.place AND further.fields IS DISTINCT FROM first.fields) AS differing;

-- name: segment_tallies
SELECT segments.name, segments.tag, count(staged.place) AS source_rows
FROM segments LEFT JOIN staged USING (segment) GROUP BY ALL ORDER BY min(segments.segment);

-- name: values
SELECT {columns} FROM staged;
