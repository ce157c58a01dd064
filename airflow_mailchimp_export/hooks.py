"""The Mailchimp connection of Airflow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    BaseHook,
    TaskDeferred,
)

from airflow_mailchimp_export import legacy_form
from airflow_mailchimp_export.connection_check import check_connection, failed_check
from airflow_mailchimp_export.errors import (
    ConfigError,
    ExportError,
)
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.batches import cancel_batches
from airflow_mailchimp_export.mailchimp.client import Credentials, MailchimpClient
from airflow_mailchimp_export.mailchimp.pace import Pace
from airflow_mailchimp_export.model import Batch
from airflow_mailchimp_export.settings.connection import ConnectionSettings

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_mailchimp_export.state.run import RunFolder

log = logging.getLogger(__name__)

PROMPT = Pace(attempts=3, deadline=20.0)
PROMPT_TIMEOUT = 20.0
"""Seconds that a call may take where somebody looks at a button, where Airflow looks at a task that it has killed,
and where whoever waits for batches asks again anyway."""


class MailchimpHook(BaseHook):
    """Talks to the account of a Mailchimp connection.

    :param mailchimp_conn_id: the connection; it is looked up when it is needed, never before.
    """

    conn_name_attr = "mailchimp_conn_id"
    default_conn_name = "mailchimp_default"
    conn_type = "mailchimp"
    hook_name = "Mailchimp"

    if legacy_form.IS_NEEDED:
        get_connection_form_widgets = staticmethod(legacy_form.connection_form_widgets)
        get_ui_field_behaviour = staticmethod(legacy_form.ui_field_behaviour)

    def __init__(self, mailchimp_conn_id: str = default_conn_name, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.mailchimp_conn_id = mailchimp_conn_id

    def get_conn(self) -> MailchimpClient:
        """Return a client; the same as :meth:`client`."""
        return self.client()

    def settings(self) -> ConnectionSettings:
        """Return the connection's settings as they are now.

        :raises ConfigError: names the field that is wrong.
        """
        return to_settings(self.get_connection(self.mailchimp_conn_id))

    def client(self, settings: ConnectionSettings | None = None) -> MailchimpClient:
        """Return a client with a pool of connections of its own; close it, or use it in ``with``.

        Where Mailchimp refuses the key, the client reads the connection once more, because the key may have been
        replaced while it was at work.

        :param settings: the connection's settings, for who has read them already.
        :raises ConfigError: when the connection is set up wrongly.
        """
        return to_client(settings or self.settings(), reread=self.settings)

    def prompt_client(self) -> MailchimpClient:
        """Return a client like :meth:`client`, but one that gives up soon, for who asks again later.

        :raises ConfigError: when the connection is set up wrongly.
        """
        return to_prompt_client(self.settings(), reread=self.settings)

    def permit(self, dag_id: str) -> Callable[[], None]:
        """Return a check to be made before every submission, because consent can be withdrawn at any time.

        :param dag_id: the DAG that wants to send.
        """

        def check() -> None:
            check_permission(self.settings(), dag_id=dag_id, conn_id=self.mailchimp_conn_id)

        return check

    def get_batch(self, batch_id: str) -> Batch:
        """Return how far a batch is.

        :raises NotFound: when Mailchimp does not know it; it keeps them for seven days.
        """
        with self.client() as client:
            return client.send(calls.batch(batch_id))

    def cancel_batches(self, batch_ids: tuple[str, ...]) -> None:
        """Stop batches that are not finished; what they did so far stays done."""
        with self.prompt_client() as client:
            cancel_batches(client, batch_ids)

    def test_connection(self) -> tuple[bool, str]:
        """Say whose key it is, and whether an export could run; it is what the Test button shows."""
        settings = None
        try:
            settings = self.settings()
            with to_prompt_client(settings, reread=self.settings) as client:
                return check_connection(client, settings)
        except ExportError as error:
            return failed_check(error, settings)


def to_settings(connection: Connection) -> ConnectionSettings:
    """Return what an Airflow connection holds, checked.

    :raises ConfigError: names the field that is wrong.
    """
    return ConnectionSettings.from_parts(
        password=connection.password,
        host=connection.host,
        port=connection.port,
        schema=connection.schema,
        extra=connection.extra_dejson,
    )


def free_lock(folder: RunFolder) -> None:
    """Let the next run of an export begin, if the run still holds the export's lock."""
    from airflow_mailchimp_export.state.lock import Lock

    try:
        Lock(folder.export_folder(), folder.name).release()
    except (ConfigError, OSError) as error:
        log.warning("The lock of the export could not be freed, and ends by itself: %s", error)


@contextmanager
def lock_freed_on_error(folder: RunFolder) -> Iterator[None]:
    """Free the export's lock with whatever ends a run, but keep it for a task that is deferred."""
    try:
        yield
    except TaskDeferred:
        raise
    except BaseException:
        free_lock(folder)
        raise


def to_client(
    settings: ConnectionSettings,
    *,
    pace: Pace | None = None,
    reread: Callable[[], ConnectionSettings] | None = None,
) -> MailchimpClient:
    """Return a client for a connection, asking first where an OAuth token's account lives.

    :param reread: reads the connection again once its key is refused.
    :raises ConfigError: when the token is not valid.
    """
    located = _located(settings, pace)
    return MailchimpClient(
        str(located.base_url),
        located.token,
        renew=partial(_renewed, located, reread, pace) if reread else None,
        max_connections=located.max_connections,
        timeout=located.timeout,
        pace=pace,
    )


def to_prompt_client(
    settings: ConnectionSettings, *, reread: Callable[[], ConnectionSettings]
) -> MailchimpClient:
    """Return a client like :func:`to_client`, but one that gives up soon."""
    hasty = replace(settings, timeout=min(settings.timeout, PROMPT_TIMEOUT))
    return to_client(hasty, pace=PROMPT, reread=reread)


def check_permission(settings: ConnectionSettings, *, dag_id: str, conn_id: str) -> None:
    """Let a DAG send, or stop it.

    :raises ConfigError: when consent is off, or the DAG may not use the connection.
    """
    if not settings.data_privacy_consent:
        raise ConfigError(
            f"Connection {conn_id!r}: data privacy consent (data_privacy_consent) is off, so no profile may "
            "leave",
            "Whoever is responsible switches it on in the connection",
        )
    if not settings.allows(dag_id):
        raise ConfigError(
            f"Connection {conn_id!r}: DAG {dag_id!r} is not among its allowed DAGs (allowed_dags)",
            "Add it there, or use another connection",
        )


def _renewed(
    located: ConnectionSettings, reread: Callable[[], ConnectionSettings], pace: Pace | None
) -> Credentials:
    """Return what the connection holds now; an OAuth token that is the same needs not be located again."""
    now = reread()
    if now.token == located.token and now.base_url is None:
        now = located
    now = _located(now, pace)
    return Credentials(str(now.base_url), now.token)


def _located(settings: ConnectionSettings, pace: Pace | None) -> ConnectionSettings:
    if settings.base_url:
        return settings
    with MailchimpClient(
        settings.metadata_url, settings.token, oauth=True, timeout=settings.timeout, pace=pace
    ) as client:
        endpoint = client.send(calls.oauth_endpoint())
    if not endpoint:  # a token that the metadata does not know is answered with status 200 too
        raise ConfigError(
            "Mailchimp does not know this OAuth token (auth_method is oauth2): tokens do not expire, so it was "
            "revoked",
            "Authorize again and put the new token into the connection",
        )
    return settings.with_api_endpoint(endpoint)
