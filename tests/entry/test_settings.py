"""Settings: what is in force, what is refused and how it says so, and that no secret is shown."""

from contextlib import suppress
from dataclasses import fields
from ipaddress import ip_network
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.money import Money
from hub.domain.people import ViewerKind
from hub.domain.records import KeyRole
from hub.entry.setting_values import Entities, Mode, SqliteSync
from hub.entry.settings import SettingRefused, Settings, read_settings, url_of

VARIABLES = [f"HUB_{field.name.upper()}" for field in fields(Settings) if field.name not in ("channels", "unknown")]


def test_a_fresh_clone_needs_no_setting() -> None:
    assert read_settings({"PATH": "/bin"}) == Settings(
        mode=Mode.DEVELOPMENT,
        data=Path("hub-data"),
        database="sqlite:///hub-data/hub.sqlite3",
        sqlite_sync=SqliteSync.FULL,
        wakeups="memory",
        log_retention_days=365,
        metrics_port=None,
        chain_url=None,
        chain_node_port=None,
        chain_node_tx_gas=8_000_000,
        chain_gateway_password=None,
        chain_deployer_password=None,
        chain_revoker_password=None,
        chain_seller_password=None,
        chain_pauser_password=None,
        chain_signer_password=None,
        chain_former_password=None,
        chain_signer_url=None,
        chain_signer_addresses=(),
        chain_batch_ms=30_000,
        chain_batch_size=1_024,
        chain_batch_value=(),
        chain_instant=False,
        chain_id=None,
        chain_max_fee_wei=200_000_000_000,
        chain_confirmations=12,
        documents="open",
        documents_manifest=(),
        documents_cache=(),
        host="127.0.0.1",
        port=8000,
        public_url="http://127.0.0.1:8000",
        allowed_origins=(),
        webhook_allow=(),
        introspection=frozenset(ViewerKind),
        graphiql=frozenset(ViewerKind),
        get=True,
        jwks_http_hosts=(),
        entities=Entities.OPEN,
        gateway_secret=(),
        trusted_proxies=(),
        cost_maximum=50_000,
        cost_restore=2_500,
        attempts_per_minute=120,
        slow_operation_ms=1_000,
        channels={},
        unknown=(),
    )


def test_every_setting_has_its_variable() -> None:
    settings = read_settings(
        {
            "HUB_MODE": "production",
            "HUB_DATA": "/var/lib/hub",
            "HUB_DATABASE": "postgresql://hub:s3cret@db.test/hub",
            "HUB_SQLITE_SYNC": "normal",
            "HUB_WAKEUPS": "valkey://hub:s3cret@bus.test:6379",
            "HUB_LOG_RETENTION_DAYS": "30",
            "HUB_METRICS_PORT": "9090",
            "HUB_CHAIN_URL": "https://node.test/v2/s3cret",
            "HUB_CHAIN_NODE_PORT": "8545",
            "HUB_CHAIN_NODE_TX_GAS": "16000000",
            "HUB_CHAIN_GATEWAY_PASSWORD": "s3cret",
            "HUB_CHAIN_DEPLOYER_PASSWORD": "s3cret",
            "HUB_CHAIN_REVOKER_PASSWORD": "s3cret",
            "HUB_CHAIN_SELLER_PASSWORD": "s3cret",
            "HUB_CHAIN_PAUSER_PASSWORD": "s3cret",
            "HUB_CHAIN_SIGNER_PASSWORD": "s3cret",
            "HUB_CHAIN_FORMER_PASSWORD": "s3cret",
            "HUB_CHAIN_SIGNER_URL": "https://keys.test/s3cret",
            "HUB_CHAIN_SIGNER_ADDRESSES": f"gateway=0x{'aA' * 20}, signer=0x{'bb' * 20}",
            "HUB_CHAIN_BATCH_MS": "0",
            "HUB_CHAIN_BATCH_SIZE": "100",
            "HUB_CHAIN_INSTANT": "true",
            "HUB_CHAIN_BATCH_VALUE": "CNY:100000.00, JPY:5000",
            "HUB_CHAIN_ID": "11155111",
            "HUB_CHAIN_MAX_FEE_WEI": "7",
            "HUB_CHAIN_CONFIRMATIONS": "safe",
            "HUB_DOCUMENTS": "trusted",
            "HUB_DOCUMENTS_MANIFEST": "/etc/hub/app.json, site.json,/etc/hub/app.json",
            "HUB_DOCUMENTS_CACHE": "Courses:60, Course:300",
            "HUB_HOST": "0.0.0.0",
            "HUB_PORT": "0",
            "HUB_PUBLIC_URL": "https://Hub.Example/",
            "HUB_ALLOWED_ORIGINS": "https://Shop.example, http://localhost:3000,https://shop.example/",
            "HUB_WEBHOOK_ALLOW": "Receiver.internal, 10.1.0.0/16,::1,",
            "HUB_INTROSPECTION": "true",
            "HUB_GRAPHIQL": "true",
            "HUB_GET": "true",
            "HUB_JWKS_HTTP_HOSTS": "Login.test, ::1,login.test",
            "HUB_ENTITIES": "signed",
            "HUB_TRUSTED_PROXIES": "10.0.0.0/8, fd00::1",
            "HUB_COST_MAXIMUM": "100000",
            "HUB_COST_RESTORE": "7",
            "HUB_ATTEMPTS_PER_MINUTE": "9",
            "HUB_SLOW_OPERATION_MS": "0",
            "HUB_GATEWAY_SECRET": f"s3cret-{'n' * 32},s3cret-{'o' * 32}",
            "HUB_CHANNEL_STRIPE_SECRET_KEY": "s3cret",
            "HUB_CHANNEL_STRIPE_VERSION": "1",
            "HUB_CHANNEL_ALIPAY_APP_ID": "2",
            "HUB_CHANNEL_WECHAT_APP_ID": "",
        }
    )
    assert settings == Settings(
        mode=Mode.PRODUCTION,
        data=Path("/var/lib/hub"),
        database="postgresql://hub:s3cret@db.test/hub",
        sqlite_sync=SqliteSync.NORMAL,
        wakeups="valkey://hub:s3cret@bus.test:6379",
        log_retention_days=30,
        metrics_port=9090,
        chain_url="https://node.test/v2/s3cret",
        chain_node_port=8545,
        chain_node_tx_gas=16_000_000,
        chain_gateway_password="s3cret",
        chain_deployer_password="s3cret",
        chain_revoker_password="s3cret",
        chain_seller_password="s3cret",
        chain_pauser_password="s3cret",
        chain_signer_password="s3cret",
        chain_former_password="s3cret",
        chain_signer_url="https://keys.test/s3cret",
        chain_signer_addresses=((KeyRole.GATEWAY, f"0x{'aA' * 20}"), (KeyRole.SIGNER, f"0x{'bb' * 20}")),
        chain_batch_ms=0,
        chain_batch_size=100,
        chain_batch_value=(Money(10_000_000, "CNY"), Money(5_000, "JPY")),
        chain_instant=True,
        chain_id=11_155_111,
        chain_max_fee_wei=7,
        chain_confirmations="safe",
        documents="trusted",
        documents_manifest=(Path("/etc/hub/app.json"), Path("site.json")),
        documents_cache=(("Courses", 60), ("Course", 300)),
        host="0.0.0.0",
        port=0,
        public_url="https://hub.example",
        allowed_origins=("https://shop.example", "http://localhost:3000"),
        webhook_allow=("receiver.internal", "10.1.0.0/16", "::1"),
        introspection=frozenset({ViewerKind.OPERATOR}),
        graphiql=frozenset({ViewerKind.OPERATOR}),
        get=True,
        jwks_http_hosts=("login.test", "::1"),
        entities=Entities.SIGNED,
        trusted_proxies=(ip_network("10.0.0.0/8"), ip_network("fd00::1/128")),
        cost_maximum=100_000,
        cost_restore=7,
        attempts_per_minute=9,
        slow_operation_ms=0,
        gateway_secret=(f"s3cret-{'n' * 32}", f"s3cret-{'o' * 32}"),
        channels={"alipay": {"app_id": "2"}, "stripe": {"secret_key": "s3cret", "version": "1"}},
        unknown=(),
    )
    assert "s3cret" not in repr(settings)


def test_production_closes_what_only_developers_need() -> None:
    settings = read_settings({"HUB_MODE": "production"})
    assert settings.is_production
    assert (settings.introspection, settings.graphiql, settings.get) == (frozenset(), frozenset(), False)
    assert settings.entities is Entities.OFF


@pytest.mark.parametrize(
    ("entities", "secret"),
    [
        ("signed", ""), ("hive", ""), ("open", "x" * 32), ("off", "x" * 32), ("", "x" * 32),
        ("signed", "x" * 31), ("signed", "x" * 257), ("signed", f"{'x' * 32} "), ("signed", ",".join(["x" * 32] * 3)),
    ],
)  # fmt: skip
def test_a_gateways_secret_is_long_and_stands_where_it_is_looked_at(entities: str, secret: str) -> None:
    with pytest.raises(SettingRefused) as refused:
        read_settings({"HUB_ENTITIES": entities, "HUB_GATEWAY_SECRET": secret})
    assert refused.value.name == "HUB_GATEWAY_SECRET"
    assert "xxx" not in str(refused.value)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("true", set(ViewerKind)),
        ("false", set()),
        ("operator", {ViewerKind.OPERATOR}),
        ("Operator, platform", {ViewerKind.OPERATOR, ViewerKind.PLATFORM}),
    ],
)
def test_introspection_and_graphiql_are_for_some_kinds_of_viewers(text: str, kinds: set[ViewerKind]) -> None:
    environ = {"HUB_MODE": "production", "HUB_INTROSPECTION": text, "HUB_GRAPHIQL": text}
    settings = read_settings(environ)
    assert (settings.introspection, settings.graphiql) == (kinds, kinds)


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        (
            {"HUB_DOCUMENTS": "trusted"},
            "HUB_DOCUMENTS: `trusted` needs HUB_DOCUMENTS_MANIFEST: a file with the documents",
        ),
        ({"HUB_DOCUMENTS_MANIFEST": "a"}, "HUB_DOCUMENTS_MANIFEST: is for HUB_DOCUMENTS=trusted alone"),
        (
            {"HUB_DOCUMENTS": "apq", "HUB_DOCUMENTS_CACHE": "A:1"},
            "HUB_DOCUMENTS_CACHE: is for HUB_DOCUMENTS=trusted alone",
        ),
        (
            {
                "HUB_DOCUMENTS": "trusted", "HUB_DOCUMENTS_MANIFEST": "a", "HUB_DOCUMENTS_CACHE": "A:1",
                "HUB_GET": "false",
            },
            "HUB_DOCUMENTS_CACHE: needs HUB_GET=true: answers to a POST are not kept by anybody",
        ),
    ],
)  # fmt: skip
def test_settings_of_documents_that_do_not_fit_each_other_are_refused(environ: dict[str, str], message: str) -> None:
    with pytest.raises(SettingRefused) as refused:
        read_settings(environ)
    assert str(refused.value) == message


def test_a_flag_wins_over_its_variable() -> None:
    settings = read_settings({"HUB_PORT": "9000", "HUB_DATA": "/a"}, {"port": "9001", "data": None})
    assert (settings.port, settings.data) == (9001, Path("/a"))
    assert settings.public_url == "http://127.0.0.1:9001"


def test_an_empty_variable_counts_as_not_set() -> None:
    assert read_settings(dict.fromkeys(VARIABLES, "")) == read_settings({})


@pytest.mark.parametrize(
    ("database", "path"),
    [
        ("sqlite:////var/lib/hub.sqlite3", Path("/var/lib/hub.sqlite3")),
        ("sqlite:///hub.sqlite3", Path("hub.sqlite3")),
        ("postgresql://db.test/hub", None),
    ],
)
def test_sqlite_is_a_file_and_postgresql_is_none(database: str, path: Path | None) -> None:
    assert read_settings({"HUB_DATABASE": database}).sqlite_path == path


def test_the_home_folder_may_be_written_short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/lin")
    assert read_settings({"HUB_DATA": "~/hub"}).database == "sqlite:////home/lin/hub/hub.sqlite3"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80"),
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("hub.test", "http://hub.test:80"),
    ],
)
def test_a_server_is_called_where_it_listens(host: str, url: str) -> None:
    assert url_of(host, 80) == url


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("HUB_MODE", "prod", "must be `development` or `production`, not 'prod'"),
        ("HUB_PORT", "65536", "must be the number of a port from 0 to 65535, not '65536'"),
        ("HUB_PORT", "tcp://10.0.0.1:80", "must be the number of a port from 0 to 65535, not 'tcp://10.0.0.1:80'"),
        ("HUB_CHAIN_BATCH_MS", "-1", "must be milliseconds from 0 to 86400000, not '-1'"),
        ("HUB_CHAIN_BATCH_MS", "30s", "must be milliseconds from 0 to 86400000, not '30s'"),
        ("HUB_CHAIN_BATCH_SIZE", "1025", "must be orders from 1 to 1024, not '1025'"),
        ("HUB_CHAIN_BATCH_VALUE", "JPY:1.5", "'1.5' is no amount of JPY: digits, and at most 0 decimals"),
        ("HUB_CHAIN_BATCH_VALUE", "XAU:1", "unknown currency 'XAU': use an ISO 4217 code such as CNY or USD"),
        ("HUB_CHAIN_BATCH_VALUE", "CNY:1,CNY:2", "names CNY twice"),
        ("HUB_CHAIN_ID", "0", "must be a chain's id from 1 to 9223372036854775807, not '0'"),
        ("HUB_CHAIN_CONFIRMATIONS", "finalized", "must be safe, or blocks from 1 to 1000, not 'finalized'"),
        ("HUB_CHAIN_MAX_FEE_WEI", "0", "must be wei from 1 to 9223372036854775807, not '0'"),
        ("HUB_LOG_RETENTION_DAYS", "0", "must be days from 1 to 36500, not '0'"),
        ("HUB_SQLITE_SYNC", "off", "must be `full` or `normal`, not 'off'"),
        ("HUB_DOCUMENTS", "closed", "must be `open` or `apq` or `trusted`, not 'closed'"),
        ("HUB_DOCUMENTS_CACHE", "A", "must be seconds from 1 to 86400, not ''"),
        (
            "HUB_DOCUMENTS_CACHE", "A:60,A:9",
            "must be operations with seconds such as Courses:60, parted by commas, not 'A:9'",
        ),
        (
            "HUB_GRAPHIQL", "1",
            "must be `true`, `false` or some of anonymous, user, platform, operator, parted by commas, not '1'",
        ),
        ("HUB_COST_MAXIMUM", "11999", "must be objects and rows from 12000 to 1000000000, not '11999'"),
        (
            "HUB_TRUSTED_PROXIES", "10.0.0.1/8",
            "must be addresses or networks such as 10.0.0.0/8, parted by commas, not '10.0.0.1/8'",
        ),
        ("HUB_HOST", "http://x", "must be a name or address without scheme or port, such as 0.0.0.0, not 'http://x'"),
        ("HUB_HOST", "x:80", "must be a name or address without scheme or port, such as 0.0.0.0, not 'x:80'"),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_by_name_and_says_what_it_should_be(variable: str, value: str, message: str) -> None:
    with pytest.raises(SettingRefused) as refused:
        read_settings({variable: value})
    assert str(refused.value) == f"{variable}: {message}"
    assert refused.value.name == variable


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("HUB_DATABASE", "mysql://hub:s3cret@db.test/hub"),
        ("HUB_DATABASE", "postgresql+asyncpg://hub:s3cret@db.test/hub"),
        ("HUB_DATABASE", "sqlite:///:memory:"),
        ("HUB_DATABASE", "sqlite://s3cret"),
        ("HUB_DATABASE", "sqlite:///"),
        ("HUB_WAKEUPS", "kafka://hub:s3cret@bus.test"),
        ("HUB_WAKEUPS", "nats://hub:s3cret@:4222"),
        ("HUB_CHAIN_URL", "ws://node.test/s3cret"),
        ("HUB_CHAIN_URL", "https://node.test:s3cret"),
        ("HUB_CHAIN_URL", "https:///s3cret"),
        ("HUB_PUBLIC_URL", "https://hub:s3cret@hub.test"),
        ("HUB_PUBLIC_URL", "https://hub.test/path"),
        ("HUB_PUBLIC_URL", "hub.test"),
        ("HUB_ALLOWED_ORIGINS", "*"),
        ("HUB_ALLOWED_ORIGINS", "https://*.shop.test"),
        ("HUB_ALLOWED_ORIGINS", "null"),
        ("HUB_ALLOWED_ORIGINS", "https://shop.test/path"),
        ("HUB_CHANNEL_STRIPE", "s3cret"),
        ("HUB_CHANNEL__KEY", "s3cret"),
    ],
)
def test_what_may_hold_a_secret_is_refused_without_being_shown(variable: str, value: str) -> None:
    with pytest.raises(SettingRefused) as refused:
        read_settings({variable: value})
    assert refused.value.name == variable
    assert "s3cret" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_a_bad_flag_is_named_as_the_user_wrote_it() -> None:
    with pytest.raises(SettingRefused, match=r"^--chain-batch-ms: must be milliseconds"):
        read_settings({}, {"chain_batch_ms": "soon"})


def test_an_empty_flag_is_refused_and_never_means_the_working_folder() -> None:
    with pytest.raises(SettingRefused, match=r"^--data: must not be empty$"):
        read_settings({}, {"data": ""})


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("HUB_MOD", "HUB_MODE"),
        ("HUB_DATABASE_URL", "HUB_DATABASE"),
        ("HUB_CHAIN_BATCH", "HUB_CHAIN_BATCH_MS"),
        ("HUB_CHANEL_STRIPE_SECRET_KEY", "HUB_CHANNEL_<CODE>_<SETTING>"),
    ],
)
def test_a_slip_in_a_name_is_refused_and_the_right_name_offered(variable: str, meant: str) -> None:
    with pytest.raises(SettingRefused) as refused:
        read_settings({variable: "s3cret"})
    assert str(refused.value) == f"{variable}: there is no such setting: did you mean {meant}?"


def test_another_program_s_variables_are_reported_and_do_no_harm() -> None:
    environ = {"HUB_SERVICE_HOST": "10.0.0.1", "HUB_PORT_8000_TCP_ADDR": "10.0.0.1", "GITHUB_TOKEN": "x"}
    assert read_settings(environ).unknown == ("HUB_PORT_8000_TCP_ADDR", "HUB_SERVICE_HOST")


def test_variables_of_tests_and_faults_are_no_strangers() -> None:
    environ = {"HUB_TEST_PG_DSN": "x", "HUB_FAILPOINT": "before_commit:2", "HUB_CHAIN_TEST_HOOKS": "1"}
    assert read_settings(environ).unknown == ()


@given(st.sampled_from(VARIABLES), st.text(min_size=1))
def test_no_text_does_more_than_be_taken_or_refused(variable: str, text: str) -> None:
    with suppress(SettingRefused):
        read_settings({variable: text})
