-- What one address is, for all SQL: address.py has the rule, and these macros are known to every database.

-- Nearly all addresses are of this plain form. For these the rule is lower() alone, which spares them Python and the
-- slower look at Unicode.
CREATE MACRO is_plain(address) AS strlen(address) <= 64 AND regexp_full_match(
    address,
    '[a-z0-9!#$%&''*+/=?^_`{|}~-]+(\.[a-z0-9!#$%&''*+/=?^_`{|}~-]+)*'
    || '@([a-z0-9]+(-+[a-z0-9]+)*\.)+[a-z][a-z0-9]*(-+[a-z0-9]+)*[a-z0-9]'
);
CREATE MACRO normal_address(address) AS
    CASE WHEN is_plain(lower(address)) THEN lower(address) ELSE python_normal_address(address) END;
CREATE MACRO subscriber_hash(address) AS md5(normal_address(address));
