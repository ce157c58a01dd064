"""Where people see in a browser what an export has done in Mailchimp."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from airflow_mailchimp_export.settings.endpoint import prefix_of


@dataclass(frozen=True, slots=True)
class AccountPlace:
    """Where an account is, and where its pages are.

    :param data_center: such as ``us21``; the host where that is not Mailchimp's and no data center is known.
    :param site: what the address of each of its pages begins with; empty where nobody knows.
    :param is_mailchimp: whether these are Mailchimp's own pages.
    """

    data_center: str = ""
    site: str = ""
    is_mailchimp: bool = False

    @classmethod
    def at(cls, base_url: str, server_prefix: str | None = None) -> AccountPlace:
        """Return the place of the account that a base URL leads to.

        :param server_prefix: the data center, for a host whose name does not give it away.
        """
        if prefix := prefix_of(base_url):
            return cls(prefix, f"https://{prefix}.admin.mailchimp.com", is_mailchimp=True)
        parts = urlsplit(base_url)
        return cls(server_prefix or parts.netloc, f"{parts.scheme}://{parts.netloc}")

    def audience_page(self, web_id: int) -> str:
        """Return the page of an audience; of another host, such as the sandbox, the page that it begins with."""
        if not self.is_mailchimp:
            return f"{self.site}/" if self.site else ""
        return f"{self.site}/lists/members/?id={web_id}" if web_id else ""
