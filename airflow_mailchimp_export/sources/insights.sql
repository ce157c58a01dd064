-- Members of segments beside their profiles, as both are read from Customer Insights.

-- name: create
CREATE TABLE named (segment INTEGER, id VARCHAR);

-- name: add_members
INSERT INTO named FROM incoming;

-- name: settle_members
-- A customer may have several rows of memberships.
CREATE TABLE members AS SELECT DISTINCT segment, id FROM named;
CREATE TABLE people AS SELECT DISTINCT id FROM members;
DROP TABLE named;

-- name: counts
SELECT segment, count(*) FROM members GROUP BY segment;

-- name: number_of_people
SELECT count(*) FROM people;

-- name: ids
SELECT id FROM people ORDER BY id;

-- name: create_profiles
CREATE TABLE profiles AS FROM incoming LIMIT 0;

-- name: add_profiles
INSERT INTO profiles SELECT incoming.* FROM incoming SEMI JOIN people ON people.id = incoming.id;

-- name: missing_ids
SELECT id FROM people ANTI JOIN profiles ON profiles.id = people.id ORDER BY id;

-- name: number_of_missing
SELECT count(*) FROM people ANTI JOIN profiles ON profiles.id = people.id;

-- name: duplicates
-- Customers with several rows, and those of them whose rows are different ones, not one that was read twice.
SELECT count(*), count(*) FILTER (different)
FROM (
    SELECT count(DISTINCT row_id) > 1 OR count(row_id) < count(*) AS different
    FROM profiles GROUP BY id HAVING count(*) > 1
);

-- name: keep_newest
DELETE FROM profiles
WHERE rowid IN (
    SELECT place FROM (
        SELECT profiles.rowid AS place, row_number() OVER (
            PARTITION BY id ORDER BY version DESC NULLS LAST, profiles.rowid DESC
        ) AS rank
        FROM profiles SEMI JOIN (SELECT id FROM profiles GROUP BY id HAVING count(*) > 1) AS several USING (id)
    )
    WHERE rank > 1
);

-- name: missing
SELECT segment, count(*) FROM members ANTI JOIN profiles ON profiles.id = members.id GROUP BY segment;

-- name: profiles_of
SELECT profiles.* EXCLUDE (row_id, version)
FROM profiles JOIN members ON members.id = profiles.id
WHERE members.segment = $segment
ORDER BY profiles.id;
