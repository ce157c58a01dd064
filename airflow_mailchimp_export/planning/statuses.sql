-- Who may not be sent: what was kept, and what was read by this run. Each statement is listed under its name;
-- statuses.py runs them.

-- name: tables
CREATE TABLE kept (member_id VARCHAR, subscriber_hash VARCHAR, status VARCHAR);
CREATE TABLE found (member_id VARCHAR, subscriber_hash VARCHAR, status VARCHAR);
CREATE TABLE returned (member_id VARCHAR);
CREATE VIEW statuses AS
SELECT DISTINCT member_id, subscriber_hash, status FROM found
UNION ALL
SELECT member_id, subscriber_hash, status FROM kept
ANTI JOIN found USING (member_id) ANTI JOIN returned USING (member_id);

-- name: keep
INSERT INTO kept
SELECT coalesce(member_id, subscriber_hash), subscriber_hash, status FROM read_parquet({path});

-- name: find
INSERT INTO found SELECT id, subscriber_hash(email), $status FROM incoming;

-- name: return
INSERT INTO returned SELECT id FROM incoming;

-- name: start_again
DELETE FROM kept;
DELETE FROM found;
DELETE FROM returned;

-- name: found_members
SELECT count(DISTINCT member_id) FROM found;

-- name: members
SELECT status, count(DISTINCT member_id) FROM statuses GROUP BY status;

-- name: changes
SELECT (SELECT count(*) FROM statuses) <> (SELECT count(*) FROM kept)
    OR EXISTS (FROM found ANTI JOIN kept USING (member_id, subscriber_hash, status));

-- name: rows
SELECT subscriber_hash, nullif(member_id, subscriber_hash) AS member_id, status FROM statuses
ORDER BY status, subscriber_hash;
