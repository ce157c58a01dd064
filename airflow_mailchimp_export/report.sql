-- The account of a run: what was planned beside what Mailchimp answered.

-- name: macros
-- The same normal form as in the plan: answers are matched to people by it.
CREATE MACRO normal_address(address) AS lower(trim(address));

-- name: answers
-- A person named twice is counted by the worse of the two answers.
CREATE TABLE answers AS
SELECT normal_address(email) AS email,
    unnest(arg_max({{effect: effect, status: status, reason: reason, field: field, words: words}},
        CASE effect WHEN 'created' THEN 0 WHEN 'updated' THEN 1 ELSE 2 END))
FROM {answers} WHERE email <> '' GROUP BY 1;

-- name: accounts
-- One row a person sent and one a profile set aside: what happened, and why.
CREATE TABLE accounts AS
SELECT
    plan.chunk, plan.change, plan.subscriber_hash, plan.email, plan.segments, plan.source,
    CASE
        WHEN plan.effect IS NOT NULL THEN plan.effect
        WHEN answers.email IS NULL THEN 'unconfirmed'
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
LEFT JOIN answers ON plan.chunk IS NOT NULL AND answers.email = plan.email;

-- name: effects
SELECT effect, count(*) FROM accounts GROUP BY effect;

-- name: reasons
SELECT reason, count(*) FROM accounts WHERE effect = $effect GROUP BY reason ORDER BY count(*) DESC, reason;

-- name: segment_members
SELECT segment, count(*) FROM (
    SELECT unnest(segments) AS segment FROM accounts WHERE effect IN ('created', 'updated')
) GROUP BY segment;

-- name: rejects
SELECT segments, source, email, field, reason, words FROM accounts WHERE effect = 'rejected';

-- name: outcomes
COPY (SELECT * FROM accounts) TO {path} (FORMAT parquet, COMPRESSION zstd);
