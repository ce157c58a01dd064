"""The Mailchimp connection of Airflow."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from airflow.providers.common.compat.sdk import (
    AirflowNotFoundException,
    BaseHook,
    TaskDeferred,
)

from airflow_mailchimp_export import legacy_form
from airflow_mailchimp_export.connection_check import check_connection, failed_check
from airflow_mailchimp_export.delivery.watch import BatchWatch, call_off
from airflow_mailchimp_export.ended_afterwards import ended_afterwards
from airflow_mailchimp_export.errors import (
    ConfigError,
    ExportError,
    NoConsent,
)
from airflow_mailchimp_export.mailchimp import calls
from airflow_mailchimp_export.mailchimp.batches import cancel_batches
from airflow_mailchimp_export.mailchimp.client import Credentials, MailchimpClient
from airflow_mailchimp_export.mailchimp.pace import Pace
from airflow_mailchimp_export.mailchimp.protocol import Sender
from airflow_mailchimp_export.model import Batch
from airflow_mailchimp_export.settings.connection import AuthMethod, ConnectionSettings
from airflow_mailchimp_export.settings.connection_type import check_connection_type
from airflow_mailchimp_export.web.transport_errors import FOR_TASKS, Machine, Names

if TYPE_CHECKING:
    from airflow.providers.common.compat.sdk import Connection

    from airflow_mailchimp_export.state.run import RunFolder

log = logging.getLogger(__name__)

PROMPT = Pace(attempts=3, deadline=20.0)
PROMPT_TIMEOUT = 20.0
"""Seconds that a call may take where somebody looks at a button, where Airflow looks at a task that it has killed,
and where whoever waits for batches asks again anyway."""

SIGN_IN_AGAIN = (
    "Sign in again, in Airflow's UI under Admin, Mailchimp sign-in (/mailchimp/sign-in), or put a new token into the "
    "connection: an OAuth token that stopped working was revoked and does not come back"
)


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

        :raises ConfigError: names the field that is wrong, or there is no such connection.
        """
        try:
            # While a task waits, it is read before each look, and Airflow ends tasks at any time.
            with ended_afterwards():
                connection = self.get_connection(self.mailchimp_conn_id)
        except AirflowNotFoundException:
            raise no_connection(self.mailchimp_conn_id) from None
        check_connection_type(
            self.mailchimp_conn_id, connection.conn_type, wanted=self.conn_type, service="Mailchimp"
        )
        return to_settings(connection)

    def client(self, settings: ConnectionSettings | None = None) -> MailchimpClient:
        """Return a client with a pool of connections of its own; close it, or use it in ``with``.

        Where Mailchimp refuses the key, the client reads the connection once more, because the key may have been
        replaced while it was at work.

        :param settings: the connection's settings, for who has read them already.
        :raises ConfigError: when the connection is set up wrongly.
        """
        return to_client(settings or self.settings(), reread=self.settings)

    def prompt_client(self, settings: ConnectionSettings | None = None) -> MailchimpClient:
        """Return a client like :meth:`client`, but one that gives up soon, for who asks again later.

        :raises ConfigError: when the connection is set up wrongly.
        """
        return to_prompt_client(settings or self.settings(), reread=self.settings, machine=Machine.WORKER)

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


def no_connection(conn_id: str) -> ConfigError:
    """Say that a connection is not there, or not any more."""
    return ConfigError(
        f"There is no Airflow connection {conn_id!r}, so Mailchimp cannot be reached",
        "Create it (Admin, Connections; type Mailchimp), or name another one: connection of the export in "
        "exports.yaml, or mailchimp_conn_id of the operator",
    )


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
    names: Names = FOR_TASKS,
) -> MailchimpClient:
    """Return a client for a connection, asking first where an OAuth token's account lives.

    :param reread: reads the connection again once its key is refused.
    :param names: what to look at where Mailchimp is not reached; as a task does, unless given.
    :raises ConfigError: when the token is not valid.
    """
    located = to_located(settings, pace, names)
    return MailchimpClient(
        str(located.base_url),
        located.token,
        remedy=_remedy(located),
        renew=partial(_renewed, located, reread, partial(to_located, pace=pace, names=names))
        if reread
        else None,
        max_connections=located.max_connections,
        timeout=located.timeout,
        pace=pace,
        names=names,
    )


def to_prompt_client(
    settings: ConnectionSettings,
    *,
    reread: Callable[[], ConnectionSettings] | None = None,
    machine: Machine = Machine.API_SERVER,
) -> MailchimpClient:
    """Return a client like :func:`to_client`, but one that gives up soon.

    :param machine: the one that it is used on.
    """
    hasty = replace(settings, timeout=min(settings.timeout, PROMPT_TIMEOUT))
    return to_client(hasty, pace=PROMPT, reread=reread, names=Names(machine=machine))


def check_permission(settings: ConnectionSettings, *, dag_id: str, conn_id: str) -> None:
    """Let a DAG send, or stop it.

    :raises ConfigError: when consent is off, or the DAG may not use the connection.
    """
    if not settings.data_privacy_consent:
        raise no_consent(conn_id)
    if not settings.allows(dag_id):
        raise ConfigError(
            f"Connection {conn_id!r}: DAG {dag_id!r} is not among its allowed DAGs (allowed_dags)",
            "Add it there, or use another connection",
        )


def log_consent(settings: ConnectionSettings, conn_id: str) -> None:
    """Write down whose consent a run relies on, or that nobody knows; the user's name is in clear."""
    if not settings.data_privacy_consent:
        return
    log.info("Connection %r: %s", conn_id, settings.evidence.in_words(is_given=True))
    for flaw in settings.evidence.flaws:
        log.warning("Connection %r: %s, so it is no evidence of who agreed, or withdrew that", conn_id, flaw)


def no_consent(conn_id: str) -> NoConsent:
    """Say that nobody agrees to the transfer of personal data, or not any more."""
    return NoConsent(
        f"Connection {conn_id!r}: data privacy consent (data_privacy_consent) is off, so no profile may leave",
        "Whoever is responsible switches it on in the connection",
    )


def call_off_without_consent(
    settings: ConnectionSettings, sender: Sender, watch: BatchWatch, conn_id: str
) -> None:
    """Cancel batches that were handed over, once nobody agrees to the transfer any more.

    :param settings: what the connection holds now.
    """
    if watch.waiting and not settings.data_privacy_consent:
        call_off(sender, watch, str(no_consent(conn_id)))


def _renewed(
    located: ConnectionSettings,
    reread: Callable[[], ConnectionSettings],
    locate: Callable[[ConnectionSettings], ConnectionSettings],
) -> Credentials:
    """Return what the connection holds now; an OAuth token that is the same needs not be located again."""
    now = reread()
    if now.token == located.token and now.base_url is None:
        now = located
    now = locate(now)
    return Credentials(str(now.base_url), now.token, _remedy(now))


def _remedy(settings: ConnectionSettings) -> str:
    return SIGN_IN_AGAIN if settings.auth_method is AuthMethod.OAUTH2 else ""


def to_located(settings: ConnectionSettings, pace: Pace | None, names: Names) -> ConnectionSettings:
    """Return settings with a base URL, asking where an OAuth token's account lives if they have none.

    :raises ConfigError: when the token is not valid, or may not travel there.
    """
    if settings.base_url:
        return settings
    with MailchimpClient(
        settings.metadata_url, settings.token, oauth=True, timeout=settings.timeout, pace=pace, names=names
    ) as client:
        home = client.send(calls.oauth_home())
    if not home.endpoint:  # a token that the metadata does not know is answered with status 200 too
        raise ConfigError(
            "Mailchimp does not know this OAuth token (auth_method is oauth2): tokens do not expire, so it was "
            "revoked",
            SIGN_IN_AGAIN,
        )
    return settings.with_api_endpoint(home.endpoint, home.data_center)
