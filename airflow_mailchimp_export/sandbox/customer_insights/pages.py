"""Pages of rows, and the links from one to the next."""

from __future__ import annotations

import re
from collections.abc import Mapping
from random import Random

from airflow_mailchimp_export.sandbox.customer_insights.cookies import Cookie, digest_of, read_cookie
from airflow_mailchimp_export.sandbox.customer_insights.filters import Condition
from airflow_mailchimp_export.sandbox.customer_insights.organisation import Organisation
from airflow_mailchimp_export.sandbox.customer_insights.problems import Problem, Refused, bad_query
from airflow_mailchimp_export.sandbox.customer_insights.queries import (
    Request,
    read_options,
    to_columns,
    to_rows_meant,
)
from airflow_mailchimp_export.sandbox.customer_insights.replies import Page, Reply, odata_headers
from airflow_mailchimp_export.sandbox.customer_insights.tables import Table

_PAGE_SIZE = re.compile(r'odata\.maxpagesize\s*=\s*"?(\d+)"?')
_SKIP_TOKEN = ("$skiptoken=", "%24skiptoken=")


def read_page(organisation: Organisation, table: Table, request: Request, *, again: bool = False) -> Reply:
    """The page of rows that a call asks for.

    :param again: it begins with the last row of the page before.
    """
    options = read_options(request.query)
    cookie = _cookie(organisation, options.pop("$skiptoken", None), options)
    condition = to_rows_meant(organisation, table, options)
    size, applied = _size(organisation, request, options)
    size = _shortened(organisation, cookie, size)
    within = f"position {'>=' if again and cookie.after else '>'} ? AND {condition.sql}"
    values = [cookie.after, *condition.values]
    columns = to_columns(table, options.get("$select"))
    rows = organisation.store.page(table, columns, within, values, size)
    last = rows.last or cookie.after
    ends = rows.count < size or ("$top" in options and not applied)
    linked = not ends and _goes_on(organisation, table, condition, last)
    following = Cookie(cookie.query, cookie.page + 1, last, organisation.now())
    page = Page(
        context=f"{request.root}/$metadata#{table.entity_set}" + _selected(options.get("$select")),
        rows=rows.text,
        count=rows.count,
        total=_total(organisation, table, condition) if options.get("$count") == "true" else None,
        next_link=_link(organisation, request, following) if linked else None,
    )
    headers = {**odata_headers(), **({"Preference-Applied": applied} if applied else {})}
    return Reply(200, page.to_body(), headers=headers, route=f"GET {table.entity_set}", page=page)


def count_rows(organisation: Organisation, table: Table, request: Request) -> Reply:
    """``/$count``: a number as text, which stops at the limit."""
    total = _total(organisation, table, to_rows_meant(organisation, table, read_options(request.query)))
    # Dataverse begins this text with a byte order mark.
    body = f"\ufeff{total}".encode()
    return Reply(200, body, "text/plain", odata_headers(), f"GET {table.entity_set}/$count")


def _total(organisation: Organisation, table: Table, condition: Condition) -> int:
    total = organisation.store.count(table, condition.sql, condition.values)
    return min(total, organisation.settings.count_limit)


def _cookie(organisation: Organisation, token: str | None, options: Mapping[str, str]) -> Cookie:
    if token is None:
        return Cookie(digest_of(options), 1, 0, organisation.now())
    cookie = read_cookie(token, digest_of(options), organisation.secret)
    if organisation.now() - cookie.issued > organisation.settings.cookie_lifetime:
        raise Refused(Problem(400, "0x80041129", "The paging cookie has expired."))
    return cookie


def _size(organisation: Organisation, request: Request, options: Mapping[str, str]) -> tuple[int, str]:
    """How many rows the page has at most, and which preference was heeded."""
    limit = organisation.settings.page_limit
    found = _PAGE_SIZE.search(request.headers.get("prefer", ""))
    if found and int(found[1]) > 0:
        return min(int(found[1]), limit), f"odata.maxpagesize={found[1]}"
    top = options.get("$top", str(limit))
    if not top.isdigit() or int(top) == 0:
        raise bad_query(f"Invalid value '{top}' for $top query option found.")
    return min(int(top), limit), ""


def _shortened(organisation: Organisation, cookie: Cookie, size: int) -> int:
    """A page may hold fewer rows than fit, or none: as many as are drawn from its place."""
    settings = organisation.settings
    chance = Random(f"{settings.seed} {cookie.page} {cookie.after}")
    return chance.randrange(size) if chance.random() < settings.short_pages else size


def _goes_on(organisation: Organisation, table: Table, condition: Condition, last: int) -> bool:
    """Whether there is a next page, which may be empty if it is set so."""
    if organisation.settings.trailing_page:
        return True
    return organisation.store.exists(table, f"position > ? AND {condition.sql}", [last, *condition.values])


def _link(organisation: Organisation, request: Request, cookie: Cookie) -> str:
    kept = [part for part in request.query.split("&") if part and not part.startswith(_SKIP_TOKEN)]
    root = request.root
    if organisation.settings.link_host:
        root = re.sub(r"//[^/]+", f"//{organisation.settings.link_host}", root, count=1)
    kept.append(f"$skiptoken={cookie.write(organisation.secret)}")
    return f"{root}/{request.path}?{'&'.join(kept)}"


def _selected(select: str | None) -> str:
    return f"({','.join(name.strip() for name in select.split(','))})" if select else ""
